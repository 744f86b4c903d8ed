//! Where a system runs: a network namespace of the run's own, with its loopback up, or the caller's.

use std::io;
use std::os::unix::fs::MetadataExt;

use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::guardian::{Guardian, Territory};

/// Why a network namespace could not be made.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing}: {source}; run as root, or use the caller's network with `--network host`")]
pub struct NetworkError {
    doing: &'static str,
    source: io::Error,
}

/// Moves the calling thread, and the threads that it starts later, into a new network namespace in which only
/// 127.0.0.0/8 and ::1 are there.
pub fn enter_private() -> Result<(), NetworkError> {
    // SAFETY: CLONE_NEWNET changes the thread's network namespace alone, no memory and no file descriptors.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
        .map_err(|error| NetworkError { doing: "make a network namespace", source: error.into() })?;
    bring_loopback_up().map_err(|source| NetworkError { doing: "bring its loopback interface up", source })
}

/// The inode number of the calling thread's network namespace, by which the kernel names it; 0 when /proc is not there.
pub fn netns() -> u32 {
    std::fs::metadata("/proc/thread-self/ns/net").map_or(0, |file| file.ino() as u32)
}

/// Makes this process the heir of everything that the system's processes leave behind.
pub fn adopt_orphans() {
    if let Err(error) = super::orphans::adopt() {
        tracing::warn!(%error, "processes that leave their group could outlive the run");
    }
}

/// Has what this process starts ended should it be killed itself, as long as the guardian is held. Must be called before
/// any thread is started, and in a private network after that was entered.
pub fn post_guardian(territory: Territory) -> Option<Guardian> {
    let posted = Guardian::post(territory);
    posted
        .inspect_err(
            |error| tracing::warn!(%error, "what is started here could outlive this process, should it be killed"),
        )
        .ok()
}

/// ioctl(2) SIOCSIFFLAGS on `lo`, as netdevice(7) describes it.
fn bring_loopback_up() -> io::Result<()> {
    use rustix::fd::AsRawFd;
    use rustix::net::{AddressFamily, SocketType, socket};
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    // SAFETY: an ifreq of zeros is a valid value of this plain C structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq through the pointer, which outlives the call.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

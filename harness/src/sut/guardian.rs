//! A process of ours that outlives a harness that was killed, just long enough to end what the run left behind.
//!
//! Whoever is killed by SIGKILL cleans up nothing. So a small process watches the harness from beside it, and when that is
//! gone ends what [`sweep`] finds of the run. It holds no descriptor of the harness, so that a pipe that the harness wrote
//! to ends with it, and it makes no system call while the run goes on.

mod sweep;

use std::fs::File;
use std::io;
use std::mem::forget;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use procfs::process::Process;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, getppid, kill_process, pidfd_open, setsid, waitpid,
};

pub use sweep::Territory;

/// The environment variable that every process of a run inherits: the marks of the runs that it belongs to, with a colon
/// between them. There are several when what is tested is a harness itself.
pub const MARK: &str = "PORTWITNESS_RUN";

/// The guardian of this process, 0 for none.
static POSTED: AtomicI32 = AtomicI32::new(0);

/// The guardian of this process; it goes, and touches nobody, when this is dropped.
pub struct Guardian {
    pid: Pid,
}

impl Guardian {
    /// Posts a guardian. Must be called before any thread or process is started, and within the run's network namespace.
    pub fn post(territory: Territory) -> io::Result<Self> {
        let threads = std::fs::read_dir("/proc/self/task")?.count();
        if threads != 1 {
            return Err(io::Error::other(format!("the harness has {threads} threads already")));
        }
        let harness = getpid();
        // Where the kernel has none (before Linux 5.3), it is said here and not in a process that nobody hears.
        drop(pidfd_open(harness, PidfdFlags::empty())?);
        // The same on both sides of the fork.
        let mark = own_mark();
        // SAFETY: there is no other thread that could hold a lock, so the child may do whatever this process may.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                let _ = catch_unwind(AssertUnwindSafe(|| guard(harness, territory, mark)));
                // SAFETY: ends the process at once; destructors and exit handlers are the harness's.
                unsafe { libc::_exit(0) }
            }
            pid => {
                POSTED.store(pid, Ordering::Relaxed);
                Ok(Self { pid: Pid::from_raw(pid).ok_or(Errno::SRCH)? })
            }
        }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        POSTED.store(0, Ordering::Relaxed);
        // A child that is not waited for yet: the number is its own.
        let _ = kill_process(self.pid, Signal::KILL);
        while let Err(Errno::INTR) = waitpid(Some(self.pid), WaitOptions::empty()) {}
    }
}

/// Whether this child of ours is the guardian, which is nobody's orphan.
pub(super) fn is_guardian(child: Pid) -> bool {
    POSTED.load(Ordering::Relaxed) == child.as_raw_nonzero().get()
}

/// The value of [`MARK`] for the processes of this run.
pub fn mark() -> &'static str {
    static MARKS: OnceLock<String> = OnceLock::new();
    MARKS.get_or_init(|| match std::env::var(MARK) {
        Ok(inherited) if !inherited.is_empty() => format!("{inherited}:{}", own_mark()),
        _ => own_mark().into(),
    })
}

/// As no other run has it.
fn own_mark() -> &'static str {
    static OWN: OnceLock<String> = OnceLock::new();
    OWN.get_or_init(|| {
        let random = std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap_or_default();
        format!("{}-{}", std::process::id(), random.trim_end())
    })
}

/// The guardian's life.
fn guard(harness: Pid, territory: Territory, mark: &str) -> io::Result<()> {
    rustix::thread::set_name(c"guardian")?;
    // The harness may be in it with whoever started it.
    let callers = own_group()?;
    // Neither a signal to the group of the harness nor a terminal that goes is meant for this process.
    setsid()?;
    block_signals();
    std::env::set_current_dir("/")?;
    keep_no_descriptors()?;
    let alive = pidfd_open(harness, PidfdFlags::empty())?;
    // Otherwise the harness died before, with nothing launched, and the number may be another's.
    if getppid() != Some(harness) {
        return Ok(());
    }
    while !matches!(poll(&mut [PollFd::new(&alive, PollFlags::IN)], None), Ok(1)) {}
    sweep::sweep(territory, mark, callers);
    Ok(())
}

/// The process group of this process, 0 where its leader is outside of the pid namespace or it was started by the kernel; there
/// `rustix::process::getpgrp` panics.
fn own_group() -> io::Result<i32> {
    let stat = Process::myself().and_then(|process| process.stat());
    Ok(stat.map_err(io::Error::other)?.pgrp)
}

fn block_signals() {
    // SAFETY: the set is a plain C structure that sigfillset fills in before it is read; both calls use it alone.
    unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut());
    }
}

/// Lets go of everything that was inherited, the harness's own descriptors and those of its caller.
fn keep_no_descriptors() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    // It is closed with all others.
    forget(null);
    // SAFETY: closes descriptors by number. Their owners are values of the harness, whose code never runs here again.
    match unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_process_with_threads_is_not_forked() {
        let here = std::thread::spawn(|| Guardian::post(Territory::Marked).err().unwrap().to_string());
        assert!(here.join().unwrap().contains("threads already"));
    }

    #[test]
    fn a_run_has_one_mark_of_its_own() {
        assert_eq!((mark(), own_mark()), (mark(), own_mark()));
        assert!(mark().ends_with(own_mark()) && own_mark().len() > 36 && !own_mark().contains(':'));
    }
}

//! A storm of listeners: each is opened and closed at once, two edges an iteration.

use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
use serde::{Deserialize, Serialize};

use super::place;
use crate::cpu;

/// What a storm took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Storm {
    /// By the clock, in ns.
    pub(crate) wall_ns: u64,
    /// Of the CPUs, in ns.
    pub(crate) cpu_ns: u64,
    /// Iterations, by all threads together.
    pub(crate) iterations: u64,
    /// Calls of bind or listen that were repeated because the port was not free yet.
    pub(crate) repeated: u64,
}

/// `count` listeners by each of `threads`, each thread at a port of its own.
pub(crate) fn run(count: u64, threads: u64) -> anyhow::Result<Storm> {
    measured(count * threads, || {
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..threads).map(|thread| scope.spawn(move || storm(count, thread as u16))).collect();
            let join =
                |thread: ScopedJoinHandle<'_, _>| thread.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked"));
            all.into_iter().map(join).sum()
        })
    })
}

/// Measures what `act` takes, which returns how many calls were repeated.
pub(super) fn measured(iterations: u64, act: impl FnOnce() -> anyhow::Result<u64>) -> anyhow::Result<Storm> {
    let (began, cpu) = (Instant::now(), cpu::own());
    let repeated = act()?;
    Ok(Storm { wall_ns: began.elapsed().as_nanos() as u64, cpu_ns: cpu::own() - cpu, iterations, repeated })
}

fn storm(count: u64, port: u16) -> anyhow::Result<u64> {
    (0..count).map(|_| try_open(port).map(|(_, repeated)| repeated)).sum()
}

/// Opens the port with this index.
pub(super) fn open(port: u16) -> anyhow::Result<OwnedFd> {
    try_open(port).map(|(socket, _)| socket)
}

/// Whoever looks at our descriptors in /proc holds each for a moment, and one that is closed in that moment is closed by
/// them a little later (fs/proc/fd.c, proc_fd_link, Linux 6.18): then the port is not free yet. Says how often that was so.
fn try_open(port: u16) -> anyhow::Result<(OwnedFd, u64)> {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // A connection that a poller made may linger there.
    set_socket_reuseaddr(&socket, true)?;
    let repeated = until_free(|| bind(&socket, &place(port)))? + until_free(|| listen(&socket, 128))?;
    Ok((socket, repeated))
}

/// Repeats a call while the port is in use, for a second at the most.
fn until_free(call: impl Fn() -> rustix::io::Result<()>) -> anyhow::Result<u64> {
    let began = Instant::now();
    let mut repeated = 0;
    loop {
        match call() {
            Ok(()) => return Ok(repeated),
            Err(Errno::ADDRINUSE) if began.elapsed() < Duration::from_secs(1) => repeated += 1,
            Err(error) => return Err(error.into()),
        }
        std::thread::yield_now();
    }
}

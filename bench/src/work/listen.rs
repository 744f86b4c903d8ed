//! A storm of listeners: each is opened and closed at once, two edges an iteration.

use std::time::Instant;

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
}

/// `count` listeners by each of `threads`, each thread at a port of its own.
pub(crate) fn run(count: u64, threads: u64) -> anyhow::Result<Storm> {
    measured(count * threads, || {
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..threads).map(|thread| scope.spawn(move || storm(count, thread as u16))).collect();
            all.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked")))
        })
    })
}

/// Measures what `act` takes.
pub(super) fn measured(iterations: u64, act: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Storm> {
    let (began, cpu) = (Instant::now(), cpu::own());
    act()?;
    Ok(Storm { wall_ns: began.elapsed().as_nanos() as u64, cpu_ns: cpu::own() - cpu, iterations })
}

fn storm(count: u64, port: u16) -> anyhow::Result<()> {
    for _ in 0..count {
        drop(open(port)?);
    }
    Ok(())
}

/// Opens the port with this index.
pub(super) fn open(port: u16) -> anyhow::Result<rustix::fd::OwnedFd> {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // A connection that a poller made may linger there.
    set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &place(port))?;
    listen(&socket, 128)?;
    Ok(socket)
}

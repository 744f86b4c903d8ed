//! Ports that open and close, with the moments at which that was asked for and done.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portwitness::clock::Timestamp;
use rustix::fd::OwnedFd;
use rustix::net::sockopt::set_socket_linger;
use rustix::process::setpriority_process;
use rustix::thread::{ClockId, NanosleepRelativeResult, clock_nanosleep_relative};
use serde::{Deserialize, Serialize};

use super::listen::open;
use super::place;

/// A port opened or closed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Edge {
    /// Index of the port.
    pub(crate) port: u16,
    /// Opened, else closed.
    pub(crate) opened: bool,
    /// Right before listen(2) or close(2).
    pub(crate) before: Timestamp,
    /// Right after it.
    pub(crate) after: Timestamp,
}

/// How long a port keeps its state, at the least and at the most: longer than a poller that is held up needs to see it.
const STEADY_MS: (u64, u64) = (120, 280);

/// Opens and closes each of `ports` `rounds` times, each port from a thread of its own; it is closed at the end.
pub(crate) fn run(rounds: u64, ports: u16) -> anyhow::Result<Vec<Edge>> {
    let one = |port: u16| -> anyhow::Result<Vec<Edge>> {
        // Between the stamp and the call it should not have to wait for a CPU.
        setpriority_process(None, -20)?;
        let mut edges = Vec::new();
        for round in 0..rounds {
            pause(u64::from(port) * 7919 + round * 2);
            let before = Timestamp::now();
            let listener = open(port)?;
            edges.push(Edge { port, opened: true, before, after: Timestamp::now() });
            pause(u64::from(port) * 7919 + round * 2 + 1);
            edges.push(close(port, listener));
        }
        Ok(edges)
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..ports).map(|port| scope.spawn(move || one(port))).collect();
        let mut edges = Vec::new();
        for thread in all {
            edges.extend(thread.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked"))?);
        }
        Ok(edges)
    })
}

fn close(port: u16, listener: OwnedFd) -> Edge {
    let before = Timestamp::now();
    drop(listener);
    Edge { port, opened: false, before, after: Timestamp::now() }
}

/// A time between the bounds that follows from `seed` and has no common rhythm with a poller.
fn pause(seed: u64) {
    let (least, most) = STEADY_MS;
    let mixed = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let us = least * 1000 + (mixed >> 32) % ((most - least) * 1000);
    std::thread::sleep(Duration::from_micros(us));
}

/// A connect of the client that spins.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Attempt {
    /// Right before connect(2).
    pub(crate) before: Timestamp,
    /// Right after it.
    pub(crate) after: Timestamp,
    /// It was accepted by the kernel; else it was refused.
    pub(crate) connected: bool,
}

/// Opens and closes the first port `count` times, while a second thread connects to it without a pause. Returns every
/// attempt that connected or was refused.
pub(crate) fn flip(count: u64) -> anyhow::Result<Vec<Attempt>> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut attempts = Vec::new();
            while !done.load(Ordering::Relaxed) {
                attempts.extend(attempt());
            }
            attempts
        });
        let flipped = (0..count).try_for_each(|_| {
            let listener = open(0)?;
            doze();
            drop(listener);
            doze();
            anyhow::Ok(())
        });
        done.store(true, Ordering::Relaxed);
        let attempts = client.join().unwrap_or_default();
        flipped.map(|()| attempts)
    })
}

fn attempt() -> Option<Attempt> {
    let before = Timestamp::now();
    let outcome = TcpStream::connect(place(0));
    let after = Timestamp::now();
    let connected = match outcome {
        Ok(stream) => {
            // Broken off: nothing lingers in TIME_WAIT, and the ports do not run out.
            let _ = set_socket_linger(&stream, Some(Duration::ZERO));
            true
        }
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => false,
        // Reset while the listener went: it says neither.
        Err(_) => return None,
    };
    Some(Attempt { before, after, connected })
}

/// Long enough for some connects: 300 us.
fn doze() {
    let time = rustix::time::Timespec { tv_sec: 0, tv_nsec: 300_000 };
    let NanosleepRelativeResult::Ok = clock_nanosleep_relative(ClockId::Monotonic, &time) else { return };
}

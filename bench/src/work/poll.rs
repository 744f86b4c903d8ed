//! The alternatives: asking again and again, by connecting or by reading /proc/net/tcp.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use portwitness::clock::Timestamp;
use rustix::net::sockopt::set_socket_linger;
use serde::{Deserialize, Serialize};

use super::{FIRST_PORT, Turn, place};

/// How a poller asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum How {
    /// connect(2).
    Connect,
    /// /proc/net/tcp.
    Proc,
}

/// The state of a port changed between this look and the one before.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Index of the port.
    pub(crate) port: u16,
    /// It is open now.
    pub(crate) open: bool,
    /// When the look was over.
    pub(crate) at: Timestamp,
}

/// Polls the first `ports` ports every `every_us` us until a line comes, and answers what it saw.
pub(crate) fn run(how: How, ports: u16, every_us: u64) -> anyhow::Result<()> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let poller = scope.spawn(|| poll(how, ports, Duration::from_micros(every_us), &stop));
        let mut turn = Turn::new();
        let told = turn.wait();
        stop.store(true, Ordering::Relaxed);
        let seen = poller.join().unwrap_or_else(|_| anyhow::bail!("the poller panicked"))?;
        if told? {
            turn.answer(&seen)?;
            turn.wait()?;
        }
        Ok(())
    })
}

fn poll(how: How, ports: u16, every: Duration, stop: &AtomicBool) -> anyhow::Result<Vec<Seen>> {
    let mut open = vec![false; usize::from(ports)];
    let mut seen = Vec::new();
    let mut due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let listed = if how == How::Proc { listening()? } else { BTreeSet::new() };
        for (port, was) in (0..).zip(&mut open) {
            let is = if how == How::Proc { listed.contains(&(FIRST_PORT + port)) } else { answers(port) };
            if *was != is {
                *was = is;
                seen.push(Seen { port, open: is, at: Timestamp::now() });
            }
        }
        due = (due + every).max(Instant::now());
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(seen)
}

fn answers(port: u16) -> bool {
    TcpStream::connect(place(port)).is_ok_and(|stream| {
        // Broken off: nothing lingers in TIME_WAIT.
        let _ = set_socket_linger(&stream, Some(Duration::ZERO));
        true
    })
}

/// The ports of /proc/net/tcp that listen (state 0A, include/net/tcp_states.h).
pub(crate) fn listening() -> anyhow::Result<BTreeSet<u16>> {
    let table = std::fs::read_to_string("/proc/self/net/tcp")?;
    let port = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, state) = (fields.next()?, fields.nth(1)?);
        if state == "0A" { u16::from_str_radix(local.rsplit(':').next()?, 16).ok() } else { None }
    };
    Ok(table.lines().skip(1).filter_map(port).collect())
}

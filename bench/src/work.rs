//! What a worker does: the loads that are observed, and the pollers and busy loops beside them.
//!
//! A worker says when it is ready, begins when a line comes on its input, answers with a line of JSON, and ends with its
//! input.

pub(crate) mod calls;
pub(crate) mod connections;
pub(crate) mod edges;
pub(crate) mod held;
pub(crate) mod hold;
pub(crate) mod listen;
pub(crate) mod pingpong;
pub(crate) mod poll;
pub(crate) mod reports;
pub(crate) mod spinner;
pub(crate) mod transfer;
pub(crate) mod whole_run;

use std::io::{BufRead, Write};
use std::net::{Ipv4Addr, SocketAddrV4};

use portwitness::sut::hosts;
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::Serialize;

/// The line by which a worker says that it is ready.
pub(crate) const READY: &str = "ready";

/// What to do.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Work {
    /// Waits.
    Idle,
    /// Keeps a CPU busy.
    Spin,
    /// System calls that nobody observes, in a network namespace of their own.
    Calls { count: u64 },
    /// Opens and closes listeners, from several threads.
    Listen { count: u64, threads: u64 },
    /// Connects, accepts and closes.
    Connections { count: u64 },
    /// Opens and closes ports by a schedule, and says when it did.
    Edges { rounds: u64, ports: u16 },
    /// Flips one port as fast as it can, with a client that spins on connect.
    Flips { count: u64 },
    /// Looks again and again whether ports are open.
    Poll { how: poll::How, ports: u16, every_us: u64 },
    /// A ping-pong of 500 bytes on one connection.
    Pingpong { iterations: u64 },
    /// Sends a stream to an echo and back.
    Transfer { how: transfer::How, bytes: u64 },
    /// Holds ports open.
    Ports { count: u16 },
    /// Echoes what comes on these ports.
    Echo { ports: u16 },
    /// Observes a process that has many ports or connections.
    Held { what: held::What, count: u64 },
    /// Sends reports over ZMQ as fast as they are taken.
    Reports { endpoint: String, count: u64 },
    /// A whole run of a suite.
    Run { cases: u64, ports: u16, connections: u64 },
}

/// Does it.
pub(crate) fn run(work: Work) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    match work {
        Work::Idle => Turn::new().wait().map(drop),
        Work::Spin => spinner::spin(),
        Work::Calls { count } => {
            hosts::enter_private()?;
            repeat(|| calls::run(count))
        }
        Work::Listen { count, threads } => repeat(|| listen::run(count, threads)),
        Work::Connections { count } => repeat(|| connections::run(count)),
        Work::Edges { rounds, ports } => repeat(|| edges::run(rounds, ports)),
        Work::Flips { count } => repeat(|| edges::flip(count)),
        Work::Poll { how, ports, every_us } => poll::run(how, ports, every_us),
        Work::Pingpong { iterations } => repeat(|| pingpong::run(iterations)),
        Work::Transfer { how, bytes } => repeat(|| transfer::run(how, bytes)),
        Work::Ports { count } => hold::ports(count),
        Work::Echo { ports } => hold::echo(ports),
        Work::Held { what, count } => repeat(|| held::run(what, count)),
        Work::Reports { endpoint, count } => repeat(|| reports::run(&endpoint, count)),
        Work::Run { cases, ports, connections } => repeat(|| whole_run::run(cases, ports, connections)),
    }
}

/// The worker's side of the conversation.
pub(crate) struct Turn;

impl Turn {
    /// Says that it is ready.
    pub(crate) fn new() -> Self {
        println!("{READY}");
        Self
    }

    /// Waits for a line; false when the input has ended.
    pub(crate) fn wait(&mut self) -> anyhow::Result<bool> {
        Ok(std::io::stdin().lock().read_line(&mut String::new())? > 0)
    }

    /// Answers.
    pub(crate) fn answer(&mut self, what: &impl Serialize) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(what)?;
        line.push(b'\n');
        let mut output = std::io::stdout().lock();
        output.write_all(&line)?;
        Ok(output.flush()?)
    }
}

/// Does the same as often as it is told to.
fn repeat<T: Serialize>(mut act: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<()> {
    let mut turn = Turn::new();
    while turn.wait()? {
        turn.answer(&act()?)?;
    }
    Ok(())
}

/// The first port of the workers': below those that the kernel gives to clients by itself.
pub(crate) const FIRST_PORT: u16 = 20_000;

/// The `index`th port of the workers', on the loopback interface.
pub(crate) fn place(index: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, FIRST_PORT + index)
}

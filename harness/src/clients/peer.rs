//! A peer for tests: an echo server that misbehaves at a chosen byte, or when told to.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{ClientContext, Deadlines};
use crate::clock::RealtimeOffset;
use crate::endpoint::Endpoint;
use crate::history::{Event, OpId, OpStep, Outcome, Recorder, RunInfo};

/// What it does other than echo; offsets count the bytes of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    None,
    /// Flips the lowest bit of the byte at `at`.
    Flip {
        at: u64,
    },
    /// Leaves out `bytes` from `at` on.
    Drop {
        at: u64,
        bytes: u64,
    },
    /// Sends two more bytes right behind the one before `at`.
    Extra {
        at: u64,
    },
    /// Does so when it gets to byte `at`.
    At {
        at: u64,
        action: Action,
    },
    /// Echoes each piece this much later.
    Late(Duration),
}

/// What ends an echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Go,
    /// Sends a FIN and reads on.
    Close,
    /// Sends a RST.
    Reset,
    /// Neither reads nor writes any more.
    Stall,
}

pub(super) struct Peer {
    pub(super) endpoint: Endpoint,
    command: watch::Sender<Action>,
}

impl Peer {
    pub(super) async fn with(fault: Fault) -> Self {
        Self::at("127.0.0.1:0", fault).await
    }

    pub(super) async fn at(address: &str, fault: Fault) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let endpoint = listener.local_addr().unwrap().into();
        let (command, commands) = watch::channel(Action::Go);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, fault, commands.clone()));
            }
        });
        Self { endpoint, command }
    }

    /// Makes all its connections do so.
    pub(super) fn tell(&self, action: Action) {
        self.command.send_replace(action);
    }
}

async fn serve(mut stream: TcpStream, fault: Fault, mut commands: watch::Receiver<Action>) {
    stream.set_nodelay(true).unwrap();
    let action = tokio::select! {
        action = echo(&mut stream, fault) => action,
        action = async { *commands.wait_for(|action| *action != Action::Go).await.unwrap() } => action,
    };
    match action {
        Action::Go => {}
        Action::Close => {
            let _ = stream.shutdown().await;
            let mut rest = [0; 65536];
            while stream.read(&mut rest).await.is_ok_and(|count| count > 0) {}
        }
        Action::Reset => rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap(),
        Action::Stall => std::future::pending().await,
    }
}

async fn echo(stream: &mut TcpStream, fault: Fault) -> Action {
    let mut buffer = vec![0; 65536];
    let mut offset = 0u64;
    loop {
        let room = match fault {
            Fault::At { at, action } if at == offset => return action,
            Fault::At { at, .. } | Fault::Extra { at } if at > offset => (at - offset).min(65536) as usize,
            _ => buffer.len(),
        };
        let Ok(count @ 1..) = stream.read(&mut buffer[..room]).await else { return Action::Go };
        let mut piece = buffer[..count].to_vec();
        let end = offset + count as u64;
        match fault {
            Fault::Flip { at } if (offset..end).contains(&at) => piece[(at - offset) as usize] ^= 1,
            Fault::Drop { at, bytes } => {
                let mut place = offset;
                piece.retain(|_| {
                    place += 1;
                    !(at..at + bytes).contains(&(place - 1))
                });
            }
            Fault::Extra { at } if at == end => piece.extend(b"!!"),
            Fault::Late(delay) => tokio::time::sleep(delay).await,
            _ => {}
        }
        offset = end;
        if stream.write_all(&piece).await.is_err() {
            return Action::Go;
        }
    }
}

/// A context in memory whose connections may be idle for 300 ms.
pub(super) fn context(target: Endpoint) -> ClientContext {
    let run = RunInfo {
        suite: "tests".into(),
        sut: "peer".into(),
        profile: "quick".into(),
        seed: 1,
        netns: 0,
        kernel: String::new(),
        version: String::new(),
        realtime: RealtimeOffset::sample(),
        cases: Vec::new(),
    };
    let deadlines = Deadlines { connect: Duration::from_secs(5), idle: Duration::from_millis(300) };
    ClientContext::new(&Recorder::in_memory(run), "group", target).with_deadlines(deadlines)
}

impl Fault {
    /// A context for a client that meets it: a short patience only where nothing but a timeout tells the fault.
    pub(super) fn context(self, target: Endpoint) -> ClientContext {
        let hangs = matches!(self, Self::Drop { .. } | Self::At { action: Action::Stall, .. });
        if hangs { context(target) } else { patient(target) }
    }
}

/// A context whose connections may be idle for 20 s: for what has to succeed on a busy machine.
pub(super) fn patient(target: Endpoint) -> ClientContext {
    let deadlines = Deadlines { connect: Duration::from_secs(20), idle: Duration::from_secs(20) };
    context(target).with_deadlines(deadlines)
}

/// An endpoint that nobody listens on.
pub(super) async fn nobody() -> Endpoint {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().into()
}

/// The steps of an operation as they stand in the history.
pub(super) fn steps(context: &ClientContext, op: OpId) -> Vec<OpStep> {
    let of = |event: &Event| match event {
        Event::Operation(operation) if operation.op == op => Some(operation.step.clone()),
        _ => None,
    };
    context.recorder.records(|records| records.iter().filter_map(|record| of(&record.event)).collect())
}

/// The outcomes of all ends in the history.
pub(super) fn ends(context: &ClientContext) -> Vec<Outcome> {
    let of = |event: &Event| match event {
        Event::Operation(operation) => match &operation.step {
            OpStep::End { outcome, .. } => Some(outcome.clone()),
            _ => None,
        },
        _ => None,
    };
    context.recorder.records(|records| records.iter().filter_map(|record| of(&record.event)).collect())
}

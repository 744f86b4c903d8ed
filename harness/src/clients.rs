//! Clients drive the system under test: each connects, sends a payload, judges what comes back, and records every step.
//!
//! A client never fails a run: whatever happens to its connection is the [`Outcome`] of its operation, in the history and
//! in the [`Finished`] that it returns. An operation whose future is dropped ends as [`Outcome::Cancelled`]. Bytes are
//! verified as they stream, so memory is bounded by connections. No client half-closes before the echo is read (one that
//! means to, [`hold::half_closed`], says so), and each closes in order, with a FIN.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::endpoint::Endpoint;
use crate::history::{Anomaly, Iterations, OpId, Outcome, Recorder, RttHistogram};

mod activity;
mod connection;
pub mod echo;
pub mod hold;
pub mod many;
pub mod messages;
pub mod mix;
pub mod payload;
#[cfg(test)]
mod peer;
pub mod pingpong;
mod recording;
pub mod transfer;
mod turns;
pub mod verifier;

/// What every client needs to know.
#[derive(Clone)]
pub struct ClientContext {
    /// Where its steps are recorded.
    pub recorder: Recorder,
    /// The group of its operations, by which checks name them.
    pub group: String,
    /// Where it connects to.
    pub target: Endpoint,
    /// How long it waits.
    pub deadlines: Deadlines,
}

impl ClientContext {
    /// With the default deadlines.
    pub fn new(recorder: &Recorder, group: impl Into<String>, target: Endpoint) -> Self {
        Self { recorder: recorder.clone(), group: group.into(), target, deadlines: Deadlines::default() }
    }

    /// With other deadlines.
    pub fn with_deadlines(self, deadlines: Deadlines) -> Self {
        Self { deadlines, ..self }
    }
}

/// How long a client waits before it gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// For the connect.
    pub connect: Duration,
    /// For the next byte, in either direction: time without progress, however long the whole takes.
    pub idle: Duration,
}

impl Default for Deadlines {
    /// 10 s for the connect, 30 s without progress.
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), idle: Duration::from_secs(30) }
    }
}

/// An operation that ended, as its last record has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// Which.
    pub op: OpId,
    /// How.
    pub outcome: Outcome,
    /// When it began: before the connect.
    pub started: Timestamp,
    /// Right before the first write, when there was one that wrote.
    pub first_byte: Option<Timestamp>,
    /// When it ended: after the last read.
    pub ended: Timestamp,
    /// Bytes that were accepted by write(2).
    pub sent: u64,
    /// Bytes that came back.
    pub received: u64,
    /// Digest of what was sent, in hexadecimal, where asked for.
    pub sent_sha256: Option<String>,
    /// Digest of what came back, in hexadecimal, where asked for.
    pub received_sha256: Option<String>,
    /// The first eight places at which what came back is not what was sent.
    pub anomalies: Vec<Anomaly>,
    /// Turns, for clients that take them.
    pub iterations: Option<Iterations>,
    /// Round-trip times of the turns that were right.
    pub rtt: RttHistogram,
}

impl Finished {
    /// Whether the outcome is [`Outcome::Ok`].
    pub fn is_ok(&self) -> bool {
        self.outcome == Outcome::Ok
    }

    /// From start to end.
    pub fn took(&self) -> Duration {
        self.ended.since(self.started)
    }
}

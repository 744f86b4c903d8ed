//! What a handler did: a scenario that is carried out against the system by a process of its own.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::report::Report;
use crate::clock::Timestamp;
use crate::endpoint::{Endpoint, Tgid};

/// A step of a handler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handling {
    /// Which handler of the run, counted from 1.
    pub handler: u64,
    /// What it did.
    #[serde(flatten)]
    pub step: HandlerStep,
}

/// What a handler can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum HandlerStep {
    /// Its process was started.
    Start {
        /// The scenario's name.
        name: String,
        /// Which part of the system it speaks to: the `type` of the reports that it expects.
        minipot: String,
        /// Where it connects to.
        target: Endpoint,
        /// The address of its first connection; the others have the following ones. None: as the kernel chooses.
        address: Option<IpAddr>,
        /// What it puts into user names and URLs.
        marker: String,
        /// Its process.
        pid: Tgid,
    },
    /// connect(2) returned.
    Connect {
        /// Which connection of the handler, counted from 0.
        connection: u32,
        /// When it was called.
        began: Timestamp,
        /// The own end, when it succeeded.
        local: Option<Endpoint>,
        /// Why it did not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// Bytes were written.
    Sent {
        /// On which connection.
        connection: u32,
        /// How many.
        bytes: u64,
        /// The first of them, as text with escapes.
        head: String,
    },
    /// A reply was read, and was as expected.
    Received {
        /// On which connection.
        connection: u32,
        /// How many bytes.
        bytes: u64,
        /// The first of them, as text with escapes.
        head: String,
    },
    /// A connection is over.
    Over {
        /// Which.
        connection: u32,
        /// How it ended.
        how: ConnectionEnd,
    },
    /// The system must send this report.
    Expects {
        /// On account of which connection.
        connection: u32,
        /// What it must say; its `ts` is left open.
        report: Report,
        /// Right before the first byte that brings it about was sent, or connect(2) called.
        began: Timestamp,
    },
    /// The conversation did not go as it should.
    Failed {
        /// Where in the scenario: `ftp.toml:12:3`.
        place: String,
        /// What should have come.
        expected: String,
        /// What came.
        seen: String,
    },
    /// It ended.
    End {
        /// How.
        outcome: HandlerEnd,
    },
}

/// How a connection of a handler ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionEnd {
    /// The system closed it.
    Eof,
    /// The system reset it.
    Reset,
    /// The handler closed it.
    Closed,
    /// The handler reset it.
    Aborted,
}

/// How a handler ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "as", rename_all = "snake_case")]
pub enum HandlerEnd {
    /// It came to the end of its scenario.
    Done,
    /// The conversation failed, as the record before says.
    Failed,
    /// The scenario could not be carried out: a fault of the scenario or of this machine.
    Broken {
        /// Why.
        reason: String,
    },
    /// Its process ended without a word.
    Crashed {
        /// Exit code or signal.
        status: String,
        /// The end of what it wrote to standard error.
        said: String,
    },
    /// It did not end in time, and was killed.
    TimedOut {
        /// After this many ms.
        after_ms: u64,
    },
    /// It printed something that is no record of a handler.
    Garbage {
        /// The beginning of that.
        line: String,
    },
}

impl fmt::Display for HandlerEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("came to its end"),
            Self::Failed => f.write_str("failed"),
            Self::Broken { reason } => write!(f, "could not be carried out: {reason}"),
            Self::Crashed { status, said } if said.is_empty() => write!(f, "crashed ({status})"),
            Self::Crashed { status, said } => write!(f, "crashed ({status}): {said}"),
            Self::TimedOut { after_ms } => write!(f, "did not end within {after_ms} ms and was killed"),
            Self::Garbage { line } => write!(f, "printed what is no record of a handler: {line}"),
        }
    }
}

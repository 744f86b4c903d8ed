//! What clients and backends did.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::endpoint::Endpoint;

/// The number of an operation in its run, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OpId(pub u64);

/// The group of operations that bypass the system under test: only what is measured against them concerns them.
pub const YARDSTICK: &str = "yardstick";

/// A step of an operation: one client, one connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Which operation.
    pub op: OpId,
    /// How far it got.
    #[serde(flatten)]
    pub step: OpStep,
}

/// The steps of an operation, in their order; a step that never came is missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum OpStep {
    /// It begins: before the connect.
    Start {
        /// Checks name operations by their group; several may share one.
        group: String,
        /// The kind of client: `echo`, `transfer`, `ping_pong`, `messages`.
        client: String,
        /// Where it connects to.
        target: Endpoint,
        /// Bytes that it means to send.
        planned: u64,
        /// The first bytes that it means to send, 64 at most, in hexadecimal: they name it at the backend.
        head: String,
    },
    /// connect(2) returned.
    Connect {
        /// When it was called.
        began: Timestamp,
        /// Ok, refused, reset, timeout or failed.
        outcome: Outcome,
        /// The client's own end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        local: Option<Endpoint>,
    },
    /// The record's time is the moment right before the first write.
    FirstByte,
    /// Bytes moved again, at the record's time, after the longest time in which the client waited for some: a second at the
    /// least, else it is not recorded.
    Silence {
        /// For how long none had moved, in either direction.
        lasted_ms: u64,
    },
    /// It ended: after the last read, before the socket is closed.
    End {
        /// How.
        outcome: Outcome,
        /// Bytes that were accepted by write(2).
        sent: u64,
        /// Bytes that came back.
        received: u64,
        /// Digest of what was sent, where SHA-256 was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sent_sha256: Option<String>,
        /// Digest of what came back, where SHA-256 was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        received_sha256: Option<String>,
        /// Where what came back differs from what was sent, the first eight places.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        anomalies: Vec<Anomaly>,
        /// Round trips, for clients that take turns.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        iterations: Option<Iterations>,
        /// Round-trip times.
        #[serde(default, skip_serializing_if = "RttHistogram::is_empty")]
        rtt: RttHistogram,
    },
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// All that was sent came back as it should, and the connection was closed in order.
    Ok,
    /// ECONNREFUSED.
    Refused,
    /// ECONNRESET or EPIPE: at the connect, a write or a read.
    Reset,
    /// Nothing more within the time given.
    Timeout {
        /// The time given without progress, in ms.
        after_ms: u64,
    },
    /// The other end closed in order before everything had come.
    ClosedEarly,
    /// What came is not what was sent, first at this offset.
    Corrupt {
        /// Bytes from the start of the stream.
        offset: u64,
    },
    /// Another error of the operating system: nothing about the system under test follows from it.
    Failed {
        /// In words.
        error: String,
    },
    /// The run was interrupted.
    Cancelled,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Refused => f.write_str("refused"),
            Self::Reset => f.write_str("reset"),
            Self::Timeout { after_ms } => write!(f, "timeout ({after_ms} ms without progress)"),
            Self::ClosedEarly => f.write_str("closed early"),
            Self::Corrupt { offset } => write!(f, "corrupt at offset {offset}"),
            Self::Failed { error } => write!(f, "failed: {error}"),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

/// A place at which what came back is not what was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anomaly {
    /// Bytes from the start of what came back.
    pub offset: u64,
    /// What is wrong there.
    #[serde(flatten)]
    pub kind: AnomalyKind,
}

/// What is wrong at a place of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "anomaly", rename_all = "snake_case")]
pub enum AnomalyKind {
    /// Bytes changed; the stream goes on in step.
    Changed {
        /// How many, as far as the next right one.
        bytes: u64,
    },
    /// The stream goes on with what was sent at a later offset: bytes are missing, or come later.
    Ahead {
        /// The offset in what was sent.
        of: u64,
    },
    /// The stream goes on with what was sent at an earlier offset: bytes came twice, or too late.
    Back {
        /// The offset in what was sent.
        of: u64,
    },
    /// Nothing of what was sent is recognised from here on.
    Foreign,
    /// More came than was sent.
    Extra,
}

/// Turns that a client took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Iterations {
    /// Planned.
    pub planned: u64,
    /// Of these, echoed with the right content.
    pub ok: u64,
}

/// Round-trip times as a sparse histogram: a bucket's upper bound in ns and how many fell into it, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RttHistogram(pub Vec<(u64, u64)>);

impl RttHistogram {
    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A connection as one of our backends saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendConnection {
    /// The backend's name.
    pub backend: String,
    /// Where it listens.
    pub listen: Endpoint,
    /// Who connected.
    pub peer: Endpoint,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// The first bytes that came, 64 at most, in hexadecimal.
    pub head: String,
    /// Bytes that came.
    pub received: u64,
    /// Bytes that were sent back.
    pub sent: u64,
    /// How it ended.
    pub end: BackendEnd,
}

/// How a connection ended at a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendEnd {
    /// The peer closed in order, and everything had been sent back.
    Eof,
    /// A reset or another error.
    Reset,
    /// It was open still when the case ended, or the backend was stopped.
    Open,
}

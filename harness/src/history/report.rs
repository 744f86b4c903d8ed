//! The reports that a system sends, as they came, and what became of the observer that takes them in.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// A message that came over ZMQ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum Message {
    /// One frame, a topic: the system says that it has started.
    Welcome {
        /// The topic.
        topic: String,
    },
    /// Two frames: a topic and a MessagePack map that can be told to be a report.
    Report {
        /// The topic.
        topic: String,
        /// What it says, as far as it can be read.
        report: Report,
        /// How it departs from the wire format; empty for a report as it should be.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        flaws: Vec<Flaw>,
    },
    /// Anything else.
    Undecodable {
        /// What is wrong with it.
        reason: String,
        /// Its frames, the first eight.
        frames: Vec<Frame>,
    },
}

/// A report: what a system says that somebody did to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Report {
    /// When, in Unix seconds; none when that could not be read.
    pub ts: Option<u64>,
    /// Which part of the system: `ftp`, `http`, `smtp`, `telnet`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The peer's address, as text.
    pub ip: String,
    /// `connect`, `login`, `invalid`, `message`.
    pub action: String,
    /// Keys and values in their order; none where the report has no `data` at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Vec<(String, String)>>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} from {}", self.kind, self.action, self.ip)?;
        if let Some(data) = &self.data {
            f.write_str(" {")?;
            for (index, (key, value)) in data.iter().enumerate() {
                let comma = if index == 0 { "" } else { ", " };
                write!(f, "{comma}{key}={}", shortened(value))?;
            }
            f.write_str("}")?;
        }
        Ok(())
    }
}

/// A value in quotes; the middle of a long one is left out.
pub fn shortened(value: &str) -> String {
    const ENDS: usize = 40;
    let length = value.chars().count();
    if length <= 3 * ENDS {
        return format!("{value:?}");
    }
    let head: String = value.chars().take(ENDS).collect();
    let tail: String = value.chars().skip(length - ENDS).collect();
    format!("{head:?}..{tail:?} ({} bytes)", value.len())
}

/// How a report departs from the wire format.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "flaw", rename_all = "snake_case")]
pub enum Flaw {
    /// The keys of the map, or of `data`, stand in another order.
    KeyOrder {
        /// As they stand.
        found: Vec<String>,
    },
    /// A value, or a key, has another type.
    WrongType {
        /// Of which field: `ts`, `data.username`.
        field: String,
        /// What it should be.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// A field is not there.
    Missing {
        /// Which.
        field: String,
    },
    /// A field that no report has, or one that is there twice.
    Unexpected {
        /// Which.
        field: String,
    },
    /// Bytes follow the map.
    Trailing {
        /// How many.
        bytes: u64,
    },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyOrder { found } => write!(f, "its keys stand in the order {}", found.join(", ")),
            Self::WrongType { field, wanted, found } => write!(f, "`{field}` is {found}, not {wanted}"),
            Self::Missing { field } => write!(f, "`{field}` is missing"),
            Self::Unexpected { field } => write!(f, "`{field}` should not be there"),
            Self::Trailing { bytes } => write!(f, "{bytes} bytes follow the map"),
        }
    }
}

/// A frame of a message that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// In bytes.
    pub length: u64,
    /// The first of them, in hexadecimal.
    pub head: String,
}

/// What became of the socket on which reports come in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum ReportsChange {
    /// It takes reports from now on.
    Bound {
        /// Where, as ZMQ writes it.
        endpoint: String,
        /// The topic that messages should have.
        topic: String,
    },
    /// It was closed by the suite: to the system, its peer went away.
    Unbound,
    /// It is bound and takes nothing in until it is closed: to the system, a peer that never reads.
    Held,
    /// A peer connected and said who it is.
    Connected,
    /// A peer went away, or was put off.
    Disconnected,
    /// A peer spoke another protocol.
    Refused {
        /// In ZMQ's words.
        reason: String,
    },
    /// As many messages as its queue holds came without a pause: the system may have been held up.
    Backlog {
        /// Messages in a row.
        messages: u64,
        /// When that began.
        since: Timestamp,
    },
    /// Everything that had come when it was asked for is in the history.
    Drained {
        /// Messages in all, since the first `Bound`.
        messages: u64,
    },
    /// A capture came to its end.
    Settled {
        /// Expected reports that had not come by then.
        missing: u64,
        /// How long it took from the end of the last handler on, in ms.
        waited_ms: u64,
    },
    /// It was closed by the runner.
    Stopped {
        /// Messages in all.
        messages: u64,
    },
    /// It ended by itself.
    Died {
        /// Why.
        reason: String,
    },
}

impl ReportsChange {
    /// Whether it bears on later cases too.
    pub(super) fn is_lasting(&self) -> bool {
        !matches!(self, Self::Backlog { .. } | Self::Drained { .. } | Self::Settled { .. })
    }
}

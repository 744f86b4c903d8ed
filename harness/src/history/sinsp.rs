//! What a program on libsinsp printed, and what became of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Timestamp;

/// A line of such a program, or something that its observer has to say of it. A record of it is stamped when it came; what
/// a line tells of happened earlier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "snake_case")]
pub enum SinspSaid {
    /// The program was started, and captures events from now on.
    Started(Capture),
    /// An event, in full.
    Event(SinspEvent),
    /// A sentinel that the observer had provoked was read.
    Sentinel {
        /// Of which fence.
        number: u64,
        /// On which CPU.
        cpu: u32,
        /// What the driver has lost since the capture began, where the program tells it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        drops: Option<u64>,
        /// Events that the program has read, before its filter, where it tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        read: Option<u64>,
    },
    /// Everything of what happened before `began` has been read, when all sentinels came back.
    Fenced {
        /// The number of the fence.
        number: u64,
        /// When the first sentinel was provoked.
        began: Timestamp,
        /// CPUs on which one was provoked.
        cpus: u32,
        /// Sentinels that came back.
        seen: u32,
    },
    /// A line that is neither an event nor anything else that the program prints.
    Unreadable {
        /// How it begins.
        text: String,
        /// Bytes of the line; what is not in `text` was not kept.
        bytes: u64,
        /// What is wrong with it.
        why: String,
    },
    /// Something that the program tells people: notes and statistics.
    Remark {
        /// In its words.
        text: String,
    },
    /// The program's own last line.
    Ended {
        /// Whether all that happened before the end was read, where it tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        complete: Option<bool>,
        /// What the driver has lost since the capture began, where it tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        drops: Option<u64>,
        /// Events that the program has read, before its filter, where it tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        read: Option<u64>,
    },
    /// Nothing more comes.
    Gone {
        /// In words: exit code, signal, or what else happened.
        how: String,
        /// Whether the observer had asked for it.
        asked: bool,
    },
}

/// How events are captured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Capture {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Its process.
    pub pid: u32,
    /// What it prints.
    pub format: SinspFormat,
    /// Which events it was asked for.
    pub filter: String,
    /// The interface of the driver, as the driver says: `1.0.0`, say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// The version of its events: `4.1.0`, say. Older histories lack it: of the drivers that were known then the API told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The version of the library, where the program tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub library: Option<String>,
    /// What is remarkable about the versions: none where all are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// An event as it was printed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SinspEvent {
    /// When it happened; none where the line does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub happened: Option<Timestamp>,
    /// The clock of events is another than that of the run: it happened so many ns before or after that at the most.
    pub give_or_take_ns: u64,
    /// The line.
    pub line: Value,
    /// Where it is not as its schema says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flaws: Vec<SchemaFlaw>,
}

/// Something in a line that is not as its schema says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaFlaw {
    /// Where: a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What is wrong there.
    pub why: String,
}

/// The formats of lines that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SinspFormat {
    /// Our own program: every parameter with its type and its bytes.
    SinspEvents,
    /// `sysdig -j`: parameters as one text.
    Sysdig,
    /// `sinsp-example -j`: parameters as one text, no direction for events of the category net.
    SinspExample,
}

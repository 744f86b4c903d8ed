//! `history.jsonl`: a header line that names the format's version and the run, then one record a line.
//!
//! A history that outgrows [`FIRST_PART_BYTES`] goes on in `history.2.jsonl.zst`, `history.3.jsonl.zst`..., compressed.

mod line;
mod reader;
mod writer;
mod writing;

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::record::CaseId;
use crate::clock::RealtimeOffset;
pub use reader::HistoryReader;
pub(super) use writing::Writing;

/// For tests of parts that are small enough to be tested.
#[cfg(test)]
pub(super) mod testing {
    pub(in crate::history) use super::writer::Limits;
    pub(in crate::history) use super::writing::Writing;
}

/// Bytes of the first part, which stays readable as it is; ordinary runs never outgrow it (about 700,000 records).
const FIRST_PART_BYTES: u64 = 256 << 20;

/// Bytes of each further part before compression: what a cut may cost, and what a reader unpacks at a time, has a bound.
const NEXT_PART_BYTES: u64 = 1 << 30;

/// The version that this program writes and reads.
pub const FORMAT_VERSION: u32 = 1;

/// What was run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// The suite, for example `tunnel`.
    pub suite: String,
    /// The name of the system under test, from its profile.
    pub sut: String,
    /// `quick` or `full`.
    pub profile: String,
    /// Every payload and every random choice follows from it.
    pub seed: u64,
    /// The inode number of the network namespace that the run is in; 0 when unknown.
    pub netns: u32,
    /// The kernel's release, as uname(2) gives it.
    pub kernel: String,
    /// The program's version.
    pub version: String,
    /// CLOCK_REALTIME at the start.
    pub realtime: RealtimeOffset,
    /// The cases that were to be run, in their order.
    pub cases: Vec<PlannedCase>,
}

/// A case that was to be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedCase {
    /// Which.
    pub case: CaseId,
    /// In words.
    pub title: String,
    /// Where the specification has it.
    pub spec: String,
}

#[derive(Serialize, Deserialize)]
struct Header {
    portwitness_history: u32,
    #[serde(flatten)]
    run: RunInfo,
}

/// Why a history could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The operating system refused.
    #[error("could not {doing} {path}: {source}")]
    Io {
        /// What was tried: `create`, `read`, ...
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The first line is not a header.
    #[error(
        "{path} is not a history of portwitness: its first line is not a header ({why}); name a run \
         directory or the history.jsonl in it"
    )]
    NoHeader {
        /// Which file.
        path: PathBuf,
        /// What the parser says.
        why: String,
    },
    /// Another format.
    #[error(
        "{path} has version {found} of the history format, and this program reads version {FORMAT_VERSION}: judge it \
         with the program that wrote it"
    )]
    Version {
        /// Which file.
        path: PathBuf,
        /// The version that it names.
        found: u64,
    },
    /// A line within the file cannot be read.
    #[error("{path}:{line} is not a record: {why}; the lines before and after it are untouched")]
    BadLine {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What the parser says.
        why: String,
    },
    /// A record cannot be written as JSON.
    #[error("could not write a record as JSON: {0}")]
    Encode(serde_json::Error),
    /// The thread that writes the file panicked.
    #[error("the writer of the history panicked; what it had written is kept")]
    WriterPanicked,
}

/// The file of a part, counted from 1.
fn part_path(path: &Path, part: u32) -> PathBuf {
    match part {
        1 => path.into(),
        part => path.with_extension(format!("{part}.jsonl.zst")),
    }
}

//! `history.jsonl`: a header line that names the format's version and the run, then one record a line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::History;
use super::record::{CaseId, Record};
use crate::clock::RealtimeOffset;

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
    #[error("{path} is not a history of portwitness: its first line is not a header ({why})")]
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

pub(super) struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Writer {
    pub(super) fn create(path: &Path, run: &RunInfo) -> Result<Self, HistoryError> {
        let failed = |source| HistoryError::Io { doing: "create", path: path.into(), source };
        let file = BufWriter::with_capacity(1 << 16, File::create(path).map_err(failed)?);
        let mut writer = Self { path: path.into(), file };
        writer.line(&Header { portwitness_history: FORMAT_VERSION, run: run.clone() })?;
        writer.flush()?;
        Ok(writer)
    }

    pub(super) fn append(&mut self, record: &Record) -> Result<(), HistoryError> {
        self.line(record)
    }

    pub(super) fn flush(&mut self) -> Result<(), HistoryError> {
        self.file.flush().map_err(|source| self.failed(source))
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), HistoryError> {
        let mut line = serde_json::to_vec(value).map_err(HistoryError::Encode)?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> HistoryError {
        HistoryError::Io { doing: "write", path: self.path.clone(), source }
    }
}

impl History {
    /// Reads `history.jsonl`. A last line that breaks off (a full disk, a kill) is left out and noted in
    /// [`History::cut_at_line`]; a broken line elsewhere is an error.
    pub fn load(path: &Path) -> Result<Self, HistoryError> {
        let failed = |source| HistoryError::Io { doing: "read", path: path.into(), source };
        let mut reader = BufReader::with_capacity(1 << 16, File::open(path).map_err(failed)?);
        let mut text = Vec::new();
        reader.read_until(b'\n', &mut text).map_err(failed)?;
        let run = header(path, &text)?;
        let mut records = Vec::new();
        for line in 2.. {
            text.clear();
            if reader.read_until(b'\n', &mut text).map_err(failed)? == 0 {
                return Ok(Self::new(run, records));
            }
            match serde_json::from_slice(&text) {
                Ok(record) => records.push(record),
                Err(_) if text.last() != Some(&b'\n') => {
                    return Ok(Self { cut_at_line: Some(line), ..Self::new(run, records) });
                }
                Err(why) => {
                    return Err(HistoryError::BadLine { path: path.into(), line, why: why.to_string() });
                }
            }
        }
        unreachable!("the line numbers do not end")
    }
}

fn header(path: &Path, line: &[u8]) -> Result<RunInfo, HistoryError> {
    let bad = |why: String| HistoryError::NoHeader { path: path.into(), why };
    let value: serde_json::Value = serde_json::from_slice(line).map_err(|why| bad(why.to_string()))?;
    let version = value.get("portwitness_history").and_then(serde_json::Value::as_u64);
    match version {
        Some(found) if found == u64::from(FORMAT_VERSION) => {}
        Some(found) => {
            return Err(HistoryError::Version { path: path.into(), found });
        }
        None => return Err(bad("no `portwitness_history`".into())),
    }
    let header: Header = serde_json::from_value(value).map_err(|why| bad(why.to_string()))?;
    Ok(header.run)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::clock::Timestamp;
    use crate::history::{Event, ObserverChange, Recorder, Source};

    fn run() -> RunInfo {
        let realtime = RealtimeOffset { at: Timestamp(1), offset_ns: 2, uncertainty_ns: 3 };
        RunInfo {
            suite: "tunnel".into(),
            sut: "s".into(),
            profile: "quick".into(),
            seed: 7,
            netns: 1,
            kernel: "6.18".into(),
            version: "0".into(),
            realtime,
            cases: Vec::new(),
        }
    }

    fn written() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.jsonl");
        let recorder = Recorder::create(&path, run()).unwrap();
        for n in [3, 1, 2] {
            let event = Event::Note { text: format!("note {n}") };
            recorder.append(Record { at: Timestamp(n), uncertainty_ns: 0, source: Source::Runner, event });
        }
        recorder.finish().unwrap();
        (folder, path)
    }

    #[test]
    fn what_was_written_is_read_in_the_order_of_time() {
        let (_folder, path) = written();
        let history = History::load(&path).unwrap();
        assert_eq!(history.run, run());
        assert_eq!(history.records.iter().map(|record| record.at.0).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(history.cut_at_line, None);
    }

    #[test]
    fn an_observer_with_an_uncertainty_survives_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.jsonl");
        let recorder = Recorder::create(&path, run()).unwrap();
        for (uncertainty_ns, of_record) in [(0, 0), (5, 0), (0, 7), (5, 7)] {
            let started = ObserverChange::Started { rung: "r".into(), uncertainty_ns, sees_connections: true };
            let event = Event::Observer(started);
            recorder.append(Record { at: Timestamp(1), uncertainty_ns: of_record, source: Source::Ebpf, event });
        }
        recorder.finish().unwrap();
        assert_eq!(History::load(&path).unwrap().records, recorder.history().records);
    }

    #[test]
    fn a_file_that_breaks_off_keeps_what_came_before() {
        let (_folder, path) = written();
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 5]).unwrap();
        let history = History::load(&path).unwrap();
        assert_eq!(history.records.len(), 2);
        assert_eq!(history.cut_at_line, Some(4));
    }

    #[test]
    fn a_broken_line_in_the_middle_is_named() {
        let (_folder, path) = written();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines: Vec<_> = text.lines().collect();
        lines[2] = "{\"at\":";
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        let error = History::load(&path).unwrap_err().to_string();
        assert!(error.contains("history.jsonl:3 is not a record"), "{error}");
    }

    #[test]
    fn another_version_is_refused_by_name() {
        let (_folder, path) = written();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("\"portwitness_history\":1", "\"portwitness_history\":9")).unwrap();
        let error = History::load(&path).unwrap_err().to_string();
        assert!(error.contains("version 9"), "{error}");
        std::fs::write(&path, "hello\n").unwrap();
        assert!(History::load(&path).unwrap_err().to_string().contains("first line is not a header"));
    }
}

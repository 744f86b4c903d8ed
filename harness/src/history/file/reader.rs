//! Reads a history record by record, part by part, so that its length does not matter.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::{FORMAT_VERSION, Header, HistoryError, RunInfo, part_path};
use crate::history::History;
use crate::history::record::Record;

/// A line is a record or a header; longer ones are none of ours.
const LONGEST_LINE: u64 = 64 << 20;

/// The records of a stored history, in the order of arrival.
///
/// A last line that breaks off (a full disk, a kill) is left out, see [`Self::cut_at_line`]; a broken line elsewhere is
/// an error, after which nothing more comes.
pub struct HistoryReader {
    path: PathBuf,
    run: RunInfo,
    part: Box<dyn BufRead + Send>,
    number: u32,
    line: usize,
    text: Vec<u8>,
    cut_at_line: Option<usize>,
    ended: bool,
}

impl HistoryReader {
    /// Opens a history and reads its header.
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        let failed = |source| HistoryError::Io { doing: "read", path: path.into(), source };
        let mut part = BufReader::with_capacity(1 << 16, File::open(path).map_err(failed)?);
        let mut text = Vec::new();
        read_line(&mut part, &mut text).map_err(failed)?;
        let run = header(path, &text)?;
        let part = Box::new(part);
        Ok(Self { path: path.into(), run, part, number: 1, line: 1, text, cut_at_line: None, ended: false })
    }

    /// What was run.
    pub fn run(&self) -> &RunInfo {
        &self.run
    }

    /// The line of the last part within which the history breaks off, counted from 1; known after the last record.
    pub fn cut_at_line(&self) -> Option<usize> {
        self.cut_at_line
    }

    fn read(&mut self) -> Result<Option<Record>, HistoryError> {
        loop {
            self.text.clear();
            self.line += 1;
            let read = match read_line(&mut self.part, &mut self.text) {
                Ok(read) => read,
                // A compressed part that was cut ends within a block; what came before has been given out.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && self.is_last() => {
                    self.cut_at_line = Some(self.line);
                    return Ok(None);
                }
                Err(source) => return Err(HistoryError::Io { doing: "read", path: self.part_path(), source }),
            };
            if read == 0 {
                if self.is_last() {
                    return Ok(None);
                }
                self.next_part()?;
                continue;
            }
            return match serde_json::from_slice(&self.text) {
                Ok(record) => Ok(Some(record)),
                Err(_) if self.text.last() != Some(&b'\n') && self.is_last() => {
                    self.cut_at_line = Some(self.line);
                    Ok(None)
                }
                Err(why) => Err(HistoryError::BadLine { path: self.part_path(), line: self.line, why: reason(&why) }),
            };
        }
    }

    fn part_path(&self) -> PathBuf {
        part_path(&self.path, self.number)
    }

    fn is_last(&self) -> bool {
        !part_path(&self.path, self.number + 1).exists()
    }

    fn next_part(&mut self) -> Result<(), HistoryError> {
        (self.number, self.line) = (self.number + 1, 0);
        let path = self.part_path();
        let open = || zstd::stream::read::Decoder::new(File::open(&path)?);
        let part = open().map_err(|source| HistoryError::Io { doing: "read", path: path.clone(), source })?;
        self.part = Box::new(BufReader::with_capacity(1 << 16, part));
        Ok(())
    }
}

impl Iterator for HistoryReader {
    type Item = Result<Record, HistoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let record = self.read().transpose();
        self.ended = !matches!(record, Some(Ok(_)));
        record
    }
}

impl History {
    /// Reads a whole history into memory; see [`HistoryReader`] for what becomes of a broken one.
    pub fn load(path: &Path) -> Result<Self, HistoryError> {
        let mut reader = HistoryReader::open(path)?;
        let records = reader.by_ref().collect::<Result<Vec<_>, _>>()?;
        Ok(Self { cut_at_line: reader.cut_at_line, ..Self::new(reader.run, records) })
    }
}

/// Like `read_until`, up to [`LONGEST_LINE`] bytes.
fn read_line(part: &mut (impl BufRead + ?Sized), text: &mut Vec<u8>) -> io::Result<usize> {
    use io::Read;
    part.take(LONGEST_LINE).read_until(b'\n', text)
}

/// What the parser says of a line; the number that it gives is not that of the line in the file.
fn reason(why: &serde_json::Error) -> String {
    why.to_string().replace(" at line 1 column ", " at column ")
}

fn header(path: &Path, line: &[u8]) -> Result<RunInfo, HistoryError> {
    let bad = |why: String| HistoryError::NoHeader { path: path.into(), why };
    let value: serde_json::Value = serde_json::from_slice(line).map_err(|why| bad(reason(&why)))?;
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

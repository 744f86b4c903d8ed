//! Writes the parts of a history: the first as plain text, what outgrows it compressed.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use zstd::stream::write::Encoder;

use super::{FIRST_PART_BYTES, FORMAT_VERSION, Header, HistoryError, NEXT_PART_BYTES, RunInfo, line, part_path};
use crate::history::record::Record;

/// zstd's fastest ordinary level: a history shrinks to about a twentieth, and the writer keeps up with the observer.
const LEVEL: i32 = 1;

/// The file that is being written.
pub(super) struct Writer {
    path: PathBuf,
    part: Part,
    number: u32,
    /// Bytes in this part, before compression.
    written: u64,
    limits: Limits,
    line: Vec<u8>,
}

/// Sizes of the parts in bytes, before compression.
#[derive(Clone, Copy)]
pub(in crate::history) struct Limits {
    pub(in crate::history) first: u64,
    pub(in crate::history) next: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { first: FIRST_PART_BYTES, next: NEXT_PART_BYTES }
    }
}

enum Part {
    Plain(BufWriter<File>),
    Packed(Encoder<'static, BufWriter<File>>),
}

impl Writer {
    /// Creates the first part and writes its header; removes further parts of an older history of that name.
    pub(super) fn create(path: &Path, run: &RunInfo, limits: Limits) -> Result<Self, HistoryError> {
        let failed = |source| HistoryError::Io { doing: "create", path: path.into(), source };
        let file = File::create(path).map_err(failed)?;
        for part in 2.. {
            match std::fs::remove_file(part_path(path, part)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(failed(error)),
            }
        }
        let part = Part::Plain(BufWriter::with_capacity(1 << 16, file));
        let mut writer = Self { path: path.into(), part, number: 1, written: 0, limits, line: Vec::new() };
        let header = Header { portwitness_history: FORMAT_VERSION, run: run.clone() };
        serde_json::to_writer(&mut writer.line, &header).map_err(HistoryError::Encode)?;
        writer.line.push(b'\n');
        writer.put_line()?;
        writer.flush()?;
        Ok(writer)
    }

    /// Appends a record as a line.
    pub(super) fn append(&mut self, record: &Record) -> Result<(), HistoryError> {
        let limit = if self.number == 1 { self.limits.first } else { self.limits.next };
        if self.written >= limit {
            self.next_part()?;
        }
        self.line.clear();
        line::write(record, &mut self.line).map_err(HistoryError::Encode)?;
        self.put_line()
    }

    /// Whether the part that is being written is plain text.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.part, Part::Plain(_))
    }

    /// Hands everything so far to the operating system.
    pub(super) fn flush(&mut self) -> Result<(), HistoryError> {
        let done = match &mut self.part {
            Part::Plain(file) => file.flush(),
            Part::Packed(file) => file.flush(),
        };
        done.map_err(|source| self.failed(source))
    }

    /// Ends the last part.
    pub(super) fn finish(self) -> Result<(), HistoryError> {
        let path = part_path(&self.path, self.number);
        let done = match self.part {
            Part::Plain(mut file) => file.flush(),
            Part::Packed(file) => file.finish().and_then(|mut file| file.flush()),
        };
        done.map_err(|source| HistoryError::Io { doing: "write", path, source })
    }

    fn next_part(&mut self) -> Result<(), HistoryError> {
        let path = part_path(&self.path, self.number + 1);
        let create = || Encoder::new(BufWriter::with_capacity(1 << 16, File::create(&path)?), LEVEL);
        let next = create().map_err(|source| HistoryError::Io { doing: "create", path: path.clone(), source })?;
        self.flush()?;
        if let Part::Packed(last) = std::mem::replace(&mut self.part, Part::Packed(next)) {
            last.finish().and_then(|mut file| file.flush()).map_err(|source| self.failed(source))?;
        }
        (self.number, self.written) = (self.number + 1, 0);
        Ok(())
    }

    fn put_line(&mut self) -> Result<(), HistoryError> {
        let done = match &mut self.part {
            Part::Plain(file) => file.write_all(&self.line),
            Part::Packed(file) => file.write_all(&self.line),
        };
        self.written += self.line.len() as u64;
        done.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> HistoryError {
        HistoryError::Io { doing: "write", path: part_path(&self.path, self.number), source }
    }
}

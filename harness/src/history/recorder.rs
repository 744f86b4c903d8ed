//! The append side of a history: every role writes through it, and the file is written as the run goes.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::History;
use super::file::{HistoryError, RunInfo, Writer};
use super::listeners::Listeners;
use super::operation::OpId;
use super::record::{Event, Record, Source};

/// A handle to the history that is being written; cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
}

struct Shared {
    run: RunInfo,
    state: Mutex<State>,
    last_op: AtomicU64,
}

#[derive(Default)]
struct State {
    records: Vec<Record>,
    listeners: Listeners,
    file: Option<File>,
    failed: Option<Arc<HistoryError>>,
}

struct File {
    lines: Sender<Record>,
    thread: JoinHandle<Result<(), HistoryError>>,
}

impl Recorder {
    /// A history in memory alone.
    pub fn in_memory(run: RunInfo) -> Self {
        Self::with(run, None)
    }

    /// A history that a thread of its own writes to `path` as records come; the file is created now.
    pub fn create(path: &Path, run: RunInfo) -> Result<Self, HistoryError> {
        let writer = Writer::create(path, &run)?;
        let (lines, incoming) = channel();
        let path = PathBuf::from(path);
        let thread = std::thread::Builder::new()
            .name("history".into())
            .spawn(move || write(writer, &incoming))
            .map_err(|source| HistoryError::Io { doing: "start the writer of", path, source })?;
        Ok(Self::with(run, Some(File { lines, thread })))
    }

    fn with(run: RunInfo, file: Option<File>) -> Self {
        let state = Mutex::new(State { file, ..State::default() });
        Self { shared: Arc::new(Shared { run, state, last_op: AtomicU64::new(0) }) }
    }

    /// What is being recorded.
    pub fn run(&self) -> &RunInfo {
        &self.shared.run
    }

    /// Appends a record.
    pub fn append(&self, record: Record) {
        let mut state = self.state();
        state.listeners.apply(&record);
        if let Some(file) = &state.file {
            // The writer has ended only when it failed; `finish` tells of that.
            let _ = file.lines.send(record.clone());
        }
        state.records.push(record);
    }

    /// Appends a record of this moment.
    pub fn record(&self, source: Source, event: Event) {
        self.append(Record::now(source, event));
    }

    /// The number of the next operation.
    pub fn next_op(&self) -> OpId {
        OpId(self.shared.last_op.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Looks at the sockets that listen now, as far as observers have reported.
    pub fn listeners<T>(&self, look: impl FnOnce(&Listeners) -> T) -> T {
        look(&self.state().listeners)
    }

    /// Looks at all records so far, in the order of arrival.
    pub fn records<T>(&self, look: impl FnOnce(&[Record]) -> T) -> T {
        look(&self.state().records)
    }

    /// A copy of the history so far, in the order of time.
    pub fn history(&self) -> History {
        History::new(self.shared.run.clone(), self.state().records.clone())
    }

    /// Whether writing the file has failed already: its thread ended before it was told to.
    pub fn file_failed(&self) -> bool {
        self.state().file.as_ref().is_some_and(|file| file.thread.is_finished())
    }

    /// Writes out what is left and closes the file; later records stay in memory.
    pub fn finish(&self) -> Result<(), Arc<HistoryError>> {
        let mut state = self.state();
        if let Some(File { lines, thread }) = state.file.take() {
            drop(lines);
            let outcome = thread.join().unwrap_or(Err(HistoryError::WriterPanicked));
            state.failed = outcome.err().map(Arc::new);
        }
        state.failed.clone().map_or(Ok(()), Err)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves nothing half-done here: each method changes the state in one step.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes records as they come; what has been idle for 100 ms is on its way to the disk.
fn write(mut writer: Writer, incoming: &Receiver<Record>) -> Result<(), HistoryError> {
    loop {
        match incoming.recv_timeout(Duration::from_millis(100)) {
            Ok(record) => writer.append(&record)?,
            Err(RecvTimeoutError::Timeout) => writer.flush()?,
            Err(RecvTimeoutError::Disconnected) => return writer.flush(),
        }
    }
}

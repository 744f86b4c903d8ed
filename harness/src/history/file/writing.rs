//! The thread that writes a history while the run goes on.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::writer::{Limits, Writer};
use super::{HistoryError, RunInfo};
use crate::history::record::Record;

/// A compressed part is on its way to the disk after this time; a plain one as soon as nothing more waits to be written.
const FLUSH_EVERY: Duration = Duration::from_millis(100);

/// An observer waits while more records than these are unwritten: some 20 MiB.
const ROOM: usize = 65_536;

/// A history file that is being written.
pub(crate) struct Writing {
    state: Mutex<Open>,
    queue: Arc<Queue>,
}

#[derive(Default)]
struct Open {
    batches: Option<Sender<Vec<Record>>>,
    thread: Option<JoinHandle<Result<(), HistoryError>>>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<Unwritten>,
    shrank: Condvar,
}

#[derive(Default)]
struct Unwritten {
    records: usize,
    /// The thread is gone: nothing will ever be written again.
    abandoned: bool,
}

impl Writing {
    /// Creates the file and starts its thread.
    pub(crate) fn create(path: &Path, run: &RunInfo) -> Result<Self, HistoryError> {
        Self::with_limits(path, run, Limits::default())
    }

    pub(in crate::history) fn with_limits(path: &Path, run: &RunInfo, limits: Limits) -> Result<Self, HistoryError> {
        let writer = Writer::create(path, run, limits)?;
        let (batches, incoming) = channel();
        let queue = Arc::new(Queue::default());
        let watched = Abandons(Arc::clone(&queue));
        let thread = std::thread::Builder::new()
            .name("history".into())
            .spawn(move || write(writer, &incoming, &watched.0))
            .map_err(|source| HistoryError::Io { doing: "start the writer of", path: path.into(), source })?;
        Ok(Self { state: Mutex::new(Open { batches: Some(batches), thread: Some(thread) }), queue })
    }

    /// Hands over records; after the file was finished, or its thread has failed, they are dropped.
    pub(crate) fn send(&self, records: Vec<Record>) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(batches) = &state.batches else { return };
        self.queue.add(records.len());
        // The thread has ended only when it failed; `finish` tells of that.
        let _ = batches.send(records);
    }

    /// Returns when the writer is at most [`ROOM`] records behind, or has ended.
    pub(crate) fn wait_for_room(&self) {
        let state = self.queue.lock();
        drop(self.queue.shrank.wait_while(state, |state| state.records > ROOM && !state.abandoned));
    }

    /// Whether the thread has ended, which before [`Self::finish`] means that it failed.
    pub(crate) fn has_ended(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Writes out what is left and closes the file.
    pub(crate) fn finish(&self) -> Result<(), HistoryError> {
        let Open { batches, thread } = std::mem::take(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner));
        drop(batches);
        thread.map_or(Ok(()), |thread| thread.join().unwrap_or(Err(HistoryError::WriterPanicked)))
    }
}

/// What was handed over is written, also when a panic ends the run.
impl Drop for Writing {
    fn drop(&mut self) {
        let _ = self.finish();
    }
}

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, Unwritten> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, records: usize) {
        self.lock().records += records;
    }

    fn written(&self, records: usize) {
        let mut state = self.lock();
        state.records -= records;
        if state.records <= ROOM {
            self.shrank.notify_all();
        }
    }
}

/// However the thread ends, nobody waits for it any longer.
struct Abandons(Arc<Queue>);

impl Drop for Abandons {
    fn drop(&mut self) {
        self.0.lock().abandoned = true;
        self.0.shrank.notify_all();
    }
}

fn write(mut writer: Writer, incoming: &Receiver<Vec<Record>>, queue: &Queue) -> Result<(), HistoryError> {
    let mut flushed = Instant::now();
    loop {
        match incoming.recv_timeout(FLUSH_EVERY) {
            Ok(records) => {
                for records in std::iter::once(records).chain(incoming.try_iter()) {
                    records.iter().try_for_each(|record| writer.append(record))?;
                    queue.written(records.len());
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return writer.finish(),
        }
        // To flush a compressor ends a block, and small blocks compress badly.
        if writer.is_plain() || flushed.elapsed() >= FLUSH_EVERY {
            writer.flush()?;
            flushed = Instant::now();
        }
    }
}

//! The append side of a history: every role writes through it, and the file is written as the run goes.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::History;
use super::carry::carry;
use super::evidence::{Evidence, Taken};
use super::file::{HistoryError, RunInfo, Writing};
use super::listeners::Listeners;
use super::operation::OpId;
use super::record::{Event, Record, Source};

/// What a recorder keeps in memory, beside what it writes to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All records.
    Everything,
    /// What checks judge by: all but the system calls (with a second witness these too), and of past cases ([`Recorder::settle`]) only what later ones build
    /// on. Memory is bounded by the connections of one case, or its system calls.
    Evidence,
    /// Only which sockets listen: memory is bounded by their number.
    Listeners,
}

/// A handle to the history that is being written; cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
}

struct Shared {
    run: Arc<RunInfo>,
    keep: Keep,
    state: Mutex<State>,
    last_op: AtomicU64,
}

#[derive(Default)]
struct State {
    records: Vec<Record>,
    listeners: Listeners,
    evidence: Evidence,
    file: Option<Arc<Writing>>,
    failed: Option<Arc<HistoryError>>,
    subscribers: Vec<Sender<Record>>,
}

impl Recorder {
    /// A history in memory alone, all of it.
    pub fn in_memory(run: RunInfo) -> Self {
        Self::with(run, Keep::Everything, None)
    }

    /// A history that a thread of its own writes to `path` as records come; the file is created now. Memory holds the
    /// evidence alone.
    pub fn create(path: &Path, run: RunInfo) -> Result<Self, HistoryError> {
        Self::create_keeping(path, run, Keep::Evidence)
    }

    /// The same, with a choice of what is held in memory.
    pub fn create_keeping(path: &Path, run: RunInfo, keep: Keep) -> Result<Self, HistoryError> {
        let file = Writing::create(path, &run)?;
        Ok(Self::with(run, keep, Some(Arc::new(file))))
    }

    /// A history that is kept nowhere: only subscribers see its records.
    pub fn streaming(run: RunInfo) -> Self {
        Self::with(run, Keep::Listeners, None)
    }

    fn with(run: RunInfo, keep: Keep, file: Option<Arc<Writing>>) -> Self {
        let state = Mutex::new(State { file, ..State::default() });
        Self { shared: Arc::new(Shared { run: Arc::new(run), keep, state, last_op: AtomicU64::new(0) }) }
    }

    /// What is being recorded.
    pub fn run(&self) -> &RunInfo {
        &self.shared.run
    }

    /// Appends a record. Never waits for the disk.
    pub fn append(&self, record: Record) {
        let mut state = self.state();
        state.take(&record, self.shared.keep);
        if let Some(file) = &state.file {
            file.send(vec![record]);
        }
    }

    /// Appends records of an observer, in their order; waits while the file's writer is far behind, so that a flood fills
    /// the observer's own buffer, where loss is counted, and not the memory.
    pub fn append_all(&self, records: Vec<Record>) {
        if records.is_empty() {
            return;
        }
        let file = {
            let mut state = self.state();
            for record in &records {
                state.take(record, self.shared.keep);
            }
            state.file.clone()
        };
        // Nobody else can finish the file in between but the runner, after its observers have stopped.
        if let Some(file) = file {
            file.send(records);
            file.wait_for_room();
        }
    }

    /// Appends a record of this moment.
    pub fn record(&self, source: Source, event: Event) {
        self.append(Record::now(source, event));
    }

    /// Every record from now on, in the order of arrival. What is not received stays in memory.
    pub fn subscribe(&self) -> Receiver<Record> {
        let (sender, receiver) = channel();
        self.state().subscribers.push(sender);
        receiver
    }

    /// The number of the next operation.
    pub fn next_op(&self) -> OpId {
        OpId(self.shared.last_op.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Looks at the sockets that listen now, as far as observers have reported.
    pub fn listeners<T>(&self, look: impl FnOnce(&Listeners) -> T) -> T {
        look(&self.state().listeners)
    }

    /// Looks at the records that are held in memory, in the order of arrival. Positions in it hold until the case is over.
    pub fn records<T>(&self, look: impl FnOnce(&[Record]) -> T) -> T {
        look(&self.state().records)
    }

    /// A copy of what is held in memory, in the order of time.
    pub fn history(&self) -> History {
        let records = self.state().records.clone();
        History::new(Arc::clone(&self.shared.run), records)
    }

    /// A case is over and judged: memory lets go of what no later case needs.
    pub fn settle(&self) {
        if self.shared.keep == Keep::Evidence {
            let mut state = self.state();
            let mut records = std::mem::take(&mut state.records);
            records.sort_by_key(|record| record.at);
            state.records = carry(records);
        }
    }

    /// Whether writing the file has failed already: its thread ended before it was told to.
    pub fn file_failed(&self) -> bool {
        self.state().file.as_ref().is_some_and(|file| file.has_ended())
    }

    /// Writes out what is left and closes the file; later records stay in memory.
    pub fn finish(&self) -> Result<(), Arc<HistoryError>> {
        let mut state = self.state();
        if let Some(file) = state.file.take() {
            state.failed = file.finish().err().map(Arc::new);
        }
        state.failed.clone().map_or(Ok(()), Err)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves nothing half-done here: each method changes the state in one step.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, record: &Record, keep: Keep) {
        self.listeners.apply(record);
        // A subscriber that went away wants no more.
        self.subscribers.retain(|subscriber| subscriber.send(record.clone()).is_ok());
        let taken = match keep {
            Keep::Everything => Taken::Itself,
            Keep::Evidence => self.evidence.takes(record),
            Keep::Listeners => Taken::Not,
        };
        match taken {
            Taken::Not => return,
            Taken::Itself => {}
            Taken::With(earlier) => self.records.extend(earlier),
        }
        self.records.push(record.clone());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::history::tests::{edge, run, syscall};

    #[test]
    fn memory_holds_evidence_and_lets_go_of_it_after_the_case() {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::create(&folder.path().join("history.jsonl"), run()).unwrap();
        recorder.append_all(vec![edge(1, 1, true), syscall(2), edge(3, 2, true), edge(4, 1, false)]);
        assert_eq!(recorder.records(<[Record]>::len), 3);
        recorder.settle();
        assert_eq!(recorder.history().records, [edge(3, 2, true)]);
        recorder.finish().unwrap();
        assert_eq!(History::load(&folder.path().join("history.jsonl")).unwrap().records.len(), 4);
    }

    #[test]
    fn subscribers_get_every_record_of_a_history_that_keeps_none() {
        let recorder = Recorder::streaming(run());
        let stream = recorder.subscribe();
        recorder.append(edge(1, 1, true));
        recorder.append_all(vec![syscall(2), edge(3, 1, false)]);
        assert_eq!(stream.try_iter().collect::<Vec<_>>(), [edge(1, 1, true), syscall(2), edge(3, 1, false)]);
        assert_eq!(recorder.records(<[Record]>::len), 0);
        drop(stream);
        recorder.append(edge(4, 1, true));
        assert_eq!(recorder.listeners(|listeners| listeners.endpoints().len()), 1);
    }
}

//! The reader: the thread that opens the devices, empties the rings into the history, and never dies unnoticed.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::device::Devices;
use super::pipeline::{HOLD_BACK, Pipeline};
use super::ring::{Counters, Ring, Tally};
use crate::clock::Timestamp;
use crate::history::{Event, ObserverChange, Recorder, Source};

/// The reader looks at the rings this often: the module wakes nobody.
const INTERVAL: Duration = Duration::from_millis(5);

const RUN: u8 = 0;
const PAUSE: u8 = 1;
const STOP: u8 = 2;
const FAIL: u8 = 3;
const PANIC: u8 = 4;

/// What the reader and the observer share.
pub(super) struct Shared {
    order: AtomicU8,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The fence that is waited for.
    wanted: Option<Wanted>,
    /// Rings of it whose sentinel has come.
    returned: usize,
    totals: Totals,
    kicked: bool,
    dead: Option<String>,
}

/// A fence.
#[derive(Clone, Debug)]
struct Wanted {
    number: i64,
    began: Timestamp,
    /// Indices of the rings; `None` for a CPU that has none.
    rings: Vec<Option<usize>>,
}

/// What was read and lost since the beginning, of all rings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events that the module was to write.
    pub generated: u64,
    /// Events that were read.
    pub read: u64,
    /// Lost because a ring was full.
    pub full: u64,
    /// Lost because memory of the process was not there.
    pub faults: u64,
    /// Lost because the CPU was in the middle of another event.
    pub preempted: u64,
    /// Not understood.
    pub garbage: u64,
    /// CPUs that came or went: what happens on one that came is not seen.
    pub hotplugs: u64,
    /// Calls of threads of which nobody knows whose they were.
    pub strangers: u64,
    /// Generated, but neither read nor lost; known when the module has stopped writing.
    pub unaccounted: u64,
    /// What is not known of the difference between the clocks, in ns.
    pub clock_ns: u64,
}

/// Of the events that are asked for, a clone3 alone can be lost because memory of the process is not there
/// (`f_proc_startupdate` in `driver/ppm_fillers.c` of API 1; of API 8 none). Whose child that made is found in /proc, or else
/// counted as not known.
const BIRTHS: &str = "scap (memory not there)";

impl Totals {
    /// Each kind of loss with its count.
    pub(super) fn losses(&self) -> [(&'static str, u64); 7] {
        [
            ("scap (ring full)", self.full),
            (BIRTHS, self.faults),
            ("scap (thread not known)", self.strangers),
            ("scap (preempted)", self.preempted),
            ("scap (not understood)", self.garbage),
            ("scap (CPU came or went)", self.hotplugs),
            ("scap (unaccounted)", self.unaccounted),
        ]
    }
}

impl Shared {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { order: AtomicU8::new(RUN), state: Mutex::default(), changed: Condvar::new() })
    }

    pub(super) fn pause(&self, paused: bool) {
        self.give(if paused { PAUSE } else { RUN });
    }

    pub(super) fn fail(&self) {
        self.give(FAIL);
    }

    pub(super) fn panic(&self) {
        self.give(PANIC);
    }

    /// Ends the reader after it has emptied the rings once more.
    pub(super) fn stop(&self) {
        self.give(STOP);
    }

    fn give(&self, order: u8) {
        self.order.store(order, Ordering::SeqCst);
        self.kick();
    }

    /// Makes the reader look at the rings now.
    pub(super) fn kick(&self) {
        self.state().kicked = true;
        self.changed.notify_all();
    }

    /// Asks for the sentinels with this number, or of a later one, from these rings.
    pub(super) fn expect(&self, number: i64, began: Timestamp, rings: Vec<Option<usize>>) {
        let mut state = self.state();
        state.returned = 0;
        state.wanted = Some(Wanted { number, began, rings });
    }

    /// Waits until all sentinels have come and what is older is in the history, for `time` at the most; returns how many have
    /// come, or why the reader is dead.
    pub(super) fn wait(&self, time: Duration) -> Result<usize, String> {
        let waited = self.changed.wait_timeout_while(self.state(), time, |state| {
            let missing = state.wanted.as_ref().is_some_and(|wanted| state.returned < wanted.rings.len());
            state.dead.is_none() && missing
        });
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.dead.clone().map_or(Ok(state.returned), Err)
    }

    /// What was read and lost so far.
    pub(super) fn totals(&self) -> Totals {
        self.state().totals
    }

    /// Why the reader is dead, if it is.
    pub(super) fn death(&self) -> Option<String> {
        self.state().dead.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sleep(&self) {
        let waited = self.changed.wait_timeout_while(self.state(), INTERVAL, |state| !state.kicked);
        waited.unwrap_or_else(PoisonError::into_inner).0.kicked = false;
    }
}

/// Reads the rings.
pub(super) struct Reader {
    pub(super) devices: Devices,
    pub(super) rings: Vec<Ring>,
    pub(super) pipeline: Pipeline,
    pub(super) tallies: Vec<Tally>,
    pub(super) recorder: Recorder,
    pub(super) shared: Arc<Shared>,
}

impl Reader {
    /// Reads on until it is told to stop; any other end is recorded as the observer's death.
    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let recorder = self.recorder.clone();
        let reason = match catch_unwind(AssertUnwindSafe(|| self.rounds())) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => format!("the reader of the rings failed: {error}"),
            Err(_) => "the reader of the rings panicked".to_owned(),
        };
        tracing::error!("the scap observer died: {reason}");
        recorder.record(Source::Scap, Event::Observer(ObserverChange::Died { reason: reason.clone() }));
        shared.state().dead = Some(reason);
        shared.changed.notify_all();
    }

    fn rounds(&mut self) -> io::Result<()> {
        loop {
            match self.shared.order.load(Ordering::SeqCst) {
                FAIL => return Err(io::Error::other("it was told to fail")),
                PANIC => panic!("it was told to panic"),
                PAUSE => {}
                STOP => {
                    self.devices.end();
                    let now = Timestamp::now();
                    self.round(now)?;
                    self.release(now);
                    self.sum_up(true);
                    return Ok(());
                }
                _ => {
                    let now = Timestamp::now();
                    self.round(now)?;
                    self.release(now - HOLD_BACK);
                    self.answer();
                }
            }
            self.shared.sleep();
        }
    }

    /// Reads every ring once.
    pub(super) fn round(&mut self, now: Timestamp) -> io::Result<()> {
        for (index, (ring, tally)) in self.rings.iter_mut().zip(&mut self.tallies).enumerate() {
            let read = ring.read(|event| self.pipeline.take(index, event))?;
            tally.events += read.events;
            tally.garbage += read.garbage;
        }
        if let Some(what) = self.pipeline.round_ends(now) {
            tracing::warn!("scap: {what}");
            self.recorder.record(Source::Scap, Event::Observer(ObserverChange::Lacks { what }));
        }
        self.sum_up(false);
        Ok(())
    }

    fn release(&mut self, until: Timestamp) {
        let mut records = Vec::new();
        self.pipeline.release(until, &mut records);
        self.recorder.append_all(records);
    }

    /// Tells whoever waits for a fence how far it is; what is older than it is in the history by then.
    fn answer(&mut self) {
        let Some(wanted) = self.shared.state().wanted.clone() else { return };
        let came = |ring: &&Option<usize>| ring.is_some_and(|ring| self.pipeline.sentinel(ring) >= wanted.number);
        let returned = wanted.rings.iter().filter(came).count();
        if returned == wanted.rings.len() {
            self.release(wanted.began);
        }
        let mut state = self.shared.state();
        state.returned = returned;
        if returned == wanted.rings.len() {
            state.wanted = None;
            self.shared.changed.notify_all();
        }
    }

    /// Counts; whether the sums are right can be told when the module has stopped writing.
    fn sum_up(&mut self, at_rest: bool) {
        let mut totals = Totals {
            garbage: self.pipeline.garbage,
            hotplugs: self.pipeline.hotplugs,
            strangers: self.pipeline.strangers,
            clock_ns: self.pipeline.uncertainty_ns(),
            ..Totals::default()
        };
        for (ring, tally) in self.rings.iter().zip(&self.tallies) {
            let Counters { events, full, faults, preempted } = ring.counters();
            let lost = full + faults + if ring.layout().counts_preempted { preempted } else { 0 };
            totals.generated += if ring.layout().counts_preempted { events } else { events + preempted };
            totals.read += tally.events;
            totals.full += full;
            totals.faults += faults;
            totals.preempted += preempted;
            totals.garbage += tally.garbage;
            if at_rest {
                totals.unaccounted += events.abs_diff(tally.events + lost);
            }
        }
        self.pipeline.births_lost = totals.full + totals.faults + totals.preempted > 0;
        self.shared.state().totals = totals;
    }
}

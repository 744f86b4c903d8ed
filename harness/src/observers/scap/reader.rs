//! The reader: the thread that opens the devices, and empties the rings into the history.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use super::device::Devices;
use super::pipeline::{HOLD_BACK, Pipeline};
use super::ring::{Counters, Ring, Tally};
use crate::clock::Timestamp;
use crate::history::{Event, ObserverChange, Recorder, Source};
use crate::observers::fence::TakesSentinels;
use crate::observers::reader::{Control, Reads};

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

/// Reads the rings.
pub(super) struct Reader {
    pub(super) devices: Devices,
    pub(super) rings: Vec<Ring>,
    pub(super) pipeline: Pipeline,
    pub(super) tallies: Vec<Tally>,
    pub(super) totals: Totals,
    pub(super) recorder: Recorder,
}

impl Reads for Reader {
    type Told = Totals;

    const OBSERVER: &'static str = "scap";
    const SOURCE: Source = Source::Scap;
    const WHAT: &'static str = "the reader of the rings";
    /// The module wakes nobody.
    const EVERY: Duration = Duration::from_millis(5);

    fn round(&mut self, control: &Control<Totals>) -> io::Result<()> {
        let now = Timestamp::now();
        self.read(now)?;
        control.tell(self.totals);
        self.release(now - HOLD_BACK);
        self.answer(control);
        Ok(())
    }

    fn last_round(&mut self, control: &Control<Totals>) -> io::Result<()> {
        self.devices.end();
        let now = Timestamp::now();
        self.read(now)?;
        self.release(now);
        self.sum_up(true);
        control.tell(self.totals);
        Ok(())
    }
}

impl Reader {
    /// Reads every ring once.
    pub(super) fn read(&mut self, now: Timestamp) -> io::Result<()> {
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
    fn answer(&mut self, control: &Control<Totals>) {
        let Some(pending) = control.pending() else { return };
        let came = |ring: usize| self.pipeline.sentinel(ring) >= pending.number as i64;
        let cpus = self.devices.cpus().into_iter().enumerate();
        let returned: BTreeSet<u32> = cpus.filter(|(ring, _)| came(*ring)).map(|(_, cpu)| cpu).collect();
        if pending.cpus.is_subset(&returned) {
            self.release(pending.began);
        }
        control.awaited(|awaited| {
            // Of others nothing has been released; they are looked at in the next round.
            if (awaited.number, &awaited.cpus) == (pending.number, &pending.cpus) {
                returned.into_iter().for_each(|cpu| awaited.came(cpu));
            }
        });
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
        self.totals = totals;
    }
}

//! The scap observer: the system calls of the processes that are followed, as Falco's kernel module tells of them.
//!
//! It reads the module's rings itself, so that nothing of libsinsp stands between the kernel and the record. It is a second
//! witness: it sees who called what with which result, and says nothing of the states of sockets.

mod device;
#[cfg(test)]
mod fake;
mod fds;
mod fence;
mod pipeline;
mod reader;
mod ring;
mod tree;
mod wire;

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use self::device::{Devices, Place, io_error, lacking};
use self::fence::Sentinels;
use self::pipeline::Pipeline;
pub use self::reader::Totals;
use self::reader::{Reader, Shared};
use self::ring::Tally;
use super::ebpf::{HOST_PIDS, pid_namespace};
use super::{Focus, Observer, ObserverError, Scope, procfs};
use crate::clock::{Alignment, Timestamp};
use crate::history::{Event, ObserverChange, Recorder, Source};

/// A fence that takes longer has failed.
const FENCE_DEADLINE: Duration = Duration::from_secs(10);

/// From one provocation of the sentinels that are missing to the next.
const PROVOKE_AGAIN: Duration = Duration::from_millis(50);

/// Readings of both clocks in each round of the reader.
const READINGS: u32 = 20;

/// Readings of both clocks at the beginning.
const FIRST_READINGS: u32 = 2000;

/// How the scap observer is set up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScapSettings {
    /// For tests of what follows: it tells something else than it saw.
    #[doc(hidden)]
    pub lie: Option<Lie>,
}

/// What a lying observer tells: a negative control.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Every time is off by so much.
    SkewedClock {
        /// In ns.
        by_ns: i64,
    },
    /// Every other close has a wrong descriptor.
    WrongFd,
    /// Every other accept has a wrong result.
    WrongResult,
    /// Every other accept is left out.
    MissingEvent,
}

/// Watches through the scap module.
pub struct ScapObserver {
    what: String,
    recorder: Recorder,
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
    sentinels: Option<Sentinels>,
    /// The CPU of each ring.
    cpus: Vec<u32>,
    /// The number of the last sentinels.
    number: i32,
    told: Totals,
    told_at: Timestamp,
}

impl ScapObserver {
    /// Opens the module's devices, learns from /proc what is there, and records from then on.
    pub fn start(scope: Scope, settings: ScapSettings) -> Result<Self, ObserverError> {
        let roots = followed(&scope.focus)?;
        pid_namespace().map_err(|lacks| lacking(lacks, HOST_PIDS))?;
        let sentinels = Sentinels::start().map_err(|error| io_error("start the fence's thread", error))?;
        let shared = Shared::new();
        let (tell, told) = channel();
        let (recorder, fence_tid) = (scope.recorder.clone(), sentinels.tid());
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("scap-reader".into()).spawn(move || {
            // The module knows its readers by the thread that opens the devices.
            let opened = open(recorder, for_thread, fence_tid, settings, &roots);
            match opened {
                Ok(reader) => {
                    let about = (reader.devices.cpus(), format!("scap (API {})", reader.devices.api));
                    if tell.send(Ok((about, reader.pipeline.uncertainty_ns()))).is_ok() {
                        reader.run();
                    }
                }
                Err(error) => drop(tell.send(Err(error))),
            }
        });
        let thread = thread.map_err(|error| io_error("start the reader's thread", error))?;
        let ((cpus, what), uncertainty_ns) = told.recv().map_err(|_| ObserverError::Died {
            observer: "scap".into(),
            reason: "its reader ended at once".into(),
        })??;
        let recorder = scope.recorder;
        let (told, told_at) = (Totals::default(), Timestamp::now());
        let started = ObserverChange::Started { rung: what.clone(), uncertainty_ns, sees_connections: false };
        let mut observer = Self {
            what,
            recorder,
            shared,
            reader: Some(thread),
            sentinels: Some(sentinels),
            cpus,
            number: 0,
            told,
            told_at,
        };
        observer.recorder.record(Source::Scap, Event::Observer(started));
        // That the rings are read as they are written is proven before anybody relies on it.
        observer.fence()?;
        Ok(observer)
    }

    /// Whether the module is there and can be read: what it says of itself, or what is lacking.
    pub fn probe() -> Result<String, ObserverError> {
        pid_namespace().map_err(|lacks| lacking(lacks, HOST_PIDS))?;
        // In a thread of its own: another one may be a reader already.
        let opened = std::thread::spawn(|| Devices::open(&Place::default()).map(|it| (it.api, it.cpus().len())));
        let (api, rings) = opened.join().unwrap_or_else(|_| {
            Err(ObserverError::Died { observer: "scap".into(), reason: "opening its devices panicked".into() })
        })?;
        Ok(format!("API {api}, {rings} rings"))
    }

    /// What was read and lost since the beginning.
    pub fn totals(&self) -> Totals {
        self.shared.totals()
    }

    /// For tests of what follows: makes the reader fail.
    #[doc(hidden)]
    pub fn kill_reader(&self) {
        self.shared.fail();
    }

    /// For tests of what follows: makes the reader panic.
    #[doc(hidden)]
    pub fn panic_reader(&self) {
        self.shared.panic();
    }

    /// For tests of what follows: the reader leaves the rings unread, or reads again.
    #[doc(hidden)]
    pub fn pause_reader(&self, paused: bool) {
        self.shared.pause(paused);
    }

    fn died(&self, reason: impl Into<String>) -> ObserverError {
        ObserverError::Died { observer: self.what.clone(), reason: reason.into() }
    }

    /// Provokes sentinels until those of all CPUs have come back, or the time is up; returns how many CPUs were asked, and
    /// how many answered.
    fn await_sentinels(&mut self, began: Timestamp) -> Result<(usize, usize), ObserverError> {
        self.number += 1;
        let Some(sentinels) = &self.sentinels else { return Err(self.died("it was stopped")) };
        let cpus = sentinels.cpus().map_err(|error| io_error("list the CPUs", error))?;
        let ring_of = |cpu: &u32| self.cpus.iter().position(|other| other == cpu);
        self.shared.expect(self.number.into(), began, cpus.iter().map(ring_of).collect());
        loop {
            let left = FENCE_DEADLINE.saturating_sub(Timestamp::now().since(began));
            let provoked = sentinels.provoke(self.number, &cpus, left);
            provoked.map_err(|error| io_error("provoke a sentinel", error))?;
            self.shared.kick();
            // A ring that was full has lost the sentinel; it is provoked again.
            let returned = self.shared.wait(PROVOKE_AGAIN.min(left)).map_err(|reason| self.died(reason))?;
            if returned == cpus.len() || left.is_zero() {
                return Ok((cpus.len(), returned));
            }
        }
    }

    /// Appends what was lost since the last time.
    fn record_losses(&mut self) {
        let (now, totals) = (Timestamp::now(), self.shared.totals());
        for ((probe, count), (_, before)) in totals.losses().into_iter().zip(self.told.losses()) {
            if count > before {
                let loss = Event::Loss { probe: probe.into(), count: count - before, since: self.told_at };
                self.recorder.record(Source::Scap, loss);
            }
        }
        (self.told, self.told_at) = (totals, now);
    }

    fn end_threads(&mut self) {
        self.shared.stop();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        self.sentinels = None;
    }
}

impl Observer for ScapObserver {
    fn describe(&self) -> String {
        self.what.clone()
    }

    fn fence(&mut self) -> Result<(), ObserverError> {
        if let Some(reason) = self.shared.death() {
            return Err(self.died(reason));
        }
        let began = Timestamp::now();
        let (cpus, seen) = self.await_sentinels(began)?;
        self.record_losses();
        let fence = Event::Fence { began, cpus: cpus as u32, seen: seen as u32 };
        self.recorder.record(Source::Scap, fence);
        if seen < cpus {
            return Err(self.died(format!("{seen} of {cpus} sentinels came back within {FENCE_DEADLINE:?}")));
        }
        Ok(())
    }

    fn set_causes(&mut self, _: bool) -> Result<(), ObserverError> {
        Ok(())
    }

    fn tell_losses(&mut self) -> Result<(), ObserverError> {
        match self.shared.death() {
            Some(reason) => Err(self.died(reason)),
            None => {
                self.record_losses();
                Ok(())
            }
        }
    }

    fn stop(mut self: Box<Self>) -> Result<(), ObserverError> {
        let fenced = self.fence();
        self.end_threads();
        if fenced.is_ok() {
            self.record_losses();
            let Totals { generated, read, full, faults, preempted, clock_ns, .. } = self.told;
            let text = format!(
                "of {generated} events {read} were read, {full} lost in full rings, {faults} to memory that was not there, \
                 {preempted} to preemption; the clocks are aligned to {clock_ns} ns"
            );
            self.recorder.record(Source::Scap, Event::Note { text });
            self.recorder.record(Source::Scap, Event::Observer(ObserverChange::Stopped));
        }
        fenced
    }
}

impl Drop for ScapObserver {
    fn drop(&mut self) {
        self.end_threads();
    }
}

/// The focus, with the descendants that are there already.
fn followed(focus: &Focus) -> Result<Focus, ObserverError> {
    match focus {
        Focus::Processes(roots) => {
            let tree = procfs::tree(roots).map_err(|error| io_error("list the processes", error))?;
            Ok(Focus::Processes(tree.into_iter().collect()))
        }
        Focus::Ports(_) | Focus::Namespace => {
            let lacks = "it sees the calls of processes, and none was named";
            Err(lacking(lacks.into(), "follow one"))
        }
        focus => Ok(focus.clone()),
    }
}

/// Opens and maps everything; the events that come until this returns teach what is what, and are not recorded.
fn open(
    recorder: Recorder,
    shared: Arc<Shared>,
    fence_tid: u32,
    settings: ScapSettings,
    focus: &Focus,
) -> Result<Reader, ObserverError> {
    let devices = Devices::open(&Place::default())?;
    let rings = devices.rings().map_err(|error| io_error("map the rings", error))?;
    let (clock, _) = Alignment::measure(FIRST_READINGS);
    let mut pipeline = Pipeline::new(clock, rings.len(), fence_tid, settings.lie);
    devices.begin().map_err(|error| io_error("ask scap for events", error))?;
    // Looked at now, so that who was spawned before there were events is among them.
    pipeline.tree.follow(&followed(focus)?);
    pipeline.seed().map_err(|error| io_error("read what is there from /proc", error))?;
    let tallies = vec![Tally::default(); rings.len()];
    let mut reader = Reader { devices, rings, pipeline, tallies, recorder, shared };
    let now = Timestamp::now();
    reader.round(now).map_err(|error| io_error("read the rings", error))?;
    reader.pipeline.record_from(now);
    Ok(reader)
}

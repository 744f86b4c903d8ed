//! The scap observer: the system calls of the processes that are followed, as Falco's kernel module tells of them.
//!
//! It reads the module's rings itself, so that nothing of libsinsp stands between the kernel and the record. It is a second
//! witness: it sees who called what with which result, and says nothing of the states of sockets.

mod device;
#[cfg(test)]
mod fake;
mod fds;
mod pipeline;
mod reader;
mod ring;
mod sentinel;
mod tree;
mod wire;

use std::time::Duration;

use self::device::{Devices, Place, io_error, lacking};
use self::pipeline::Pipeline;
use self::reader::Reader;
pub use self::reader::Totals;
use self::ring::Tally;
use super::ebpf::{HOST_PIDS, pid_namespace};
use super::fence::{Fences, Sentinels};
use super::reader::{Order, ReadingThread};
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
    /// Every other accept has a wrong port of the other end.
    WrongTuple,
}

/// Watches through the scap module.
pub struct ScapObserver {
    recorder: Recorder,
    reading: ReadingThread<Reader>,
    /// What was lost when that was told last.
    told: Totals,
    told_at: Timestamp,
}

impl ScapObserver {
    /// Opens the module's devices, learns from /proc what is there, and records from then on.
    pub fn start(scope: Scope, settings: ScapSettings) -> Result<Self, ObserverError> {
        let roots = followed(&scope.focus)?;
        pid_namespace().map_err(|lacks| lacking(lacks, HOST_PIDS))?;
        let no_socket = sentinel::no_socket().map_err(|error| io_error("make an eventfd", error))?;
        let sentinels = Sentinels::start("scap", move |number| sentinel::make(&no_socket, number));
        let sentinels = sentinels.map_err(|error| io_error("start the fence's thread", error))?;
        let (recorder, fence_tid) = (scope.recorder.clone(), sentinels.tid());
        let fences = Fences::new(sentinels, FENCE_DEADLINE, PROVOKE_AGAIN);
        // The module knows its readers by the thread that opens the devices.
        let open = move || {
            let reader = open(recorder, fence_tid, settings, &roots)?;
            let (name, uncertainty_ns) =
                (format!("scap (API {})", reader.devices.api), reader.pipeline.uncertainty_ns());
            Ok((reader, name, uncertainty_ns))
        };
        let (reading, uncertainty_ns) = ReadingThread::start(scope.recorder.clone(), fences, open)?;
        let (rung, recorder) = (reading.name().into(), scope.recorder);
        recorder.record(
            Source::Scap,
            Event::Observer(ObserverChange::Started { rung, uncertainty_ns, sees_connections: false }),
        );
        let mut observer = Self { recorder, reading, told: Totals::default(), told_at: Timestamp::now() };
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
        self.reading.told()
    }

    /// For tests of what follows: makes the reader fail.
    #[doc(hidden)]
    pub fn kill_reader(&self) {
        self.reading.give(Order::Fail);
    }

    /// For tests of what follows: makes the reader panic.
    #[doc(hidden)]
    pub fn panic_reader(&self) {
        self.reading.give(Order::Panic);
    }

    /// For tests of what follows: the reader leaves the rings unread, or reads again.
    #[doc(hidden)]
    pub fn pause_reader(&self, paused: bool) {
        self.reading.give(if paused { Order::Pause } else { Order::Run });
    }

    /// Appends what was lost since the last time.
    fn record_losses(&mut self) {
        let (now, totals) = (Timestamp::now(), self.reading.told());
        for ((probe, count), (_, before)) in totals.losses().into_iter().zip(self.told.losses()) {
            if count > before {
                let loss = Event::Loss { probe: probe.into(), count: count - before, since: self.told_at };
                self.recorder.record(Source::Scap, loss);
            }
        }
        (self.told, self.told_at) = (totals, now);
    }
}

impl Observer for ScapObserver {
    fn describe(&self) -> String {
        self.reading.name().into()
    }

    fn fence(&mut self) -> Result<(), ObserverError> {
        let fenced = self.reading.fence()?;
        self.record_losses();
        self.reading.fenced(&fenced)
    }

    fn set_causes(&mut self, _: bool) -> Result<(), ObserverError> {
        Ok(())
    }

    fn tell_losses(&mut self) -> Result<(), ObserverError> {
        self.reading.alive()?;
        self.record_losses();
        Ok(())
    }

    fn stop(mut self: Box<Self>) -> Result<(), ObserverError> {
        let fenced = self.fence();
        self.reading.end();
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
fn open(recorder: Recorder, fence_tid: u32, settings: ScapSettings, focus: &Focus) -> Result<Reader, ObserverError> {
    let devices = Devices::open(&Place::default())?;
    let rings = devices.rings().map_err(|error| io_error("map the rings", error))?;
    let (clock, _) = Alignment::measure(FIRST_READINGS);
    let mut pipeline = Pipeline::new(clock, rings.len(), fence_tid, settings.lie);
    devices.begin().map_err(|error| io_error("ask scap for events", error))?;
    // Looked at now, so that who was spawned before there were events is among them.
    pipeline.tree.follow(&followed(focus)?);
    pipeline.seed().map_err(|error| io_error("read what is there from /proc", error))?;
    let tallies = vec![Tally::default(); rings.len()];
    let mut reader = Reader { devices, rings, pipeline, tallies, totals: Totals::default(), recorder };
    let now = Timestamp::now();
    reader.read(now).map_err(|error| io_error("read the rings", error))?;
    reader.pipeline.record_from(now);
    Ok(reader)
}

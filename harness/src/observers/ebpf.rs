//! The eBPF observer: sees every listener open and close, the life of tracked connections, processes and their calls.
//!
//! It attaches first and then looks at what listens already, so that nothing falls in between; see [`seed`].

mod btf;
mod causes;
mod decode;
mod focus;
mod holders;
mod kernel;
mod load;
mod offsets;
mod reader;
mod rung;
mod seed;
mod sentinel;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use portwitness_ebpf_common::SETTING_FENCE_THREAD;
use serde::{Deserialize, Serialize};

use self::causes::Causes;
use self::kernel::Kernel;
use self::load::{Loaded, Wanted};
use self::reader::Reader;
use super::fence::{Fences, Sentinels};
use super::reader::{Order, ReadingThread};
use super::{Focus, Observer, ObserverError, Scope, procfs};
use crate::clock::Timestamp;
use crate::history::{Event, ObserverChange, Recorder, Source};

pub(crate) use self::kernel::tracefs;
pub(crate) use self::load::{HOST_PIDS, object, pid_namespace};
pub(crate) use self::offsets::btf_path;
pub use self::rung::Rung;

/// A fence that takes longer has failed. At rest it takes about 1 ms; on a busy machine its thread may wait for a CPU for
/// more than 1.5 s.
const FENCE_DEADLINE: Duration = Duration::from_secs(10);

/// From one provocation of the sentinels that are missing to the next.
const PROVOKE_AGAIN: Duration = Duration::from_millis(50);

/// How the eBPF observer is set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EbpfSettings {
    /// The size of the ring in bytes: a power of two from 64 KiB; 1 to 4 MiB suffice for every load measured.
    pub ring_bytes: u32,
    /// The rung of the ladder; none for the best that works.
    pub rung: Option<Rung>,
    /// Whether system calls are recorded from the start.
    pub causes: bool,
}

impl Default for EbpfSettings {
    fn default() -> Self {
        Self { ring_bytes: 2 << 20, rung: None, causes: true }
    }
}

/// Watches through eBPF programs.
pub struct EbpfObserver {
    rung: Rung,
    recorder: Recorder,
    reading: ReadingThread<Reader>,
    causes: Causes,
    loaded: Loaded,
    /// The counters of lost records when they were last read, and when that was.
    losses: Losses,
    /// It had to look at descriptors in /proc.
    touches: bool,
}

/// Whether a rung works on this machine.
#[derive(Clone, Debug)]
pub struct RungProbe {
    /// Which.
    pub rung: Rung,
    /// What it lacks, if it does not.
    pub lacks: Option<String>,
}

impl EbpfObserver {
    /// Attaches, seeds the history with what listens already, and records from then on. Must be called by a thread in
    /// a network namespace whose loopback interface is up: that is where the fence's sentinels go.
    pub fn start(scope: Scope, settings: EbpfSettings) -> Result<Self, ObserverError> {
        load::refused()?;
        if !settings.ring_bytes.is_power_of_two() || settings.ring_bytes < 64 << 10 {
            let lacks = format!("a ring of {} bytes is not to be had", settings.ring_bytes);
            return Err(load::lacking("ebpf", lacks, "set ring_bytes to a power of two from 65536"));
        }
        let rungs = settings.rung.map_or(Rung::ALL.to_vec(), |rung| vec![rung]);
        let wanted = Wanted { ring_bytes: settings.ring_bytes, netns: scope.netns, focus: scope.focus.clone() };
        let kernel = Kernel::look();
        focus::possible(&wanted.focus, &kernel.offsets)?;
        let (mut loaded, sources) = kernel.load_best(&rungs, &wanted)?;
        let ports = focus::follow_existing(&mut loaded, &scope, &kernel.offsets)?;

        let sentinels = Sentinels::start("ebpf", |_| sentinel::make()).map_err(io("start the fence's thread"))?;
        loaded.set(SETTING_FENCE_THREAD, sentinels.tid())?;
        let mut reader = Reader::new(sources, scope.recorder.clone(), sentinels.tid());
        let losses = Losses { since: Timestamp::now(), counts: counts(&loaded, reader.garbage())? };

        seed::seed(&mut reader, &mut loaded, &scope, &ports).map_err(io("list what listens already"))?;
        let started = ObserverChange::Started {
            rung: loaded.rung.name().into(),
            // The programs stamp in the kernel, at the transition itself.
            uncertainty_ns: 0,
            sees_connections: true,
        };
        scope.recorder.record(Source::Ebpf, Event::Observer(started));
        let fences = Fences::new(sentinels, FENCE_DEADLINE, PROVOKE_AGAIN);
        let name = format!("ebpf ({})", loaded.rung);
        let (reading, ()) = ReadingThread::start(scope.recorder.clone(), fences, move || Ok((reader, name, ())))?;
        let (rung, recorder, causes) = (loaded.rung, scope.recorder, Causes::new(kernel.tracefs));
        let mut observer = Self { rung, recorder, reading, causes, loaded, losses, touches: false };
        observer.set_causes(settings.causes)?;
        observer.try_refusals();
        Ok(observer)
    }

    /// Lets one sentinel come and go, from which the reader learns whether a refused listen(2) can be told here.
    fn try_refusals(&self) {
        if let Err(error) = self.reading.provoke_one(FENCE_DEADLINE) {
            tracing::debug!(%error, "whether a listen(2) that is refused can be told is not known");
        }
    }

    /// The rung that it runs on.
    pub fn rung(&self) -> Rung {
        self.rung
    }

    /// Tries every rung on this machine, for real; an error when none can be tried at all.
    pub fn probe() -> Result<Vec<RungProbe>, ObserverError> {
        load::refused()?;
        let kernel = Kernel::look();
        let wanted = Wanted { ring_bytes: 64 << 10, netns: 0, focus: Focus::Run { parent: std::process::id() } };
        let lacks = |rung| kernel.load(rung, &wanted).err();
        Ok(Rung::ALL.into_iter().map(|rung| RungProbe { rung, lacks: lacks(rung) }).collect())
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

    /// For tests of what follows: the reader leaves the ring unread, from the return of this call on.
    #[doc(hidden)]
    pub fn pause_reader(&self) {
        self.reading.give(Order::Pause);
    }

    /// For tests of what follows: the reader reads again.
    #[doc(hidden)]
    pub fn resume_reader(&self) {
        self.reading.give(Order::Run);
    }

    /// Appends what was lost since the last time.
    fn record_losses(&mut self) -> Result<(), ObserverError> {
        let now = Timestamp::now();
        let counts = counts(&self.loaded, self.reading.told())?;
        for ((name, count), (_, before)) in counts.iter().zip(&self.losses.counts) {
            let count = count.saturating_sub(*before);
            if count > 0 {
                let loss = Event::Loss { probe: (*name).into(), count, since: self.losses.since };
                self.recorder.record(Source::Ebpf, loss);
            }
        }
        self.losses = Losses { counts, since: now };
        Ok(())
    }
}

impl Observer for EbpfObserver {
    fn describe(&self) -> String {
        self.reading.name().into()
    }

    fn fence(&mut self) -> Result<(), ObserverError> {
        let fenced = self.reading.fence()?;
        self.record_losses()?;
        self.reading.fenced(&fenced)
    }

    fn set_causes(&mut self, on: bool) -> Result<(), ObserverError> {
        for warning in self.causes.switch(on, &mut self.loaded)? {
            tracing::warn!("{warning}");
            self.recorder.record(Source::Ebpf, Event::Observer(ObserverChange::Lacks { what: warning }));
        }
        Ok(())
    }

    fn tell_losses(&mut self) -> Result<(), ObserverError> {
        self.reading.alive()?;
        self.record_losses()
    }

    fn sockets_held(&mut self, processes: &BTreeSet<u32>) -> Option<HashMap<u32, u64>> {
        let counted = self.loaded.sockets_held(processes);
        counted.ok().or_else(|| {
            // Nobody but /proc can be asked here, and that is said.
            if !std::mem::replace(&mut self.touches, true) {
                self.recorder.record(Source::Procfs, Event::Note { text: procfs::TOUCHES.into() });
            }
            Some(processes.iter().map(|process| (*process, procfs::count_sockets(*process))).collect())
        })
    }

    fn stop(mut self: Box<Self>) -> Result<(), ObserverError> {
        let fenced = self.fence();
        self.reading.end();
        if fenced.is_ok() {
            self.recorder.record(Source::Ebpf, Event::Observer(ObserverChange::Stopped));
        }
        fenced
    }
}

struct Losses {
    counts: Vec<(&'static str, u64)>,
    since: Timestamp,
}

/// What was lost so far: in the kernel, and by not being understood here.
fn counts(loaded: &Loaded, garbage: u64) -> Result<Vec<(&'static str, u64)>, ObserverError> {
    let mut counts = loaded.drops()?;
    counts.push(("undecodable entries", garbage));
    Ok(counts)
}

fn io(doing: &str) -> impl FnOnce(std::io::Error) -> ObserverError + use<> {
    let doing = format!("ebpf: could not {doing}");
    move |source| ObserverError::Io { doing, source }
}

//! The eBPF observer: sees every listener open and close, the life of tracked connections, processes and their calls.
//!
//! It attaches first and then looks at what listens already, so that nothing falls in between; see [`seed`].

mod btf;
mod causes;
mod decode;
mod fence;
mod focus;
mod holders;
mod kernel;
mod load;
mod offsets;
mod reader;
mod rung;
mod seed;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use portwitness_ebpf_common::SETTING_FENCE_THREAD;
use serde::{Deserialize, Serialize};

use self::causes::Causes;
use self::fence::Sentinels;
use self::kernel::Kernel;
use self::load::{Loaded, Wanted};
use self::reader::{Reader, Shared};
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
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
    sentinels: Option<Sentinels>,
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

        let sentinels = Sentinels::start().map_err(io("start the fence's thread"))?;
        loaded.set(SETTING_FENCE_THREAD, sentinels.tid())?;
        let shared = Shared::new(sentinels.tid()).map_err(io("make an eventfd"))?;
        let mut reader = Reader { ring: sources.ring, logger: sources.logger, shared: Arc::clone(&shared) };
        let losses = Losses { since: Timestamp::now(), counts: counts(&loaded, &shared)? };

        seed::seed(&mut reader, &mut loaded, &scope, &ports).map_err(io("list what listens already"))?;
        let started = ObserverChange::Started {
            rung: loaded.rung.name().into(),
            // The programs stamp in the kernel, at the transition itself.
            uncertainty_ns: 0,
            sees_connections: true,
        };
        scope.recorder.record(Source::Ebpf, Event::Observer(started));
        let thread = reader.spawn(scope.recorder.clone()).map_err(io("start the reader's thread"))?;
        let mut observer = Self {
            rung: loaded.rung,
            recorder: scope.recorder,
            shared,
            reader: Some(thread),
            sentinels: Some(sentinels),
            causes: Causes::new(kernel.tracefs),
            loaded,
            losses,
            touches: false,
        };
        observer.set_causes(settings.causes)?;
        observer.try_refusals();
        Ok(observer)
    }

    /// Lets one sentinel come and go, from which the reader learns whether a refused listen(2) can be told here.
    fn try_refusals(&self) {
        let cpu = self.sentinels.as_ref().and_then(|sentinels| sentinels.cpus().ok()?.first().copied());
        if let (Some(sentinels), Some(cpu)) = (&self.sentinels, cpu)
            && let Err(error) = sentinels.provoke(&[cpu], FENCE_DEADLINE)
        {
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
        self.shared.fail();
    }

    /// For tests of what follows: makes the reader panic.
    #[doc(hidden)]
    pub fn panic_reader(&self) {
        self.shared.panic();
    }

    /// For tests of what follows: the reader leaves the ring unread, from the return of this call on.
    #[doc(hidden)]
    pub fn pause_reader(&self) {
        self.shared.pause(true);
    }

    /// For tests of what follows: the reader reads again.
    #[doc(hidden)]
    pub fn resume_reader(&self) {
        self.shared.pause(false);
    }

    fn died(&self, reason: impl Into<String>) -> ObserverError {
        ObserverError::Died { observer: self.describe(), reason: reason.into() }
    }

    /// Provokes sentinels until those of all CPUs have come back, or the time is up; returns which CPUs were asked and
    /// how many answered.
    fn await_sentinels(&self, began: Timestamp) -> Result<(usize, usize), ObserverError> {
        let Some(sentinels) = &self.sentinels else { return Err(self.died("it was stopped")) };
        loop {
            // Asked anew each time: a CPU may go offline.
            let cpus = sentinels.cpus().map_err(io("list the CPUs"))?;
            let returned = self.shared.returned(&cpus, began);
            let left = FENCE_DEADLINE.saturating_sub(Timestamp::now().since(began));
            if returned.len() == cpus.len() || left.is_zero() {
                return Ok((cpus.len(), returned.len()));
            }
            let missing: Vec<_> = cpus.iter().copied().filter(|cpu| !returned.contains(cpu)).collect();
            sentinels.provoke(&missing, left).map_err(io("provoke a sentinel"))?;
            self.shared.kick();
            // A ring that was full has lost the sentinel; it is provoked again.
            self.shared.wait(&cpus, began, Duration::from_millis(50)).map_err(|reason| self.died(reason))?;
        }
    }

    /// Appends what was lost since the last time.
    fn record_losses(&mut self) -> Result<(), ObserverError> {
        let now = Timestamp::now();
        let counts = counts(&self.loaded, &self.shared)?;
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

    fn end_threads(&mut self) {
        self.shared.stop();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        self.sentinels = None;
    }
}

impl Observer for EbpfObserver {
    fn describe(&self) -> String {
        format!("ebpf ({})", self.rung)
    }

    fn fence(&mut self) -> Result<(), ObserverError> {
        if let Some(reason) = self.shared.death() {
            return Err(self.died(reason));
        }
        let began = Timestamp::now();
        let (cpus, seen) = self.await_sentinels(began)?;
        self.record_losses()?;
        let fence = Event::Fence { began, cpus: cpus as u32, seen: seen as u32 };
        self.recorder.record(Source::Ebpf, fence);
        if seen < cpus {
            return Err(self.died(format!("{seen} of {cpus} sentinels came back within {FENCE_DEADLINE:?}")));
        }
        Ok(())
    }

    fn set_causes(&mut self, on: bool) -> Result<(), ObserverError> {
        for warning in self.causes.switch(on, &mut self.loaded)? {
            tracing::warn!("{warning}");
            self.recorder.record(Source::Ebpf, Event::Observer(ObserverChange::Lacks { what: warning }));
        }
        Ok(())
    }

    fn tell_losses(&mut self) -> Result<(), ObserverError> {
        match self.shared.death() {
            Some(reason) => Err(self.died(reason)),
            None => self.record_losses(),
        }
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
        self.end_threads();
        if fenced.is_ok() {
            self.recorder.record(Source::Ebpf, Event::Observer(ObserverChange::Stopped));
        }
        fenced
    }
}

impl Drop for EbpfObserver {
    fn drop(&mut self) {
        self.end_threads();
    }
}

struct Losses {
    counts: Vec<(&'static str, u64)>,
    since: Timestamp,
}

/// What was lost so far: in the kernel, and by not being understood here.
fn counts(loaded: &Loaded, shared: &Shared) -> Result<Vec<(&'static str, u64)>, ObserverError> {
    let mut counts = loaded.drops()?;
    counts.push(("undecodable entries", shared.garbage()));
    Ok(counts)
}

fn io(doing: &str) -> impl FnOnce(std::io::Error) -> ObserverError + use<> {
    let doing = format!("ebpf: could not {doing}");
    move |source| ObserverError::Io { doing, source }
}

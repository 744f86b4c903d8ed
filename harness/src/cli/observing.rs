//! What every command that watches the kernel has in common: how it is watched, and by whom it is known.

use std::sync::mpsc::Receiver;

use clap::{Args, ValueEnum};

use crate::clock::{RealtimeOffset, Timestamp};
use crate::history::{PlannedCase, Record, Recorder, RunInfo};
use crate::observers::ebpf::{EbpfSettings, Rung};
use crate::observers::sock_diag::SockDiagSettings;
use crate::observers::{Focus, Observer, ObserverError, Scope};
use crate::runner::Observation;
use crate::watch::Lives;

#[derive(Args)]
pub(super) struct Observing {
    /// How the kernel is watched.
    #[arg(long, value_enum, default_value_t = Witness::Auto)]
    pub(super) observer: Witness,
    /// Size of the ring buffer between kernel and reader, in bytes: a power of two, 65536 at the least.
    #[arg(long, value_parser = ring_bytes, default_value_t = EbpfSettings::default().ring_bytes)]
    ring_bytes: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Witness {
    /// eBPF on the best rung that loads: tp_btf, raw_tp, tracepoint.
    Auto,
    /// eBPF on a BTF-typed tracepoint.
    TpBtf,
    /// eBPF on a raw tracepoint.
    RawTp,
    /// eBPF on a classic tracepoint.
    Tracepoint,
    /// sock_diag polled every 1 ms: needs no privileges, sees no connections.
    SockDiag,
}

impl Observing {
    pub(super) fn observation(&self, causes: bool) -> Observation {
        match self.ebpf(causes) {
            Some(settings) => Observation::Ebpf(settings),
            None => Observation::SockDiag(SockDiagSettings::default()),
        }
    }

    /// None when it is not eBPF that watches.
    pub(super) fn ebpf(&self, causes: bool) -> Option<EbpfSettings> {
        let rung = match self.observer {
            Witness::SockDiag => return None,
            Witness::Auto => None,
            Witness::TpBtf => Some(Rung::TpBtf),
            Witness::RawTp => Some(Rung::RawTp),
            Witness::Tracepoint => Some(Rung::Tracepoint),
        };
        Some(EbpfSettings { ring_bytes: self.ring_bytes, rung, causes })
    }
}

/// An observation that is under way, and all that came of it so far.
pub(super) struct Session {
    pub(super) recorder: Recorder,
    pub(super) stream: Receiver<Record>,
    pub(super) lives: Lives,
    observer: Box<dyn Observer>,
}

impl Session {
    /// Watches from now on.
    pub(super) fn start(recorder: Recorder, observation: Observation, focus: Focus) -> Result<Self, ObserverError> {
        let stream = recorder.subscribe();
        let netns = recorder.run().netns;
        let observer = observation.watch(Scope { recorder: recorder.clone(), netns, focus })?;
        Ok(Self { recorder, stream, lives: Lives::new(Timestamp::now(), netns), observer })
    }

    pub(super) fn describe(&self) -> String {
        self.observer.describe()
    }

    /// Returns when everything that happened before the call is in the history.
    pub(super) fn fence(&mut self) -> Result<(), ObserverError> {
        self.observer.fence()
    }

    /// Lets losses be recorded; an error says that the observer is dead.
    pub(super) fn tell_losses(&mut self) -> Result<(), ObserverError> {
        self.observer.tell_losses()
    }

    /// Takes into account what came; returns how many records that were.
    pub(super) fn catch_up(&mut self) -> usize {
        let mut count = 0;
        for record in self.stream.try_iter() {
            self.lives.take(&record);
            count += 1;
        }
        count
    }

    /// Ends the observation: what happened until now is still told.
    pub(super) fn stop(self) -> (Result<(), ObserverError>, Receiver<Record>, Lives) {
        (self.observer.stop(), self.stream, self.lives)
    }
}

/// What is recorded, by whom; these commands have no suite and nothing random.
pub(super) fn run_info(command: &str, sut: String, netns: u32, cases: Vec<PlannedCase>) -> RunInfo {
    RunInfo {
        suite: command.into(),
        sut,
        profile: "live".into(),
        seed: 0,
        netns,
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        version: env!("CARGO_PKG_VERSION").into(),
        realtime: RealtimeOffset::sample(),
        cases,
    }
}

/// The kernel makes no other rings than these (bpf_map_create(2), BPF_MAP_TYPE_RINGBUF).
fn ring_bytes(text: &str) -> Result<u32, String> {
    let is_ring = |bytes: &u32| bytes.is_power_of_two() && (64 << 10..=1 << 30).contains(bytes);
    text.parse().ok().filter(is_ring).ok_or_else(|| "write a power of two from 65536 to 1073741824, in bytes".into())
}

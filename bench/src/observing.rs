//! The observers of portwitness, as the benchmarks start them.

use std::time::Duration;

use portwitness::clock::RealtimeOffset;
use portwitness::history::{Recorder, RunInfo};
use portwitness::observers::ebpf::{EbpfObserver, EbpfSettings};
use portwitness::observers::{Focus, ObserverError, Scope, procfs};

use crate::cpu;

/// The size of the ring in bytes that the goals are meant for.
pub(crate) const RING: u32 = 1 << 20;

/// What a recorder is told of a run that is none.
pub(crate) fn run_info() -> RunInfo {
    RunInfo {
        suite: "bench".into(),
        sut: "none".into(),
        profile: "none".into(),
        seed: 0,
        netns: procfs::own_netns().unwrap_or(0),
        kernel: String::new(),
        version: env!("CARGO_PKG_VERSION").into(),
        realtime: RealtimeOffset::sample(),
        cases: Vec::new(),
    }
}

/// A recorder without a file.
pub(crate) fn nowhere() -> Recorder {
    Recorder::in_memory(run_info())
}

/// Follows the children of `parent`, and the listeners of this network namespace.
pub(crate) fn scope(recorder: &Recorder, parent: u32) -> Scope {
    Scope { recorder: recorder.clone(), netns: recorder.run().netns, focus: Focus::Run { parent } }
}

/// Starts the eBPF observer on them.
pub(crate) fn ebpf(recorder: &Recorder, parent: u32, causes: bool) -> Result<Box<EbpfObserver>, ObserverError> {
    let settings = EbpfSettings { ring_bytes: RING, causes, ..EbpfSettings::default() };
    EbpfObserver::start(scope(recorder, parent), settings).map(Box::new)
}

/// Waits until the programs of observers that were stopped are detached, which goes on in the background: what is measured
/// next would pay for them. A thread has its name only once it runs, but then descriptors are left to close; and the last
/// one is gone before the kernel is done with it.
pub(crate) fn detached() -> anyhow::Result<()> {
    while holds_perf_events()? || cpu::has_thread("ebpf-detach")? {
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Whether this process holds descriptors of perf events, by which system calls are attached to.
fn holds_perf_events() -> anyhow::Result<bool> {
    let mut descriptors =
        std::fs::read_dir("/proc/self/fd")?.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    Ok(descriptors.any(|target| target.as_os_str() == "anon_inode:[perf_event]"))
}

//! Whether anything is lost at full rate, and whether every loss is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use portwitness::history::{Event, HistoryReader, Recorder, TcpState};
use portwitness::observers::Observer;

use crate::figure::{Section, Unit};
use crate::size::Size;
use crate::work::listen::Storm;
use crate::worker::Worker;
use crate::{observing, work};

/// Events of the whole storm.
const EVENTS: u64 = 1_260_000;

pub(crate) fn run(size: Size) -> anyhow::Result<Section> {
    let mut section = Section::new(
        "Loss at full rate",
        "Two threads open and close listeners as fast as they can, into a ring of 1 MiB, recorded to a file as a run \
         does it. Every edge is known beforehand, so generated = recorded + counted as lost must hold exactly.",
    );
    let iterations = size.of(EVENTS / 4, 25);
    for (causes, label) in [(false, "windows only"), (true, "with causes")] {
        // Eight records an iteration instead of two.
        let iterations = if causes { (iterations / 4).max(10) } else { iterations };
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("history.jsonl");
        let recorder = Recorder::create(&path, observing::run_info())?;
        let observer = observing::ebpf(&recorder, std::process::id(), causes)?;
        let storm: Storm = Worker::spawn(&["listen", &iterations.to_string(), "2"])?.go()?;
        observer.stop()?;
        observing::detached()?;
        recorder.finish()?;
        drop(recorder);
        let (edges, syscalls, lost) = count(&path)?;
        // Of each iteration: two edges, and the entry and the exit of bind, listen and close.
        let generated = if causes { storm.iterations * 8 + storm.repeated * 2 } else { storm.iterations * 2 };
        let unaccounted = generated as f64 - (edges + syscalls + lost) as f64;
        let rate = (edges + syscalls + lost) as f64 / (storm.wall_ns as f64 / 1e9);
        section.value(format!("{label}: events generated"), generated as f64, Unit::Count);
        section.value(format!("{label}: rate"), rate, Unit::PerSecond);
        section.value(format!("{label}: recorded"), (edges + syscalls) as f64, Unit::Count);
        section.value(format!("{label}: lost and counted"), lost as f64, Unit::Count).at_most(0.0);
        section
            .value(format!("{label}: generated less recorded and lost"), unaccounted.abs(), Unit::Count)
            .at_most(0.0);
    }
    Ok(section)
}

/// Edges of the storm's ports, system calls of its process, losses.
fn count(path: &Path) -> anyhow::Result<(u64, u64, u64)> {
    let ports = [0, 1].map(|port| work::place(port).port());
    let (mut edges, mut lost) = (0, 0);
    // By thread, since a call says nothing of its port.
    let mut syscalls = BTreeMap::<u32, u64>::new();
    let mut storming = BTreeSet::new();
    for record in HistoryReader::open(path)? {
        match record?.event {
            Event::SocketState(change)
                if ports.contains(&change.local.port())
                    && (change.from == TcpState::Listen || change.to == TcpState::Listen) =>
            {
                storming.insert(change.process.tid);
                edges += 1;
            }
            Event::Syscall(call) => *syscalls.entry(call.process.tid).or_default() += 1,
            Event::Loss { count, .. } => lost += count,
            _ => {}
        }
    }
    let syscalls = syscalls.into_iter().filter(|(tid, _)| storming.contains(tid)).map(|(_, count)| count).sum();
    Ok((edges, syscalls, lost))
}

//! What being observed costs a process, and what the observer itself needs.

use std::time::Duration;

use portwitness::history::{Event, Record, Recorder, Source};

use crate::figure::{Section, Unit};
use crate::pairs::{Of, field, interleave};
use crate::size::Size;
use crate::stats::ratios;
use crate::watcher::Watcher;
use crate::work::listen::Storm;

struct Sample {
    storm: Storm,
    watcher_ns: u64,
    events: u64,
}

pub(crate) fn run(size: Size) -> anyhow::Result<Section> {
    let mut section = Section::new(
        "System calls of a process that is observed",
        "A process opens and closes a listener again and again, then connects, accepts and closes. Its own CPU and \
         wall time against the same without a watcher, and the watcher's CPU time an event that it reports (for \
         bpftrace and strace a line, for portwitness a record).",
    );
    let rounds = size.rounds(5);
    let watchers = Watcher::at_hand(size, &mut section.notes);
    let count = size.of(4000, 20).to_string();
    let loads = [("listeners", vec!["listen", count.as_str(), "1"]), ("connections", vec!["connections", &count])];
    for (name, args) in loads {
        let samples = interleave(|watcher| watcher.rounds(rounds), &watchers, |watcher| sample(watcher, &args))?;
        let (cpu, wall): (Of<Sample>, Of<Sample>) =
            (|sample| sample.storm.cpu_ns as f64, |sample| sample.storm.wall_ns as f64);
        for (watcher, own) in watchers.iter().zip(&samples).skip(1) {
            let who = watcher.name();
            let against = |of| ratios(&field(own, of), &field(&samples[0], of));
            section.samples(format!("{name}: {who}: CPU of the application"), &against(cpu), Unit::Times);
            section.samples(format!("{name}: {who}: wall time of the application"), &against(wall), Unit::Times);
            let per_event: Vec<_> = own
                .iter()
                .filter(|sample| sample.events > 0)
                .map(|sample| sample.watcher_ns as f64 / sample.events as f64 / 1e3)
                .collect();
            if !per_event.is_empty() {
                section.samples(format!("{name}: {who}: CPU of the watcher, an event"), &per_event, Unit::Us);
            }
        }
    }
    Ok(section)
}

fn sample(watcher: Watcher, args: &[&str]) -> anyhow::Result<Sample> {
    let (mut watching, mut worker) = watcher.on(args)?;
    let before = watching.cpu()?;
    let storm: Storm = worker.go()?;
    watching.settle()?;
    let watcher_ns = watching.cpu()? - before;
    let events = watching.lines()?.unwrap_or_else(|| recorded(watching.recorder()));
    // A poller is held up by what it polls: it may need a moment for its next look.
    std::thread::sleep(Duration::from_millis(10));
    Ok(Sample { storm, watcher_ns, events })
}

/// Records of sockets and system calls.
pub(super) fn recorded(recorder: &Recorder) -> u64 {
    recorder.records(|records| records.iter().filter(|record| is_event(record)).count() as u64)
}

/// Whether a record is of a socket or a system call.
pub(super) fn is_event(record: &Record) -> bool {
    record.source == Source::Ebpf && matches!(record.event, Event::SocketState(_) | Event::Syscall(_))
}

//! CPU time an event: in the application, in the reader of the ring, in the writer of the history.

use std::path::Path;
use std::time::Duration;

use portwitness::history::{HistoryReader, Recorder};
use portwitness::observers::Observer;

use super::observed::{is_event, recorded};
use crate::figure::{Section, Unit};
use crate::pairs::interleave;
use crate::size::Size;
use crate::work::listen::Storm;
use crate::worker::Worker;
use crate::{cpu, observing};

/// The goal for application and reader together, in us.
const GOAL: f64 = 0.3;

/// What is recorded, and where to.
#[derive(Clone, Copy, PartialEq)]
enum Variant {
    Nobody,
    Memory { causes: bool },
    File { causes: bool },
}

#[derive(Default)]
struct Sample {
    application_ns: f64,
    reader_ns: f64,
    writer_ns: f64,
    events: f64,
}

pub(crate) fn run(size: Size) -> anyhow::Result<Section> {
    let mut section = Section::new(
        "CPU time an event",
        "The same loads, with portwitness alone and more of them. The application's share is its CPU time less that \
         without an observer in the same round; reader (ring to history) and writer (history to file) are threads of \
         the observer. An event is a record: a socket's state, a system call's entry or its exit.",
    );
    let count = size.of(40_000, 50).to_string();
    let variants = [
        Variant::Nobody,
        Variant::Memory { causes: false },
        Variant::File { causes: false },
        Variant::Memory { causes: true },
        Variant::File { causes: true },
    ];
    let loads = [("listeners", vec!["listen", count.as_str(), "1"]), ("connections", vec!["connections", &count])];
    for (name, args) in loads {
        let samples = interleave(|_| size.rounds(7), &variants, |variant| sample(variant, &args))?;
        for (variant, own) in variants.iter().zip(&samples).skip(1) {
            let how = match variant {
                Variant::Nobody => continue,
                Variant::Memory { causes: false } => "windows only, in memory",
                Variant::Memory { causes: true } => "with causes, in memory",
                Variant::File { causes: false } => "windows only, to a file",
                Variant::File { causes: true } => "with causes, to a file",
            };
            let pairs = || own.iter().zip(&samples[0]).filter(|(sample, _)| sample.events > 0.0);
            let each = |of: &dyn Fn(&Sample, &Sample) -> f64| -> Vec<f64> {
                pairs().map(|(sample, nobody)| of(sample, nobody) / sample.events / 1e3).collect()
            };
            let what = |part: &str| format!("{name}: {how}: {part}");
            let application = |sample: &Sample, nobody: &Sample| sample.application_ns - nobody.application_ns;
            section.samples(what("application"), &each(&application), Unit::Us);
            section.samples(what("reader"), &each(&|sample, _| sample.reader_ns), Unit::Us);
            let both = |sample: &Sample, nobody: &Sample| application(sample, nobody) + sample.reader_ns;
            if let Some(figure) = section.samples(what("application + reader"), &each(&both), Unit::Us) {
                figure.at_most(GOAL);
            }
            if matches!(variant, Variant::File { .. }) {
                section.samples(what("writer"), &each(&|sample, _| sample.writer_ns), Unit::Us);
            }
        }
    }
    Ok(section)
}

fn sample(variant: Variant, args: &[&str]) -> anyhow::Result<Sample> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("history.jsonl");
    let (recorder, causes) = match variant {
        Variant::Nobody => {
            let storm: Storm = Worker::spawn(args)?.go()?;
            return Ok(Sample { application_ns: storm.cpu_ns as f64, ..Sample::default() });
        }
        Variant::Memory { causes } => (observing::nowhere(), causes),
        Variant::File { causes } => (Recorder::create(&path, observing::run_info())?, causes),
    };
    let mut observer = observing::ebpf(&recorder, std::process::id(), causes)?;
    let mut worker = Worker::spawn(args)?;
    let (reader, writer) = (cpu::threads("ebpf-reader")?, cpu::threads("history")?);
    let storm: Storm = worker.go()?;
    observer.fence()?;
    let reader_ns = (cpu::threads("ebpf-reader")? - reader) as f64;
    let writer_ns = match variant {
        Variant::File { .. } => written()? - writer,
        _ => 0,
    } as f64;
    observer.stop()?;
    observing::detached()?;
    recorder.finish()?;
    let events = match variant {
        // Memory holds only what checks judge by then.
        Variant::File { .. } => stored(&path)?,
        _ => recorded(&recorder),
    } as f64;
    Ok(Sample { application_ns: storm.cpu_ns as f64, reader_ns, writer_ns, events })
}

/// The CPU time of the writer once it is idle: with the thread its time is gone, so it is read before.
fn written() -> anyhow::Result<u64> {
    let mut last = cpu::threads("history")?;
    // It wakes up every 100 ms; a minute is more than any backlog takes.
    for _ in 0..400 {
        std::thread::sleep(Duration::from_millis(150));
        let now = cpu::threads("history")?;
        if now - last < 1_000_000 {
            break;
        }
        last = now;
    }
    Ok(last)
}

fn stored(path: &Path) -> anyhow::Result<u64> {
    HistoryReader::open(path)?.try_fold(0, |count, record| Ok(count + u64::from(is_event(&record?))))
}

//! What the scap module costs beside eBPF, for the same system calls of the same process; in a guest whose clock counts
//! instructions.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use portwitness::history::{Event, Recorder, Source};
use portwitness::observers::Observer;
use portwitness::observers::ebpf::EbpfObserver;
use portwitness::observers::scap::{ScapObserver, ScapSettings};
use rustix::process::{Pid, Signal, kill_process};

use crate::figure::{Section, Unit};
use crate::pairs::{Of, field, interleave};
use crate::size::Size;
use crate::stats::ratios;
use crate::watcher::ends_with_us;
use crate::work::listen::Storm;
use crate::worker::Worker;
use crate::{cpu, observing};

/// Where `cargo xtask bench --vm` says that sinsp-events is, which reads everything that the module writes.
const SINSP_EVENTS: &str = "PORTWITNESS_SINSP_EVENTS";

/// A way to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Witness {
    Nobody,
    Windows,
    Causes,
    Scap,
    Both,
    Libsinsp,
}

const ALL: [Witness; 6] =
    [Witness::Nobody, Witness::Windows, Witness::Causes, Witness::Scap, Witness::Both, Witness::Libsinsp];

impl Witness {
    fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Windows => "eBPF, windows only",
            Self::Causes => "eBPF, with causes",
            Self::Scap => "scap, our reader's calls",
            Self::Both => "eBPF with causes and scap",
            Self::Libsinsp => "scap, every event, by libsinsp",
        }
    }
}

struct Sample {
    storm: Storm,
    reader_ns: u64,
    events: u64,
    lost: u64,
}

pub(crate) fn run(size: Size) -> anyhow::Result<Section> {
    let mut section = Section::new(
        "scap beside eBPF, in a VM",
        "A process opens and closes a listener again and again, then connects, accepts and closes, in a guest of one CPU \
         whose clock counts instructions: they are the same on every host. Instructions of the process, in it and for it in \
         the kernel, against the same with nobody watching in the same round of one boot, and instructions of the reader an \
         event. libsinsp reads every event of the machine and shows none, so its events are not those of the process alone.",
    );
    ScapObserver::probe().context("this takes the scap module: cargo xtask bench --vm boots a guest with it")?;
    let rounds = size.rounds(3);
    let count = size.of(1000, 20).to_string();
    let loads = [("listeners", vec!["listen", count.as_str(), "1"]), ("connections", vec!["connections", &count])];
    for (name, args) in loads {
        let samples = interleave(|_| rounds, &ALL, |witness| sample(witness, &args, &["proc.name=nobody-at-all"]))?;
        let each: Of<Sample> = |sample| sample.storm.cpu_ns as f64 / sample.storm.iterations as f64;
        let nobody = field(&samples[0], each);
        section.samples(format!("{name}: nobody watches: one"), &nobody, Unit::Instructions);
        for (witness, own) in ALL.iter().zip(&samples).skip(1) {
            let what = format!("{name}: {}", witness.name());
            section.samples(format!("{what}: the process"), &ratios(&field(own, each), &nobody), Unit::Times);
            let an_event = |sample: &Sample| sample.reader_ns as f64 / sample.events.max(1) as f64;
            let reader: Vec<f64> = own.iter().map(an_event).collect();
            section.samples(format!("{what}: the reader, an event"), &reader, Unit::Instructions);
        }
    }
    storms(size, &mut section)?;
    Ok(section)
}

/// What is lost when two threads open and close listeners as fast as they can, and every event is recorded or printed.
fn storms(size: Size, section: &mut Section) -> anyhow::Result<()> {
    let count = size.of(5_000, 20).to_string();
    for witness in [Witness::Causes, Witness::Scap, Witness::Both, Witness::Libsinsp] {
        // Without a filter every event is printed.
        let sample = sample(witness, &["listen", &count, "2"], &[])?;
        let what = format!("storm: {}", witness.name());
        let events = (sample.events + sample.lost) as f64;
        let rate = events * 1e9 / sample.storm.cpu_ns as f64;
        section.value(format!("{what}: events"), events, Unit::Count);
        section.value(format!("{what}: events for 1e9 instructions of the process"), rate, Unit::Count);
        section.value(format!("{what}: lost and counted"), sample.lost as f64, Unit::Count);
    }
    Ok(())
}

fn sample(witness: Witness, args: &[&str], filter: &[&str]) -> anyhow::Result<Sample> {
    let mut watch = Watch::start(witness, filter)?;
    let mut worker = Worker::spawn(args)?;
    // The first batch warms up.
    worker.go::<Storm>()?;
    let storm: Storm = worker.go()?;
    let (reader_ns, events, lost) = watch.end()?;
    Ok(Sample { storm, reader_ns, events, lost })
}

/// Somebody watches our children, from its start to [`end`](Self::end).
#[derive(Default)]
struct Watch {
    ebpf: Option<Box<EbpfObserver>>,
    scap: Option<Box<ScapObserver>>,
    libsinsp: Option<Libsinsp>,
    recorder: Option<Recorder>,
    cpu_before: u64,
}

impl Watch {
    fn start(witness: Witness, filter: &[&str]) -> anyhow::Result<Self> {
        let recorder = observing::nowhere();
        let parent = std::process::id();
        let mut watch = Self::default();
        if matches!(witness, Witness::Windows | Witness::Causes | Witness::Both) {
            watch.ebpf = Some(observing::ebpf(&recorder, parent, witness != Witness::Windows)?);
        }
        if matches!(witness, Witness::Scap | Witness::Both) {
            let scope = observing::scope(&recorder, parent);
            watch.scap = Some(Box::new(ScapObserver::start(scope, ScapSettings::default())?));
        }
        if witness == Witness::Libsinsp {
            watch.libsinsp = Some(Libsinsp::start(filter)?);
        }
        watch.recorder = Some(recorder);
        watch.cpu_before = watch.cpu()?;
        Ok(watch)
    }

    fn cpu(&self) -> anyhow::Result<u64> {
        match &self.libsinsp {
            Some(libsinsp) => cpu::process(libsinsp.child.id()),
            None => Ok(cpu::threads("ebpf-reader")? + cpu::threads("scap-reader")? + cpu::threads("history")?),
        }
    }

    /// Instructions of the reader, events that it read, and events that were lost and counted.
    fn end(&mut self) -> anyhow::Result<(u64, u64, u64)> {
        if let Some(libsinsp) = &mut self.libsinsp {
            let (events, lost) = libsinsp.end()?;
            let reader_ns = self.cpu()? - self.cpu_before;
            return Ok((reader_ns, events, lost));
        }
        if let Some(ebpf) = &mut self.ebpf {
            ebpf.fence()?;
        }
        if let Some(scap) = &mut self.scap {
            scap.fence()?;
        }
        let reader_ns = self.cpu()? - self.cpu_before;
        if let Some(ebpf) = self.ebpf.take() {
            ebpf.stop()?;
        }
        if let Some(scap) = self.scap.take() {
            scap.stop()?;
        }
        observing::detached()?;
        let (mut events, mut lost) = (0, 0);
        if let Some(recorder) = &self.recorder {
            recorder.records(|records| {
                for record in records {
                    match &record.event {
                        Event::SocketState(_) | Event::Syscall(_)
                            if matches!(record.source, Source::Ebpf | Source::Scap) =>
                        {
                            events += 1;
                        }
                        Event::Loss { count, .. } => lost += count,
                        _ => {}
                    }
                }
            });
        }
        Ok((reader_ns, events, lost))
    }
}

/// sinsp-events, reading.
struct Libsinsp {
    child: Child,
    lines: BufReader<ChildStdout>,
}

/// How long it may take to read what is left.
const DRAIN: Duration = Duration::from_secs(120);

impl Libsinsp {
    fn start(filter: &[&str]) -> anyhow::Result<Self> {
        let program = std::env::var_os(SINSP_EVENTS).with_context(|| {
            format!("{SINSP_EVENTS} names no program: this benchmark is run by cargo xtask bench --vm")
        })?;
        let mut command = Command::new(program);
        let mut child = ends_with_us(&mut command)
            .args(filter)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start sinsp-events")?;
        let mut lines = BufReader::new(child.stdout.take().context("sinsp-events has no output")?);
        let mut first = String::new();
        lines.read_line(&mut first)?;
        ensure!(first.contains("\"start\""), "sinsp-events did not start, it said `{}`", first.trim_end());
        Ok(Self { child, lines })
    }

    /// Has it read everything; returns the events that it read, and those that were lost.
    fn end(&mut self) -> anyhow::Result<(u64, u64)> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("sinsp-events has no pid")?;
        kill_process(pid, Signal::INT).context("sinsp-events is gone")?;
        let (began, mut line) = (Instant::now(), String::new());
        while began.elapsed() < DRAIN {
            line.clear();
            ensure!(self.lines.read_line(&mut line)? > 0, "sinsp-events ended without telling what it lost");
            if line.starts_with("{\"type\":\"end\"") {
                let end: serde_json::Value = serde_json::from_str(&line).context("the last line of sinsp-events")?;
                let number = |name: &str| end[name].as_u64().with_context(|| format!("sinsp-events tells no {name}"));
                return Ok((number("read")?, number("drops")?));
            }
        }
        bail!("sinsp-events did not read everything within {} s", DRAIN.as_secs())
    }
}

impl Drop for Libsinsp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

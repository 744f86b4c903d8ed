//! Loads the eBPF programs of a rung and attaches them, or says what this machine lacks for it.

use std::error::Error;
use std::os::unix::fs::MetadataExt;

use aya::Ebpf;
use aya::maps::{Array, MapData, MapError, PerCpuArray, RingBuf};
use aya::programs::{BtfTracePoint, Program, ProgramError, RawTracePoint, TracePoint};
use aya_log::EbpfLogger;
use portwitness_ebpf_common::Probe;
use rustix::thread::CapabilitySet;

use super::kernel::Kernel;
use super::rung::Rung;
use super::{focus, holders};
use crate::observers::{Focus, ObserverError};

/// The programs, or nothing where they could not be built.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/portwitness.bpf.o"));

/// Why `OBJECT` is empty.
const MISSING: &str = env!("PORTWITNESS_EBPF_MISSING");

/// A probe: the prefix of its programs' names, then the tracepoint's category and name.
type ProbeSite = (&'static str, &'static str, &'static str);

/// The probes that follow processes.
const PROCESS_PROBES: [ProbeSite; 3] = [
    // The first to be attached is the one that tells which process begins, so that no child is missed.
    ("fork", "task", "task_newtask"),
    ("exec", "sched", "sched_process_exec"),
    ("exit", "sched", "sched_process_exit"),
];

/// The probe that every focus needs.
const SOCKET_PROBE: ProbeSite = ("socket_state", "sock", "inet_sock_set_state");

/// What every rung is loaded with.
pub(super) struct Wanted {
    /// Size of the ring in bytes.
    pub(super) ring_bytes: u32,
    /// The observed network namespace.
    pub(super) netns: u32,
    /// What is followed.
    pub(super) focus: Focus,
}

/// Programs that are loaded and attached, for as long as this lives.
pub(super) struct Loaded {
    pub(super) rung: Rung,
    pub(super) ebpf: Ebpf,
    drops: PerCpuArray<MapData, u64>,
    pub(super) settings: Array<MapData, u32>,
    /// Whether it can be asked who holds which socket, or why not.
    pub(super) looks: Result<(), String>,
}

/// What the reader reads.
pub(super) struct Sources {
    pub(super) ring: RingBuf<MapData>,
    pub(super) logger: Option<EbpfLogger<&'static dyn log::Log>>,
}

/// The size of the embedded programs in bytes, or why there are none. `PORTWITNESS_NO_EBPF` leaves them out at run time as it
/// does when the program is built.
pub(crate) fn object() -> Result<usize, String> {
    if std::env::var_os("PORTWITNESS_NO_EBPF").is_some_and(|value| !value.is_empty() && value != "0") {
        return Err("this program runs without the eBPF object (PORTWITNESS_NO_EBPF is set: unset it)".into());
    }
    match OBJECT.len() {
        0 => Err(format!("this program was built without the eBPF object ({MISSING})")),
        bytes => Ok(bytes),
    }
}

/// The inode number of the kernel's first pid namespace (PROC_PID_INIT_INO in include/linux/proc_ns.h, since Linux 3.8).
const INITIAL_PID_NAMESPACE: u64 = 0xeffffffc;

/// How to observe from within a container.
pub(crate) const HOST_PIDS: &str = "run it in the host's pid namespace, e.g. with `docker run --pid=host`";

/// Whether processes bear the numbers here by which the programs know them; an error says why not.
pub(crate) fn pid_namespace() -> Result<(), String> {
    // Not NSpid in /proc/self/status: a /proc that was mounted within the namespace shows the inner number alone.
    match std::fs::metadata("/proc/self/ns/pid") {
        Ok(namespace) if namespace.ino() != INITIAL_PID_NAMESPACE => {
            Err("this process runs in a pid namespace of its own, where the kernel's process numbers are others".into())
        }
        Ok(_) => Ok(()),
        Err(error) => Err(format!("/proc/self/ns/pid: {error}")),
    }
}

/// Why programs cannot run here at all: no object, no capabilities, other process numbers.
pub(super) fn refused() -> Result<(), ObserverError> {
    object().map_err(|lacks| lacking("ebpf", lacks, "run `cargo xtask setup` and build again"))?;
    let way_out = "run as root, or with `--observer sock-diag`";
    let effective = rustix::thread::capabilities(None).map(|sets| sets.effective).unwrap_or(CapabilitySet::empty());
    // CAP_SYS_ADMIN stands for both (capabilities(7)).
    let missing: Vec<_> = [(CapabilitySet::BPF, "CAP_BPF"), (CapabilitySet::PERFMON, "CAP_PERFMON")]
        .into_iter()
        .filter(|(capability, _)| !effective.intersects(*capability | CapabilitySet::SYS_ADMIN))
        .map(|(_, name)| name)
        .collect();
    if !missing.is_empty() {
        return Err(lacking("ebpf", missing.join(" and ") + " missing", way_out));
    }
    pid_namespace().map_err(|lacks| lacking("ebpf", lacks, HOST_PIDS))
}

pub(super) fn lacking(observer: &str, lacks: impl Into<String>, way_out: impl Into<String>) -> ObserverError {
    ObserverError::Lacking { observer: observer.into(), lacks: lacks.into(), way_out: way_out.into() }
}

impl Kernel {
    /// Loads and attaches the best of `rungs`.
    pub(super) fn load_best(&self, rungs: &[Rung], wanted: &Wanted) -> Result<(Loaded, Sources), ObserverError> {
        let mut failures = Vec::new();
        for rung in rungs {
            match self.load(*rung, wanted) {
                Ok(loaded) => return Ok(loaded),
                Err(why) => {
                    tracing::debug!("the rung {rung} is not to be had: {why}");
                    failures.push(format!("{rung}: {why}"));
                }
            }
        }
        let way_out = "run with another `--observer`: `portwitness doctor` shows what works here";
        Err(lacking("ebpf", failures.join("; "), way_out))
    }

    /// Loads and attaches one rung.
    pub(super) fn load(&self, rung: Rung, wanted: &Wanted) -> Result<(Loaded, Sources), String> {
        match rung {
            Rung::TpBtf | Rung::RawTp => drop(self.btf.as_ref().map_err(Clone::clone)?),
            Rung::Tracepoint => self.formats.clone()?,
        }
        self.load_programs(rung, wanted).map_err(|error| causes(error.as_ref()))
    }

    fn load_programs(&self, rung: Rung, wanted: &Wanted) -> Result<(Loaded, Sources), Box<dyn Error>> {
        let mut ebpf = self.object(wanted)?;
        focus::follow_first(&mut ebpf, wanted)?;
        let process_probes = if focus::follows_processes(&wanted.focus) { &PROCESS_PROBES[..] } else { &[] };
        for (probe, category, tracepoint) in process_probes.iter().chain([&SOCKET_PROBE]) {
            self.attach(&mut ebpf, rung, probe, category, tracepoint)
                .map_err(|error| format!("{category}:{tracepoint}: {}", causes(&error)))?;
        }
        let logger = if logs() { EbpfLogger::init(&mut ebpf).ok() } else { None };
        let mut take = |name: &str| ebpf.take_map(name).ok_or_else(|| format!("no map {name}"));
        let sources = Sources { ring: RingBuf::try_from(take("EVENTS")?)?, logger };
        let drops = PerCpuArray::try_from(take("DROPS")?)?;
        let settings = Array::try_from(take("SETTINGS")?)?;
        let looks = match &self.btf {
            Ok(btf) => holders::load(&mut ebpf, btf).map_err(|error| causes(error.as_ref())),
            Err(why) => Err(why.clone()),
        };
        if let Err(why) = &looks {
            tracing::debug!("who holds which socket cannot be asked: {why}");
        }
        Ok((Loaded { rung, ebpf, drops, settings, looks }, sources))
    }

    fn object(&self, wanted: &Wanted) -> Result<Ebpf, aya::EbpfError> {
        let log_level = if logs() { aya_log::Level::Debug as u8 } else { 0 };
        self.loader()
            .btf(self.btf.as_ref().ok())
            .map_max_entries("EVENTS", wanted.ring_bytes)
            .override_global("OFFSETS", self.offsets.as_bytes(), true)
            .override_global("NETNS", &wanted.netns, true)
            .override_global("SCOPE", &focus::bits(&wanted.focus), true)
            .override_global("WAKE_ABOVE", &u64::from(wanted.ring_bytes / 8), true)
            .override_global(aya_log::LEVEL, &log_level, true)
            .load(OBJECT)
    }

    fn attach(
        &self,
        ebpf: &mut Ebpf,
        rung: Rung,
        probe: &str,
        category: &str,
        tracepoint: &str,
    ) -> Result<(), ProgramError> {
        match rung {
            Rung::TpBtf => {
                let program: &mut BtfTracePoint = program(ebpf, &format!("{probe}_btf"))?;
                if let Ok(btf) = &self.btf {
                    program.load(tracepoint, btf)?;
                }
                program.attach()?;
            }
            Rung::RawTp => {
                let program: &mut RawTracePoint = program(ebpf, &format!("{probe}_raw"))?;
                program.load()?;
                program.attach(tracepoint)?;
            }
            Rung::Tracepoint => {
                let program: &mut TracePoint = program(ebpf, &format!("{probe}_classic"))?;
                program.load()?;
                program.attach(category, tracepoint)?;
            }
        }
        Ok(())
    }
}

impl Loaded {
    /// Changes a setting of the running programs.
    pub(super) fn set(&mut self, setting: u32, value: u32) -> Result<(), ObserverError> {
        self.settings.set(setting, value, 0).map_err(|error| map_failed("write a setting", &error))
    }

    /// How many records each probe has lost so far.
    pub(super) fn drops(&self) -> Result<Vec<(&'static str, u64)>, ObserverError> {
        let lost = |probe: Probe| {
            let counts = self.drops.get(&(probe as u32), 0).map_err(|error| map_failed("read lost records", &error))?;
            Ok((probe.name(), counts.iter().sum()))
        };
        Probe::ALL.into_iter().map(lost).collect()
    }
}

/// A program by its name.
pub(super) fn program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, ProgramError>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
}

fn map_failed(doing: &str, error: &MapError) -> ObserverError {
    ObserverError::Io { doing: format!("ebpf: could not {doing}"), source: std::io::Error::other(causes(error)) }
}

/// The programs' own messages are asked for.
fn logs() -> bool {
    tracing::enabled!(tracing::Level::DEBUG)
}

/// An error with what caused it, on one line.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut told = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        told.push(cause.to_string());
        source = cause.source();
    }
    told.dedup();
    told.iter().map(|text| brief(text)).collect::<Vec<_>>().join(": ")
}

/// The first line, and of a verifier's log, which may run to pages, the line that tells why.
fn brief(text: &str) -> String {
    let mut lines = text.lines().map(str::trim);
    let first = lines.next().unwrap_or_default();
    let verdict = lines.rfind(|line| !line.is_empty() && !line.starts_with("processed "));
    verdict.map_or(first.into(), |verdict| format!("{first} ... {verdict}"))
}

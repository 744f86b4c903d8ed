//! Who watches a worker while it is measured: nobody, portwitness, or one of its peers.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use portwitness::history::Recorder;
use portwitness::observers::Observer;
use portwitness::observers::ebpf::EbpfObserver;
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use tempfile::TempDir;

use crate::size::Size;
use crate::worker::Worker;
use crate::{cpu, observing};

/// A way to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watcher {
    /// Nobody.
    Nothing,
    /// portwitness, socket states alone.
    Windows,
    /// portwitness, with system calls.
    Causes,
    /// A client of ours that connects to the worker's first port every 10 ms.
    Polling,
    /// bpftrace, printing the same tracepoints.
    Bpftrace,
    /// strace, of the same system calls.
    Strace,
}

/// How long a peer may take to attach.
const ATTACH: Duration = Duration::from_secs(120);

/// The calls that portwitness records, as far as strace and the kernel know them all.
const CALLS: &[&str] = &["listen", "bind", "connect", "accept", "accept4", "close", "dup2", "dup3", "shutdown"];

impl Watcher {
    /// Those that can be had here, and a note for each that cannot.
    pub(crate) fn at_hand(size: Size, notes: &mut Vec<String>) -> Vec<Self> {
        let all = [Self::Nothing, Self::Windows, Self::Causes, Self::Polling, Self::Bpftrace, Self::Strace];
        all.into_iter()
            .filter(|watcher| match watcher.program() {
                Some(_) if !size.peers() => false,
                Some(name) if program(name).is_none() => {
                    notes.push(format!("{name} is missing on this machine: not compared"));
                    false
                }
                _ => true,
            })
            .collect()
    }

    /// How many of these rounds it takes part in: bpftrace takes seconds to attach, and what it costs is plain to see.
    pub(crate) fn rounds(self, rounds: usize) -> usize {
        if self.is_peer() { rounds.min(3) } else { rounds }
    }

    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Windows => "portwitness, windows only",
            Self::Causes => "portwitness, with causes",
            Self::Polling => "connect() every 10 ms",
            Self::Bpftrace => "bpftrace",
            Self::Strace => "strace",
        }
    }

    fn program(self) -> Option<&'static str> {
        match self {
            Self::Bpftrace => Some("bpftrace"),
            Self::Strace => Some("strace"),
            _ => None,
        }
    }

    /// Whether it is a program of others.
    pub(crate) fn is_peer(self) -> bool {
        self.program().is_some()
    }

    /// Starts a worker that is watched.
    pub(crate) fn on(self, args: &[&str]) -> anyhow::Result<(Watching, Worker)> {
        self.start(std::process::id(), || Worker::spawn(args), Worker::pid)
    }

    /// Starts a worker that is not watched, while another is that does nothing.
    pub(crate) fn beside(self, args: &[&str]) -> anyhow::Result<(Watching, Worker)> {
        let idle = Worker::spawn(&["idle"])?;
        let (mut watching, worker) = self.start(idle.pid(), || Worker::spawn(args), |_| idle.pid())?;
        watching.idle = Some(idle);
        Ok((watching, worker))
    }

    fn start(
        self,
        parent: u32,
        spawn: impl FnOnce() -> anyhow::Result<Worker>,
        whom: impl FnOnce(&Worker) -> u32,
    ) -> anyhow::Result<(Watching, Worker)> {
        let recorder = observing::nowhere();
        // Ours follows its children from the fork on, so it comes first; the others want a pid.
        let ours = match self {
            Self::Windows | Self::Causes => Some(observing::ebpf(&recorder, parent, self == Self::Causes)?),
            _ => None,
        };
        let worker = spawn()?;
        let pid = whom(&worker);
        let watch = match (self, ours) {
            (_, Some(observer)) => Watch::Ours(observer),
            (Self::Polling, _) => Watch::Poller(Worker::spawn(&["poll", "connect", "1", "10000"])?),
            (Self::Bpftrace, _) => Watch::Peer(Peer::bpftrace(pid)?),
            (Self::Strace, _) => Watch::Peer(Peer::strace(pid)?),
            _ => Watch::Nobody,
        };
        Ok((Watching { watch, recorder, idle: None }, worker))
    }
}

/// Somebody is watching, until this is dropped.
pub(crate) struct Watching {
    watch: Watch,
    recorder: Recorder,
    idle: Option<Worker>,
}

enum Watch {
    Nobody,
    Ours(Box<EbpfObserver>),
    Poller(Worker),
    Peer(Peer),
}

impl Watching {
    /// CPU time of the watcher so far, in ns, beside what it costs the watched itself. Only after [`settle`](Self::settle)
    /// has all been read.
    pub(crate) fn cpu(&self) -> anyhow::Result<u64> {
        match &self.watch {
            Watch::Nobody => Ok(0),
            Watch::Ours(_) => Ok(cpu::threads("ebpf-reader")? + cpu::threads("history")?),
            Watch::Poller(worker) => cpu::process(worker.pid()),
            Watch::Peer(peer) => cpu::process(peer.child.id()),
        }
    }

    /// Lets the watcher read what happened so far.
    pub(crate) fn settle(&mut self) -> anyhow::Result<()> {
        match &mut self.watch {
            Watch::Ours(observer) => Ok(observer.fence()?),
            Watch::Peer(peer) => peer.settle(),
            Watch::Nobody | Watch::Poller(_) => Ok(()),
        }
    }

    /// What portwitness recorded, if it is watching.
    pub(crate) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Lines that a peer wrote, one an event.
    pub(crate) fn lines(&self) -> anyhow::Result<Option<u64>> {
        match &self.watch {
            Watch::Peer(peer) => peer.lines().map(Some),
            _ => Ok(None),
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.watch = Watch::Nobody;
        // Only a /proc that cannot be read fails, and then nothing else has worked either.
        let _ = observing::detached();
    }
}

/// A peer's process, and what it writes.
struct Peer {
    child: Child,
    output: PathBuf,
    _folder: TempDir,
}

impl Peer {
    fn bpftrace(pid: u32) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let output = folder.path().join("bpftrace");
        let at = |phase: &str| {
            let all: Vec<_> = CALLS.iter().map(|call| format!("tracepoint:syscalls:sys_{phase}_{call}")).collect();
            all.join(",")
        };
        // Probes are attached one after the other: all are when both intervals have ticked.
        let script = format!(
            "interval:ms:20 {{ printf(\"first\\n\"); }}
             tracepoint:sock:inet_sock_set_state /pid == {pid}/ {{ printf(\"e %llu %d %s %d %d %d %d\\n\", nsecs, tid, \
             comm, args->sport, args->dport, args->oldstate, args->newstate); }}
             {} /pid == {pid}/ {{ printf(\"e %llu %d %s %s\\n\", nsecs, tid, comm, probe); }}
             {} /pid == {pid}/ {{ printf(\"e %llu %d %s %s %d\\n\", nsecs, tid, comm, probe, args->ret); }}
             interval:ms:20 {{ printf(\"last\\n\"); }}",
            at("enter"),
            at("exit"),
        );
        let child = ends_with_us(&mut Command::new("bpftrace"))
            .arg("-o")
            .arg(&output)
            .args(["-e", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start bpftrace")?;
        let mut peer = Self { child, output, _folder: folder };
        peer.attached("bpftrace", |peer| {
            let text = std::fs::read_to_string(&peer.output).unwrap_or_default();
            text.contains("first\n") && text.contains("last\n")
        })?;
        Ok(peer)
    }

    fn strace(pid: u32) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let output = folder.path().join("strace");
        let child = ends_with_us(&mut Command::new("strace"))
            .args(["-f", "-ttt", "-e", &format!("trace={}", CALLS.join(",")), "-p", &pid.to_string(), "-o"])
            .arg(&output)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start strace")?;
        let mut peer = Self { child, output, _folder: folder };
        let tracer = format!("TracerPid:\t{}\n", peer.child.id());
        peer.attached("strace", |_| {
            std::fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| status.contains(&tracer))
        })?;
        Ok(peer)
    }

    fn attached(&mut self, name: &str, is: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        let began = Instant::now();
        while !is(self) {
            if let Some(status) = self.child.try_wait()? {
                bail!("{name} ended with {status} before it was attached");
            }
            if began.elapsed() > ATTACH {
                bail!("{name} was not attached within {ATTACH:?}");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Waits until its output has not grown by events for 100 ms.
    fn settle(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut last = self.lines()?;
        loop {
            std::thread::sleep(Duration::from_millis(100));
            let now = self.lines()?;
            if now == last || began.elapsed() > ATTACH {
                return Ok(());
            }
            last = now;
        }
    }

    fn lines(&self) -> anyhow::Result<u64> {
        let text = std::fs::read(&self.output).with_context(|| self.output.display().to_string())?;
        let is_event = |line: &&[u8]| !line.is_empty() && !line.starts_with(b"first") && !line.starts_with(b"last");
        Ok(text.split(|byte| *byte == b'\n').filter(is_event).count() as u64)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Both detach and write out what they have when they are interrupted.
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let interrupted = pid.is_some_and(|pid| kill_process(pid, Signal::INT).is_ok());
        let began = Instant::now();
        while interrupted && began.elapsed() < ATTACH {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets a peer end when this process is killed: it would go on watching.
pub(crate) fn ends_with_us(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec nothing but prctl(2) is called, which allocates nothing and takes no lock.
    unsafe { command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::INT))?)) }
}

/// Where a program lies, if it does.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

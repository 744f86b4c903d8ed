//! A stage for one test: its own process, its own network namespace with a loopback interface, actors to be watched.
//!
//! A process of its own because a fork copies every descriptor: a listener of one test would live on in the child of
//! another. The test binary runs itself with the name of the test.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portwitness::clock::{RealtimeOffset, Timestamp};
use portwitness::endpoint::{Endpoint, Tgid};
use portwitness::history::{Event, PlannedCase, Record, Recorder, RunInfo, SocketState, TcpState};
use portwitness::observers::ebpf::{EbpfObserver, EbpfSettings, Rung};
use portwitness::observers::{Observer, Scope, procfs};

const ALONE: &str = "PORTWITNESS_TEST_ALONE";

/// Longer than any of these tests takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(600);

/// Runs the body in a process and a namespace of its own, with these variables in its environment.
pub(super) fn alone_with<F: FnOnce()>(environment: &[(&str, &str)], body: F) {
    if std::env::var_os(ALONE).is_some() {
        enter_namespace();
        return body();
    }
    // `harness::observers::seeds::a_test::{{closure}}`
    let path = std::any::type_name::<F>().trim_end_matches("::{{closure}}");
    let (_, name) = path.split_once("::").unwrap();
    let mut output = tempfile::tempfile().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output.try_clone().unwrap())
        .spawn()
        .unwrap();
    let began = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if began.elapsed() > DEADLINE => break None,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    if status.is_none() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let mut text = String::new();
    std::io::Seek::rewind(&mut output).unwrap();
    output.read_to_string(&mut text).unwrap();
    print!("{text}");
    assert!(status.is_some(), "{name} took longer than {DEADLINE:?}");
    let panic = text.lines().skip_while(|line| !line.contains("panicked at ")).take(6).collect::<Vec<_>>().join("\n");
    assert!(status.unwrap().success() && text.contains("1 passed"), "{name} failed: {panic}");
}

/// Runs the body in a process and a namespace of its own.
pub(crate) fn alone<F: FnOnce()>(body: F) {
    alone_with(&[], body);
}

/// Whether the kernel does not know the peer yet as the socket of a connection goes from LISTEN to SYN_RECV: 6.1 and 6.12 do not,
/// 6.18 does.
pub(super) fn learns_the_peer_later() -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) < (Some(6), Some(18))
}

/// A new network namespace for this thread, with the loopback interface up.
pub(crate) fn enter_namespace() {
    portwitness::sut::hosts::enter_private().unwrap();
}

/// An observer and what it wrote.
pub(crate) struct Watch {
    pub(super) recorder: Recorder,
    pub(super) observer: Box<EbpfObserver>,
    pub(super) netns: u32,
}

impl Watch {
    /// Watches this namespace and the children of this process; system calls are not recorded.
    pub(crate) fn start(rung: Option<Rung>) -> Self {
        Self::with(EbpfSettings { rung, causes: false, ..EbpfSettings::default() })
    }

    pub(super) fn with(settings: EbpfSettings) -> Self {
        let scope = scope();
        let (recorder, netns) = (scope.recorder.clone(), scope.netns);
        Self { recorder, netns, observer: Box::new(EbpfObserver::start(scope, settings).unwrap()) }
    }

    pub(super) fn fence(&mut self) {
        self.observer.fence().unwrap();
    }

    /// Every event so far, in the order of time.
    pub(super) fn events(&mut self) -> Vec<Record> {
        self.fence();
        self.recorder.history().records
    }

    /// What happened to listeners at this port of the namespace so far, in the order of time.
    pub(super) fn edges(&mut self, port: u16) -> Vec<(Timestamp, SocketState)> {
        self.fence();
        let netns = self.netns;
        edges(&self.recorder).into_iter().filter(|(_, it)| it.local.port() == port && it.netns == netns).collect()
    }

    /// Opened or closed, in order.
    pub(super) fn opened_and_closed(&mut self, port: u16) -> Vec<&'static str> {
        let edges = self.edges(port).into_iter();
        edges.map(|(_, it)| if it.to == TcpState::Listen { "opened" } else { "closed" }).collect()
    }

    /// How many sockets a connect to this address would find.
    pub(super) fn count(&mut self, target: &str) -> usize {
        self.fence();
        let target: Endpoint = target.parse().unwrap();
        self.recorder.listeners(|listeners| listeners.count(target, self.netns))
    }
}

/// This process's children and this thread's namespace, recorded in memory.
pub(crate) fn scope() -> Scope {
    let run = run_info(Vec::new());
    let netns = run.netns;
    Scope::of_run(Recorder::in_memory(run), netns)
}

/// A run of these cases in this thread's namespace.
pub(crate) fn run_info(cases: Vec<PlannedCase>) -> RunInfo {
    RunInfo {
        suite: "observers".into(),
        sut: "none".into(),
        profile: "quick".into(),
        seed: 0,
        netns: procfs::own_netns().unwrap(),
        kernel: String::new(),
        version: String::new(),
        realtime: RealtimeOffset::sample(),
        cases,
    }
}

/// Every listener that appeared or went, in the order of time.
pub(super) fn edges(recorder: &Recorder) -> Vec<(Timestamp, SocketState)> {
    let edge = |record: Record| match record.event {
        Event::SocketState(it)
            if matches!(
                (it.from, it.to),
                (TcpState::Close, TcpState::Listen) | (TcpState::Listen, TcpState::Close)
            ) =>
        {
            Some((record.at, it))
        }
        _ => None,
    };
    recorder.history().records.into_iter().filter_map(edge).collect()
}

/// A child process that goes on when it is told to.
pub(crate) struct Actor {
    pid: rustix::process::Pid,
    go: File,
    reached: File,
}

/// The child's side of an [`Actor`].
pub(crate) struct Turn {
    go: File,
    reached: File,
}

impl Turn {
    /// Says that this point was reached, and waits for the word to go on.
    pub(crate) fn pause(&mut self) {
        self.reached.write_all(b".").unwrap();
        self.go.read_exact(&mut [0]).unwrap();
    }
}

impl Actor {
    /// Forks a child that plays `script` and exits with 0, or with 101 when it panics.
    pub(crate) fn fork(script: impl FnOnce(&mut Turn)) -> Self {
        let (go_read, go_write) = pipe();
        let (reached_read, reached_write) = pipe();
        // SAFETY: this process does nothing beside this test, so no lock is held by a thread that the child lacks.
        match unsafe { libc::fork() } {
            0 => {
                drop((go_write, reached_read));
                let mut turn = Turn { go: go_read, reached: reached_write };
                let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| script(&mut turn)));
                // SAFETY: ends the process at once, without the parent's destructors.
                unsafe { libc::_exit(if played.is_ok() { 0 } else { 101 }) }
            }
            pid => Self { pid: rustix::process::Pid::from_raw(pid).unwrap(), go: go_write, reached: reached_read },
        }
    }

    pub(crate) fn tgid(&self) -> Tgid {
        Tgid(self.pid.as_raw_nonzero().get() as u32)
    }

    /// Waits until the actor pauses.
    pub(crate) fn reached(&mut self) {
        self.reached.read_exact(&mut [0]).unwrap();
    }

    /// Lets it go on.
    pub(crate) fn go(&mut self) {
        self.go.write_all(b".").unwrap();
    }

    /// Waits until it has exited, and returns its exit code.
    pub(crate) fn ended(self) -> Option<i32> {
        let (_, status) =
            rustix::process::waitpid(Some(self.pid), rustix::process::WaitOptions::empty()).unwrap().unwrap();
        status.exit_status()
    }

    pub(crate) fn kill(self) {
        rustix::process::kill_process(self.pid, rustix::process::Signal::KILL).unwrap();
        assert_eq!(self.ended(), None);
    }
}

fn pipe() -> (File, File) {
    let (read, write): (OwnedFd, OwnedFd) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    (read.into(), write.into())
}

//! A run of the tunnel suite that something is going to happen to.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::leftovers::Traces;
use super::programs;
use crate::support::{Started, default_signals, eventually, suites};

/// Longer than any of these runs takes to its end on a busy machine.
const DEADLINE: Duration = Duration::from_secs(100);

/// The reference's profile, with failovers of 0.3 s, in which `script` is run by a shell before the server: `exec "$0" "$@"`
/// becomes the server.
pub(super) fn profile(folder: &Path, script: &str) -> PathBuf {
    assert!(!script.contains("'''"));
    let reference = include_str!("../../tunnel/profiles/reference.toml");
    let shell = format!("command = [\"/bin/sh\", \"-c\", '''{script}''',");
    // What a script does before may take its time on a busy machine.
    let patient = reference.replacen("ready_deadline_ms = 10000", "ready_deadline_ms = 60000", 1);
    let text = patient.replacen("command = [", &shell, 1);
    assert!(text.contains(&shell) && text.contains("60000"));
    let path = folder.join("profile.toml");
    fs::write(&path, text).unwrap();
    path
}

/// A run as a child process.
pub(super) struct Victim {
    started: Started,
    pub(super) traces: Traces,
    /// Programs that nobody owned before.
    programs: BTreeSet<u32>,
    runs: PathBuf,
    said: PathBuf,
    _own: tempfile::TempDir,
}

impl Victim {
    /// Starts a run with failovers of 0.3 s, and takes hold of its network namespace, unless it ends before it has one.
    pub(super) fn start(arguments: &[&str]) -> Self {
        Self::start_in(None, arguments)
    }

    /// The same, with its run directories in a folder of the caller's.
    pub(super) fn start_in(runs: Option<&Path>, arguments: &[&str]) -> Self {
        let own = tempfile::tempdir().unwrap();
        let runs = runs.map_or_else(|| own.path().join("runs"), PathBuf::from);
        let said = own.path().join("said");
        let (traces, programs) = (Traces::new(), programs::unowned());
        let mut command = suites(&["run", "tunnel", "--set", "reconnect_timeout_secs=0.3", "--runs"]);
        command.arg(&runs).args(arguments).stdout(Stdio::null()).stderr(fs::File::create(&said).unwrap());
        let started = Started(default_signals(traces.mark(&mut command)).spawn().unwrap());
        Self { started, traces, programs, runs, said, _own: own }
    }

    pub(super) fn pid(&self) -> u32 {
        self.started.0.id()
    }

    /// Waits until the first case has begun; by then the namespace is held.
    pub(super) fn begun(self) -> Self {
        self.until("the first case has begun", |history| history.contains("case_begin"))
    }

    /// Waits until the history holds something, and takes hold of the namespace.
    pub(super) fn until(self, what: &str, holds: impl Fn(&str) -> bool) -> Self {
        let history = || fs::read_to_string(self.place()?.join("history.jsonl")).ok();
        let deadline = Instant::now() + DEADLINE;
        while !history().is_some_and(|text| holds(&text)) {
            assert!(Instant::now() < deadline, "it did not come to this: {what}\n{}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
        self.traces.hold_namespace_of(self.pid());
        self
    }

    pub(super) fn send(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid() as i32).unwrap(), signal).unwrap();
    }

    /// Waits for the end of the run; then nothing of it may be left.
    pub(super) fn ended(&mut self) -> ExitStatus {
        let status = self.wait();
        self.traces.assert_gone();
        programs::assert_none_since(&self.programs);
        status
    }

    /// Waits for the end of the run.
    pub(super) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.started.0.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the run does not end:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// What it said on standard error.
    pub(super) fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }

    /// Asserts what it said.
    pub(super) fn says(&self, part: &str) -> &Self {
        assert!(self.said().contains(part), "no `{part}` in:\n{}", self.said());
        self
    }

    /// Its run directory, once that is there.
    pub(super) fn place(&self) -> Option<PathBuf> {
        let folders = fs::read_dir(&self.runs).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        folders.into_iter().find(|path| path.join("sut").is_dir() && !path.is_symlink())
    }

    /// Judges what it recorded, as a user would.
    pub(super) fn judged(&self) -> Output {
        suites(&["judge"]).arg(self.place().unwrap()).output().unwrap()
    }

    /// Asserts the exit code of `judge`.
    pub(super) fn judges_with(&self, code: i32) -> &Self {
        let judged = self.judged();
        assert_eq!(judged.status.code(), Some(code), "{}", String::from_utf8_lossy(&judged.stderr));
        self
    }
}

/// Waits until so many processes have `part` in their command lines.
pub(super) fn until_there_are(count: usize, part: &str) {
    eventually(&format!("{count} processes `{part}` run"), || crate::support::processes_with(part).len() == count);
}

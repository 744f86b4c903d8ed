//! A daemon that left its process group and its session is gone when the run is, however that ends.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Started, eventually, processes_with, run, suites};

/// A profile of the reference whose server is started by a shell that starts a daemon before.
struct Daemon {
    /// Its command line, as no other process has it.
    marker: String,
    profile: PathBuf,
    _folder: tempfile::TempDir,
}

/// A daemon that sleeps for 300.xxx s; `test` tells the tests of this file apart, `change` changes the profile further.
fn daemon(test: u32, change: impl Fn(String) -> String) -> Daemon {
    let seconds = format!("300.{test}{}", std::process::id());
    let shell = format!("\"/bin/sh\", \"-c\", 'setsid sleep {seconds} & exec \"$0\" \"$@\"',");
    let reference = include_str!("../tunnel/profiles/reference.toml");
    let text = reference.replacen("command = [", &format!("command = [{shell}"), 1);
    let folder = tempfile::tempdir().unwrap();
    let profile = folder.path().join("daemon.toml");
    std::fs::write(&profile, change(text)).unwrap();
    // As /proc/PID/cmdline has it: parts end in a zero. The shell's own command line is another.
    Daemon { marker: format!("sleep\0{seconds}"), profile, _folder: folder }
}

impl Daemon {
    fn profile(&self) -> &str {
        self.profile.to_str().unwrap()
    }

    fn lives(&self) -> bool {
        !processes_with(&self.marker).is_empty()
    }
}

#[test]
fn after_a_run() {
    let daemon = daemon(1, |text| text);
    let ran = run(&["--sut", daemon.profile(), "--case", "1.1"]);
    ran.exits_with(0).says("killed a process that the system left behind");
    assert!(!daemon.lives());
}

#[test]
fn after_a_start_that_failed() {
    let daemon = daemon(2, |text| text.replace("fault = \"none\"", "fault = \"dies-at-start\""));
    let ran = run(&["--sut", daemon.profile(), "--case", "1.1"]);
    ran.exits_with(96).says("died at start").says("killed a process that the system left behind");
    assert!(!daemon.lives());
}

#[test]
fn after_a_start_that_was_interrupted() {
    let daemon = daemon(3, |text| text.replace("fault = \"none\"", "fault = \"never-listens\""));
    let mut started = started(&daemon);
    signal(&started, Signal::TERM);
    assert_eq!(started.0.wait().unwrap().code(), Some(130));
    assert!(!daemon.lives());
}

#[test]
fn after_ctrl_c_twice() {
    // One that does not stop when asked: the second Ctrl-C comes while the first is being obeyed.
    let stop = "[[process]]\nstop = { signal = \"TERM\", deadline_ms = 60000 }\n";
    let daemon =
        daemon(4, |text| text.replace("fault = \"none\"", "fault = \"ignores-stop\"").replace("[[process]]\n", stop));
    let mut started = started(&daemon);
    let latest = daemon.profile.with_file_name("latest");
    let says =
        |file: &str, part: &str| std::fs::read_to_string(latest.join(file)).is_ok_and(|text| text.contains(part));
    eventually("the first case has begun", || says("history.jsonl", "case_begin"));
    signal(&started, Signal::INT);
    eventually("the system was asked to stop", || says("sut/server.log", "SIGTERM ignored"));
    assert!(daemon.lives());
    let again = Instant::now();
    signal(&started, Signal::INT);
    assert_eq!(started.0.wait().unwrap().code(), Some(130));
    // Half of what the system has to stop in.
    assert!(again.elapsed() < Duration::from_secs(30), "the second one ended it at once");
    assert!(!daemon.lives());
}

/// A run as a child process, in whose system the daemon lives already; its runs are kept beside the profile.
fn started(daemon: &Daemon) -> Started {
    let mut command = suites(&["run", "tunnel", "--sut", daemon.profile(), "--suite", "tunnel/failover", "--runs"]);
    command.arg(daemon.profile.parent().unwrap()).stdout(Stdio::null()).stderr(Stdio::null());
    let started = Started(command.spawn().unwrap());
    eventually("the daemon runs", || daemon.lives());
    started
}

fn signal(started: &Started, signal: Signal) {
    kill_process(Pid::from_raw(started.0.id() as i32).unwrap(), signal).unwrap();
}

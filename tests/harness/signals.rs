//! Ctrl-C, SIGTERM, SIGHUP and SIGKILL: what was recorded is kept, and nobody is left behind.

use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Started, default_signals, eventually, processes_with, suites};

/// A run in which the first case has begun, as a child process, its runs in `runs`.
fn begun(runs: &Path) -> Started {
    let mut command = suites(&["run", "tunnel", "--sut", "reference", "--suite", "tunnel/failover", "--runs"]);
    command.arg(runs).stdout(Stdio::null()).stderr(Stdio::piped());
    let started = Started(default_signals(&mut command).spawn().unwrap());
    let history = runs.join("latest/history.jsonl");
    eventually("the first case has begun", || {
        std::fs::read_to_string(&history).is_ok_and(|text| text.contains("case_begin"))
    });
    started
}

fn send(started: &Started, signal: Signal) {
    kill_process(Pid::from_raw(started.0.id() as i32).unwrap(), signal).unwrap();
}

fn nobody_is_left(runs: &Path) {
    // The processes of the system work in folders below the run directory, and their listeners are in its namespace:
    // their command lines alone tell them apart, by the pid of none.
    let place = std::fs::canonicalize(runs.join("latest")).unwrap();
    eventually("no process of the system is left", || working_in(&place).is_empty());
}

fn working_in(place: &Path) -> Vec<u32> {
    let tunnels = processes_with("reference-tunnel");
    let inside = |pid: &u32| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(place));
    tunnels.into_iter().filter(inside).collect()
}

fn interrupted_by(signal: Signal) {
    let runs = tempfile::tempdir().unwrap();
    let mut started = begun(runs.path());
    let place = std::fs::canonicalize(runs.path().join("latest")).unwrap();
    assert_eq!(working_in(&place).len(), 3, "the system runs");
    send(&started, signal);
    assert_eq!(started.0.wait().unwrap().code(), Some(130));
    nobody_is_left(runs.path());
    let report = std::fs::read_to_string(place.join("report.json")).unwrap();
    assert!(report.contains("the run broke off: interrupted"));
    assert!(place.join("junit.xml").exists());
    let judged = suites(&["judge"]).arg(&place).output().unwrap();
    assert_eq!(judged.status.code(), Some(97), "{}", String::from_utf8_lossy(&judged.stderr));
    assert!(String::from_utf8_lossy(&judged.stderr).contains(" not run: "));
}

#[test]
fn ctrl_c_keeps_what_was_recorded() {
    interrupted_by(Signal::INT);
}

#[test]
fn sigterm_keeps_what_was_recorded() {
    interrupted_by(Signal::TERM);
}

#[test]
fn sighup_keeps_what_was_recorded() {
    interrupted_by(Signal::HUP);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let runs = tempfile::tempdir().unwrap();
    let mut started = begun(runs.path());
    send(&started, Signal::INT);
    send(&started, Signal::TERM);
    assert_eq!(started.0.wait().unwrap().code(), Some(130));
    nobody_is_left(runs.path());
}

#[test]
fn sigkill_leaves_no_process_and_a_history_that_can_be_judged() {
    let runs = tempfile::tempdir().unwrap();
    let mut started = begun(runs.path());
    send(&started, Signal::KILL);
    assert_eq!(started.0.wait().unwrap().code(), None);
    nobody_is_left(runs.path());
    let judged = suites(&["judge"]).arg(runs.path().join("latest")).output().unwrap();
    assert_eq!(judged.status.code(), Some(97), "{}", String::from_utf8_lossy(&judged.stderr));
}

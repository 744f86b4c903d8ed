//! A command that is watched or recorded ends with the harness when that is killed, and what it spawned with it.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use portwitness::history::History;
use rustix::process::{Pid, Signal, kill_process};

use super::leftovers::Traces;
use super::programs;
use super::victim::until_there_are;
use crate::support::{Started, default_signals, eventually, processes_with, suites};

/// A command that leaves a daemon behind, in a session of its own, which does not listen to SIGTERM; `then` is what it does
/// itself.
fn daemon_and(seconds: &str, then: &str) -> String {
    format!("(trap '' TERM; exec setsid sleep {seconds}) & {then}")
}

/// `suites` with a command by `sh -c`, marked by these traces.
fn started(traces: &Traces, arguments: &[&str], script: &str, said: &Path) -> Started {
    let mut command: Command = suites(arguments);
    command.args(["--", "sh", "-c", script]).stdout(File::create(said).unwrap()).stderr(Stdio::null());
    Started(default_signals(traces.mark(&mut command)).spawn().unwrap())
}

/// The command's output goes to `further`; `until_recorded` returns when something of it is kept.
fn killed_with(test: u32, arguments: &[&str], further: &Path, until_recorded: impl FnOnce()) {
    let seconds = format!("307.{test}{}", std::process::id());
    let (traces, attached) = (Traces::new(), programs::unowned());
    let script = daemon_and(&seconds, &format!("trap 'echo asked; exit' TERM; sleep {seconds} & wait"));
    let mut harness = started(&traces, arguments, &script, further);
    until_there_are(2, &format!("sleep\0{seconds}"));
    until_recorded();
    harness.0.kill().unwrap();
    harness.0.wait().unwrap();
    traces.assert_gone();
    assert!(processes_with(&format!("sleep\0{seconds}")).is_empty());
    let said = std::fs::read_to_string(further).unwrap();
    assert!(said.contains("asked"), "it was killed before it was asked to end: {said}");
    programs::assert_none_since(&attached);
}

#[test]
fn what_is_recorded_ends_with_a_recorder_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("run");
    let history = place.join("history.jsonl");
    let is_recorded = || std::fs::read_to_string(&history).is_ok_and(|text| text.contains("\"comm\":\"sleep\""));
    let recorded = || eventually("its processes are recorded", is_recorded);
    killed_with(1, &["record", "-o", place.to_str().unwrap()], &folder.path().join("said"), recorded);
    assert!(History::load(&history).is_ok());
}

#[test]
fn what_is_watched_ends_with_a_watch_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    killed_with(2, &["watch", "--json"], &folder.path().join("said"), || ());
}

/// A shell in the background whose parent is gone, as after a logout. It runs its arguments, in its own process group as shells
/// do when nobody types, and says a word when it has outlived them for longer than a guardian waits before it kills.
const ORPHANED_SHELL: &str = r#"(
    trap 'echo asked; exit' TERM
    parent=$$
    while [ "$parent" = $$ ]; do sleep 0.01; read -r _ _ _ parent _ < /proc/self/stat; done
    "$@" > further &
    echo $! > recorder
    wait $!
    sleep 5
    echo lives on
) > said 2>&1 &"#;

#[test]
fn an_orphaned_shell_is_not_ended_with_the_recorder_that_it_started() {
    let seconds = format!("307.4{}", std::process::id());
    let (folder, traces) = (tempfile::tempdir().unwrap(), Traces::new());
    let recorder = suites(&["record", "-o", "run", "--", "sleep", &seconds]);
    let mut shell = Command::new("sh");
    shell.args(["-c", ORPHANED_SHELL, "sh"]).arg(recorder.get_program()).args(recorder.get_args());
    shell.current_dir(folder.path()).stdin(Stdio::null()).process_group(0);
    assert!(traces.mark(&mut shell).status().unwrap().success());
    // The recorder and its guardian have the command's words, too.
    until_there_are(3, &format!("sleep\0{seconds}"));
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    kill_process(Pid::from_raw(read("recorder").trim().parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    traces.assert_gone();
    assert_eq!(read("said").lines().last(), Some("lives on"), "{}", read("said"));
}

#[test]
fn what_a_recorded_command_leaves_behind_on_purpose_lives_on() {
    let seconds = format!("307.3{}", std::process::id());
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("run");
    let traces = Traces::new();
    let arguments = ["record", "-o", place.to_str().unwrap()];
    let mut recorder = started(&traces, &arguments, &daemon_and(&seconds, "exit 3"), &folder.path().join("said"));
    assert_eq!(recorder.0.wait().unwrap().code(), Some(3));
    let left = || processes_with(&format!("sleep\0{seconds}"));
    eventually("the daemon runs", || left().len() == 1);
    kill_process(Pid::from_raw(left()[0] as i32).unwrap(), Signal::KILL).unwrap();
    traces.assert_gone();
}

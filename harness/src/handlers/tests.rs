//! Handlers against servers of ours: what they tell, and how they end.

#![allow(clippy::unwrap_used)]
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::launch::Launcher;
use super::*;
use crate::history::properties::arbitrary::plain_run;
use crate::history::{Event, HandlerEnd, HandlerStep, Recorder};

/// A program that does what a shell script says, whatever it is told.
fn program(folder: &Path, script: &str) -> PathBuf {
    let path = folder.join("handler");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

fn run(script: &str, deadline: Duration) -> (HandlerEnd, Recorder) {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::in_memory(plain_run());
    let launcher = Launcher { recorder: recorder.clone(), program: program(folder.path(), script), env: Vec::new() };
    let mut scenario = Scenario::coded("x", "ftp", "127.0.0.1:1".parse().unwrap());
    scenario.deadline = deadline;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ended = runtime.block_on(launcher.run(1, &scenario));
    (ended, recorder)
}

fn steps(recorder: &Recorder) -> Vec<HandlerStep> {
    let step = |event: &Event| match event {
        Event::Handler(handling) => Some(handling.step.clone()),
        _ => None,
    };
    recorder.records(|records| records.iter().filter_map(|record| step(&record.event)).collect())
}

#[test]
fn what_a_handler_tells_is_recorded() {
    let line = r#"{"at":5,"step":"failed","place":"p","expected":"a","seen":"b"}"#;
    let end = r#"{"at":6,"step":"end","outcome":{"as":"failed"}}"#;
    let (ended, recorder) = run(&format!("cat > /dev/null; echo '{line}'; echo '{end}'"), Duration::from_secs(20));
    assert_eq!(ended, HandlerEnd::Failed);
    let steps = steps(&recorder);
    assert!(matches!(steps[0], HandlerStep::Start { pid, .. } if pid.0 > 0), "{steps:?}");
    assert!(matches!(steps[1], HandlerStep::Failed { .. }), "{steps:?}");
    assert_eq!(steps[2], HandlerStep::End { outcome: HandlerEnd::Failed });
    assert_eq!(steps.len(), 3);
}

#[test]
fn a_handler_that_crashes_or_prints_garbage_is_told() {
    let (ended, _) = run("echo no such thing >&2; kill -SEGV $$", Duration::from_secs(20));
    assert_eq!(ended, HandlerEnd::Crashed { status: "signal 11".into(), said: "no such thing".into() });
    let (ended, _) = run("exit 0", Duration::from_secs(20));
    assert_eq!(ended, HandlerEnd::Crashed { status: "exit code 0".into(), said: String::new() });
    let (ended, _) = run("echo '{\"at\":1}'; sleep 60", Duration::from_secs(20));
    assert_eq!(ended, HandlerEnd::Garbage { line: "{\"at\":1}".into() });
    let (ended, _) = run("head -c 3000000 /dev/zero; sleep 60", Duration::from_secs(20));
    assert!(matches!(ended, HandlerEnd::Garbage { .. }));
}

#[test]
fn a_handler_that_hangs_is_killed_at_its_deadline() {
    let began = Instant::now();
    let (ended, recorder) = run("sleep 600", Duration::from_millis(100));
    assert_eq!(ended, HandlerEnd::TimedOut { after_ms: 2100 });
    assert!(began.elapsed() < Duration::from_secs(20));
    let Some(HandlerStep::Start { pid, .. }) = steps(&recorder).into_iter().next() else { panic!() };
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "it is gone");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let recorder = Recorder::in_memory(plain_run());
    let launcher = Launcher { recorder: recorder.clone(), program: "/nowhere/suites".into(), env: Vec::new() };
    let scenario = Scenario::coded("x", "ftp", "127.0.0.1:1".parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ended = runtime.block_on(launcher.run(1, &scenario));
    assert!(matches!(&ended, HandlerEnd::Broken { reason } if reason.contains("/nowhere/suites")), "{ended:?}");
    assert_eq!(steps(&recorder).len(), 2);
}

#[test]
fn each_handler_has_addresses_of_its_own() {
    let shown = |handler| scenario::address(handler).to_string();
    assert_eq!([shown(1), shown(2), shown(257)], ["127.16.0.1", "127.16.1.1", "127.17.0.1"]);
    assert_eq!(scenario::address_of(scenario::address(1), 249).unwrap().to_string(), "127.16.0.250");
    assert_eq!(scenario::address_of(scenario::address(1), 250), None);
}

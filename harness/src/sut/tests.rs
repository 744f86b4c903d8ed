//! Systems of shells, which start, stop and die in ways of their own.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Profile, Sut, SutError};
use crate::clock::RealtimeOffset;
use crate::history::{Event, ObserverChange, Recorder, RunInfo, Source, SutChange};

const STUBBORN: &str = "trap \"\" TERM; echo up; while :; do sleep 0.02; done";
const PROMPT: &str = "trap \"exit 7\" TERM; echo up; while :; do sleep 0.02; done";

/// A profile with a process for each script, in that order: `p0`, `p1`, ...
fn shells(scripts: &[&str]) -> Profile {
    let mut text = String::from("name = 'shells'\nsuite = 's'\n");
    for (index, script) in scripts.iter().enumerate() {
        text += &format!("[[process]]\nname = 'p{index}'\ncommand = ['/bin/sh', '-c', '{script}']\n");
        text += "stop = { deadline_ms = 500 }\n";
    }
    Profile::parse(Path::new("shells"), &text).unwrap()
}

fn recorder() -> Recorder {
    Recorder::in_memory(RunInfo {
        suite: "s".into(),
        sut: "shells".into(),
        profile: "quick".into(),
        seed: 0,
        netns: 0,
        kernel: String::new(),
        version: String::new(),
        realtime: RealtimeOffset::sample(),
        cases: Vec::new(),
    })
}

/// Starts a system and waits until each of its processes wrote `up` to its log.
async fn up(profile: &Profile, folder: &Path, recorder: &Recorder) -> Sut {
    let sut = Sut::start(profile, folder, recorder).await.unwrap();
    let log = |name: &str| std::fs::read_to_string(folder.join(format!("{name}.log"))).unwrap_or_default();
    let deadline = Instant::now() + Duration::from_secs(10);
    while profile.processes.iter().any(|process| !log(&process.name).contains("up")) {
        assert!(Instant::now() < deadline, "the shells do not run");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    sut
}

/// Shells that should listen, and never do, within 200 ms.
fn deaf() -> Profile {
    let mut profile = shells(&[PROMPT]);
    profile.endpoints.insert("web".into(), "127.0.0.1:9".parse().unwrap());
    profile.processes[0].listens.push("web".into());
    profile.ready_deadline_ms = 200;
    profile
}

fn changes(recorder: &Recorder) -> Vec<SutChange> {
    let change = |event: &Event| match event {
        Event::Sut(change) => Some(change.clone()),
        _ => None,
    };
    recorder.records(|records| records.iter().filter_map(|record| change(&record.event)).collect())
}

#[tokio::test]
async fn deadlines_of_stubborn_processes_pass_at_the_same_time() {
    let (folder, recorder) = (tempfile::tempdir().unwrap(), recorder());
    let profile = shells(&[STUBBORN, STUBBORN, PROMPT, STUBBORN]);
    let sut = up(&profile, folder.path(), &recorder).await;
    let began = Instant::now();
    sut.stop().await;
    assert!(began.elapsed() < Duration::from_millis(1000), "{:?}", began.elapsed());
    let changes = changes(&recorder);
    let killed = changes.iter().filter(|change| matches!(change, SutChange::Killed { after_ms: 500, .. }));
    assert_eq!(killed.count(), 3, "{changes:?}");
    let prompt = changes.iter().find_map(|change| match change {
        SutChange::Stopped { process, took_ms, status } => Some((process.as_str(), *took_ms < 500, status.as_str())),
        _ => None,
    });
    assert_eq!(prompt, Some(("p2", true, "exit code 7")), "{changes:?}");
}

#[tokio::test]
async fn children_of_a_program_that_adopts_no_orphans_are_its_own() {
    let (folder, recorder) = (tempfile::tempdir().unwrap(), recorder());
    let mut own = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let profile = shells(&[PROMPT]);
    up(&profile, folder.path(), &recorder).await.stop().await;
    drop(up(&profile, folder.path(), &recorder).await);
    assert_eq!(own.try_wait().unwrap(), None, "it lives");
    own.kill().unwrap();
    own.wait().unwrap();
}

#[tokio::test]
async fn what_never_listens_is_told_with_the_end_of_the_history() {
    let (folder, recorder) = (tempfile::tempdir().unwrap(), recorder());
    for number in 0..20 {
        recorder.record(Source::Runner, Event::Note { text: format!("note {number} {}", "é".repeat(300)) });
    }
    let error = Sut::start(&deaf(), folder.path(), &recorder).await.err().unwrap().to_string();
    assert!(error.starts_with("127.0.0.1:9 (`p0`) did not listen within 200 ms"), "{error}");
    let (_, history) = error.split_once("the history ends with:\n").unwrap();
    let lines: Vec<&str> = history.lines().collect();
    assert_eq!(lines.len(), 8, "{error}");
    assert!(lines[0].contains("note 13 ") && lines[7].contains("\"launched\""), "{error}");
    assert!(lines.iter().all(|line| line.chars().count() <= 205), "{error}");
}

#[tokio::test]
async fn an_observer_that_died_is_to_blame_and_not_the_system() {
    let (folder, recorder) = (tempfile::tempdir().unwrap(), recorder());
    recorder.record(Source::Ebpf, Event::Observer(ObserverChange::Died { reason: "no more memory".into() }));
    let error = Sut::start(&deaf(), folder.path(), &recorder).await.err().unwrap();
    assert!(matches!(&error, SutError::ObserverDied { reason } if reason == "no more memory"), "{error}");
}

//! Programs that misbehave: each is a record or an error that says what happened, within the time that was given.

use std::path::Path;
use std::time::{Duration, Instant};

use portwitness::clock::RealtimeOffset;
use portwitness::history::{Event, Record, Recorder, RunInfo, SinspFormat, SinspSaid};
use portwitness::observers::sinsp::{SinspObserver, SinspSettings};
use portwitness::observers::{Observer, ObserverError};
use portwitness_kmod::Versions;
use rustix::process::Signal;

use super::recorded::SCHEMA;
use crate::support::{eventually, suites};

const START: &str =
    r#"{"type":"start","form":2,"library":"0","unknown_fields":[],"api":"1.0.0","schema":"1.0.0","pid":1}"#;

fn recorder() -> Recorder {
    Recorder::in_memory(RunInfo {
        suite: "sinsp".into(),
        sut: "a program".into(),
        profile: "quick".into(),
        seed: 1,
        netns: 1,
        kernel: "6.1".into(),
        version: "0".into(),
        realtime: RealtimeOffset::sample(),
        cases: Vec::new(),
    })
}

fn settings(command: &[&str]) -> SinspSettings {
    SinspSettings {
        command: command.iter().map(|word| (*word).into()).collect(),
        filter: "evt.type=close".into(),
        sentinels: None,
        format: SinspFormat::SinspEvents,
        schema: SCHEMA.into(),
        driver: None,
        environment: Vec::new(),
        folder: std::env::temp_dir(),
        ready_within: Duration::from_secs(5),
        fence_within: Duration::from_secs(3),
        stop: Signal::INT,
        stop_within: Duration::from_secs(2),
    }
}

/// Starts a shell script that begins with the words of a program which captures, and with the sentinels of the first fences.
fn start(recorder: &Recorder, fences: u32, then: &str) -> Result<SinspObserver, ObserverError> {
    start_after("", recorder, fences, then)
}

/// The same, after what has to be so before its first word is read.
fn start_after(first: &str, recorder: &Recorder, fences: u32, then: &str) -> Result<SinspObserver, ObserverError> {
    let mut script = format!("{first}\necho '{START}'\n");
    for number in 0..=fences {
        for cpu in 0..64 {
            script +=
                &format!("echo '{{\"type\":\"fence\",\"number\":{number},\"cpu\":{cpu},\"read\":1,\"drops\":0}}'\n");
        }
    }
    script += then;
    SinspObserver::start(recorder, settings(&["sh", "-c", &script]))
}

fn said(recorder: &Recorder) -> Vec<SinspSaid> {
    let of = |record: &Record| match &record.event {
        Event::Sinsp(said) => Some(said.clone()),
        _ => None,
    };
    recorder.records(|records| records.iter().filter_map(of).collect())
}

fn gone(recorder: &Recorder) -> (String, bool) {
    let gone = said(recorder).into_iter().find_map(|said| match said {
        SinspSaid::Gone { how, asked } => Some((how, asked)),
        _ => None,
    });
    gone.expect("nothing says that the program is gone")
}

fn last_fence(recorder: &Recorder) -> (u32, u32) {
    let fence = said(recorder).into_iter().rev().find_map(|said| match said {
        SinspSaid::Fenced { cpus, seen, .. } => Some((cpus, seen)),
        _ => None,
    });
    fence.expect("there was no fence")
}

#[test]
fn a_program_that_is_not_there_is_named_with_the_way_out() {
    let error = SinspObserver::start(&recorder(), settings(&["/nonexistent/sinsp-events"])).err().unwrap().to_string();
    assert!(error.contains("`/nonexistent/sinsp-events` could not be started"), "{error}");
    assert!(error.contains("cargo xtask kmod events"), "{error}");
}

#[test]
fn a_program_that_ends_at_once_is_quoted() {
    let command = ["sh", "-c", "echo 'error opening device /dev/scap0' >&2; exit 96"];
    let error = SinspObserver::start(&recorder(), settings(&command)).err().unwrap().to_string();
    assert!(error.contains("exit code 96") && error.contains("error opening device /dev/scap0"), "{error}");
    assert!(error.contains("cargo xtask kmod status"), "{error}");
}

#[test]
fn a_program_that_says_nothing_is_not_waited_for_longer_than_it_may_take() {
    let began = Instant::now();
    let settings = SinspSettings { ready_within: Duration::from_secs(1), ..settings(&["sleep", "600"]) };
    // The filter is its last argument.
    let settings = SinspSettings { filter: "600".into(), ..settings };
    let error = SinspObserver::start(&recorder(), settings).err().unwrap().to_string();
    assert!(error.contains("printed none of the calls that it should within 1 s (its state: S"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_stopped_program_is_told_and_ended() {
    let recorder = recorder();
    let mut observer = start(&recorder, 1, "kill -STOP $$; sleep 600").unwrap();
    observer.fence().unwrap();
    let (cpus, seen) = last_fence(&recorder);
    assert_eq!(cpus, seen, "its first sentinels came");
    observer.fence().unwrap();
    assert_eq!(last_fence(&recorder).1, 0);
    let stopped = |said: &SinspSaid| matches!(said, SinspSaid::Remark { text } if text.contains("T (stopped)"));
    assert!(said(&recorder).iter().any(stopped), "{:?}", said(&recorder));
    Box::new(observer).stop().unwrap();
    assert!(gone(&recorder).1, "{:?}", gone(&recorder));
}

#[test]
fn a_program_that_dies_is_told() {
    let recorder = recorder();
    let mut observer = start(&recorder, 0, "kill -SEGV $$").unwrap();
    observer.fence().unwrap();
    assert_eq!(gone(&recorder), ("signal 11".into(), false));
    let again = said(&recorder).len();
    observer.fence().unwrap();
    Box::new(observer).stop().unwrap();
    assert_eq!(said(&recorder).len(), again, "it is told once");
}

#[test]
fn a_program_that_closes_its_output_is_told_and_ended() {
    let recorder = recorder();
    let mut observer = start(&recorder, 0, "exec >&- ; sleep 600").unwrap();
    observer.fence().unwrap();
    assert_eq!(gone(&recorder), ("it closed its output, and lives on".into(), false));
    drop(observer);
}

#[test]
fn a_program_that_does_not_end_is_killed() {
    let recorder = recorder();
    let observer = start_after("trap '' INT", &recorder, 0, "while :; do sleep 1; done").unwrap();
    let began = Instant::now();
    Box::new(observer).stop().unwrap();
    let (how, asked) = gone(&recorder);
    assert!(asked && how.contains("did not end within 2 s after the signal, and was killed"), "{how}");
    assert!(began.elapsed() < Duration::from_secs(20));
}

/// One that tells its losses as it ends is asked to end with the case, and begins again with the next one.
#[test]
fn a_program_that_tells_losses_at_its_end_begins_again() {
    let recorder = recorder();
    let end = "echo 'Driver Events:10' >&2; echo 'Driver Drops:2' >&2; exit 0";
    let mut script = format!("trap \"{end}\" INT\n");
    for (number, cpu) in (0..2).flat_map(|number| (0..64).map(move |cpu| (number, cpu))) {
        let fd = 0x5057_0000 + number;
        script += &format!(
            "echo '{{\"evt.type\":\"close\",\"evt.dir\":\">\",\"evt.cpu\":{cpu},\"evt.args\":\"fd={fd} \"}}'\n"
        );
    }
    script += "while :; do sleep 0.05; done";
    let sysdig = SinspSettings {
        format: SinspFormat::Sysdig,
        schema: include_str!("../../sinsp/schema/sysdig.json").into(),
        driver: Some(Versions { api: "1.0.0".parse().unwrap(), schema: "1.0.0".parse().unwrap() }),
        ..settings(&["sh", "-c", &script])
    };
    let mut observer = SinspObserver::start(&recorder, sysdig).unwrap();
    for _ in 0..2 {
        observer.fence().unwrap();
        let (cpus, seen) = last_fence(&recorder);
        assert_eq!(cpus, seen);
        observer.conclude().unwrap();
    }
    let count = |is: fn(&SinspSaid) -> bool| said(&recorder).iter().filter(|said| is(said)).count();
    assert_eq!(count(|said| matches!(said, SinspSaid::Started(_))), 2);
    assert_eq!(count(|said| *said == SinspSaid::Ended { complete: None, drops: Some(2), read: Some(8) }), 2);
    assert_eq!(count(|said| matches!(said, SinspSaid::Gone { asked: true, .. })), 2);
    Box::new(observer).stop().unwrap();
    assert_eq!(count(|said| matches!(said, SinspSaid::Gone { .. })), 2, "it is told once");
    // Our own program tells them with every fence, so it goes on.
    let mut own = start(&recorder, 2, "sleep 600").unwrap();
    own.fence().unwrap();
    own.conclude().unwrap();
    assert_eq!(count(|said| matches!(said, SinspSaid::Gone { .. })), 2);
}

/// Where the module is loaded there is nothing to be told of it.
#[test]
fn a_machine_without_the_module_is_told_what_has_one() {
    if Path::new("/sys/module/scap").exists() {
        eprintln!("the module is loaded here: not tested");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    for sut in ["sinsp-events", "sysdig", "sinsp-example"] {
        let mut suites = suites(&["run", "sinsp", "--case", "1.1", "--sut", sut, "--runs"]);
        let ran = suites.arg(place.path()).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(96), "{said}");
        assert!(said.contains("the scap module is not loaded"), "{said}");
        assert!(said.contains("cargo xtask run --vm --kernel 6.1 sinsp"), "{said}");
    }
}

#[test]
fn lines_that_are_none_are_kept_and_told() {
    let recorder = recorder();
    let lines = "echo '-- a note'; echo 'Segmentation fault'; printf '\\377\\376\\n'; echo '{\"type\":\"event\"}'\n\
                 head -c 104857600 /dev/zero | tr '\\0' x; echo; printf '{\"type\":\"ev'";
    let mut observer = start(&recorder, 0, lines).unwrap();
    // The long line takes a while where the CPU is emulated.
    eventually("the program has ended", || {
        observer.fence().unwrap();
        said(&recorder).iter().any(|said| matches!(said, SinspSaid::Gone { .. }))
    });
    let mut unreadable = Vec::new();
    let mut flawed = 0;
    for said in said(&recorder) {
        match said {
            SinspSaid::Unreadable { bytes, why, text } => {
                assert!(text.len() <= 6 << 10, "an excerpt alone is kept");
                unreadable.push((bytes, why));
            }
            SinspSaid::Event(event) if !event.flaws.is_empty() => flawed += 1,
            _ => {}
        }
    }
    let expected = [
        (18, "it is no JSON object".into()),
        (2, "it is not text (UTF-8)".into()),
        (104_857_600, "it is longer than any event".into()),
        (11, "the stream ended within it".into()),
    ];
    assert_eq!((unreadable, flawed), (expected.to_vec(), 1));
    assert!(said(&recorder).iter().any(|said| matches!(said, SinspSaid::Remark { text } if text == "-- a note")));
    assert_eq!(gone(&recorder), ("exit code 0".into(), false));
}

#[test]
fn a_version_that_is_not_known_is_remarked() {
    for (known, unknown, why) in [
        ("\"form\":2", "\"form\":7", "prints form 7; known is 2"),
        ("\"api\":\"1.0.0\"", "\"api\":\"99.0.0\"", "API 99.0.0, schema 1.0.0; known are API 1 with"),
        ("\"api\":\"1.0.0\"", "\"api\":null", "does not tell the driver's interface"),
    ] {
        let recorder = recorder();
        let script = format!(
            "echo '{}'; echo '{{\"type\":\"fence\",\"number\":0,\"cpu\":0}}'; exec sleep 60",
            START.replace(known, unknown)
        );
        let observer = SinspObserver::start(&recorder, settings(&["sh", "-c", &script]));
        drop(observer);
        let remarked = said(&recorder).into_iter().find_map(|said| match said {
            SinspSaid::Started(capture) => Some(capture.unknown.unwrap_or_default()),
            _ => None,
        });
        assert!(remarked.as_ref().is_some_and(|told| told.contains(why)), "{remarked:?}");
    }
}

//! The history's file, written and read again; and records for the tests of this module's files.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use super::file::RunInfo;
use super::*;
use crate::clock::{RealtimeOffset, Timestamp};
use crate::endpoint::{Endpoint, SocketId};

pub(super) fn at(text: &str) -> Endpoint {
    text.parse().unwrap()
}

fn record(ns: u64, source: Source, event: Event) -> Record {
    Record { at: Timestamp(ns), uncertainty_ns: 0, source, event }
}

/// A listener of 127.0.0.1:80 opens or closes.
pub(super) fn edge(ns: u64, socket: u64, open: bool) -> Record {
    opened_at(ns, socket, "127.0.0.1:80", open)
}

pub(super) fn opened_at(ns: u64, socket: u64, local: &str, open: bool) -> Record {
    let (from, to) = if open { (TcpState::Close, TcpState::Listen) } else { (TcpState::Listen, TcpState::Close) };
    let change = SocketState {
        socket: SocketId(socket),
        netns: 1,
        local: at(local),
        remote: None,
        from,
        to,
        ipv6_only: false,
        refused: false,
        process: Process::default(),
    };
    record(ns, Source::Ebpf, Event::SocketState(change))
}

/// A socket listened already.
pub(super) fn seed(ns: u64, local: &str) -> Record {
    let seed = Listening { local: at(local), netns: 1, ipv6_only: false, process: None };
    record(ns, Source::Procfs, Event::Listening(seed))
}

pub(super) fn syscall(ns: u64) -> Record {
    let (name, phase, process) = ("close".into(), SyscallPhase::Exit(-9), Process::default());
    let call = Syscall { name, phase, fd: 3, argument: None, address: None, tuple: None, process };
    record(ns, Source::Ebpf, Event::Syscall(call))
}

pub(super) fn run() -> RunInfo {
    let realtime = RealtimeOffset { at: Timestamp(1), offset_ns: 2, uncertainty_ns: 3 };
    RunInfo {
        suite: "tunnel".into(),
        sut: "s".into(),
        profile: "quick".into(),
        seed: 7,
        netns: 1,
        kernel: "6.18".into(),
        version: "0".into(),
        realtime,
        cases: Vec::new(),
    }
}

fn written() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.jsonl");
    let recorder = Recorder::create(&path, run()).unwrap();
    for n in [3, 1, 2] {
        let event = Event::Note { text: format!("note {n}") };
        recorder.append(Record { at: Timestamp(n), uncertainty_ns: 0, source: Source::Runner, event });
    }
    recorder.finish().unwrap();
    (folder, path)
}

#[test]
fn what_was_written_is_read_in_the_order_of_time() {
    let (_folder, path) = written();
    let history = History::load(&path).unwrap();
    assert_eq!(*history.run, run());
    assert_eq!(history.records.iter().map(|record| record.at.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(history.cut_at_line, None);
}

#[test]
fn an_observer_with_an_uncertainty_survives_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.jsonl");
    let recorder = Recorder::create(&path, run()).unwrap();
    for (uncertainty_ns, of_record) in [(0, 0), (5, 0), (0, 7), (5, 7)] {
        let started = ObserverChange::Started { rung: "r".into(), uncertainty_ns, sees_connections: true };
        let event = Event::Observer(started);
        recorder.append(Record { at: Timestamp(1), uncertainty_ns: of_record, source: Source::Ebpf, event });
    }
    recorder.finish().unwrap();
    assert_eq!(History::load(&path).unwrap().records, recorder.history().records);
}

#[test]
fn a_file_that_breaks_off_keeps_what_came_before() {
    let (_folder, path) = written();
    let text = std::fs::read(&path).unwrap();
    std::fs::write(&path, &text[..text.len() - 5]).unwrap();
    let history = History::load(&path).unwrap();
    assert_eq!(history.records.len(), 2);
    assert_eq!(history.cut_at_line, Some(4));
}

#[test]
fn a_broken_line_in_the_middle_is_named() {
    let (_folder, path) = written();
    let text = std::fs::read_to_string(&path).unwrap();
    let mut lines: Vec<_> = text.lines().collect();
    lines[2] = "{\"at\":";
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    let error = History::load(&path).unwrap_err().to_string();
    assert!(error.contains("history.jsonl:3 is not a record"), "{error}");
}

#[test]
fn another_version_is_refused_by_name() {
    let (_folder, path) = written();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"portwitness_history\":1", "\"portwitness_history\":9")).unwrap();
    let error = History::load(&path).unwrap_err().to_string();
    assert!(error.contains("version 9"), "{error}");
    std::fs::write(&path, "hello\n").unwrap();
    assert!(History::load(&path).unwrap_err().to_string().contains("first line is not a header"));
}

mod parts {
    use super::super::file::testing::{Limits, Writing};
    use super::*;

    /// Writes `count` records in parts of a few lines each.
    fn written(count: u64) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.jsonl");
        let writing = Writing::with_limits(&path, &run(), Limits { first: 2000, next: 1000 }).unwrap();
        for ns in 1..=count {
            writing.send(vec![edge(ns, ns, true)]);
            writing.wait_for_room();
        }
        writing.finish().unwrap();
        (folder, path)
    }

    #[test]
    fn a_long_history_goes_on_in_compressed_parts() {
        let (folder, path) = written(100);
        assert!(folder.path().join("history.4.jsonl.zst").exists());
        let history = History::load(&path).unwrap();
        assert_eq!(history.records, (1..=100).map(|ns| edge(ns, ns, true)).collect::<Vec<_>>());
        assert_eq!(history.cut_at_line, None);
        // A new history of that name has nothing of the old one.
        Recorder::create(&path, run()).unwrap().finish().unwrap();
        assert_eq!(History::load(&path).unwrap().records, []);
    }

    #[test]
    fn a_compressed_part_that_breaks_off_keeps_what_came_before() {
        let (folder, path) = written(100);
        let last = (2..).map(|part| folder.path().join(format!("history.{part}.jsonl.zst")));
        let last = last.take_while(|path| path.exists()).last().unwrap();
        let packed = std::fs::read(&last).unwrap();
        std::fs::write(&last, &packed[..packed.len() / 2]).unwrap();
        let history = History::load(&path).unwrap();
        assert!(history.cut_at_line.is_some());
        assert!((90..100).contains(&history.records.len()), "{}", history.records.len());
        // Anywhere else it is an error that names the part.
        let second = folder.path().join("history.2.jsonl.zst");
        std::fs::write(&second, &packed[..packed.len() / 2]).unwrap();
        let error = History::load(&path).unwrap_err().to_string();
        assert!(error.contains("history.2.jsonl.zst"), "{error}");
    }
}

//! Load: what is generated is recorded or counted as lost, memory stays flat, and what lost a record judges nothing.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use portwitness::checks::{Check, PortStays, PortWindow, Reopens, judge_stream};
use portwitness::endpoint::Endpoint;
use portwitness::history::{
    CaseId, Event, HistoryReader, Keep, OpId, OpStep, Operation, PlannedCase, Recorder, Source,
};
use portwitness::observers::ebpf::{EbpfObserver, EbpfSettings};
use portwitness::observers::{Observer, Scope};

use crate::observers::stage::{Actor, alone, run_info};

/// A system call that does nothing and is recorded twice: at its entry and at its return, with EBADF.
const NO_DESCRIPTOR: i32 = -1;

/// Calls shutdown(-1) so many times in each of two threads.
fn storm(calls_each: u64) {
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..calls_each).for_each(|_| nothing_to_shut_down()));
        }
    });
}

fn nothing_to_shut_down() {
    // SAFETY: there is no such descriptor, so nothing is shut down.
    unsafe { libc::shutdown(NO_DESCRIPTOR, libc::SHUT_RDWR) };
}

/// An observer whose history goes to a file and, but for the listeners, not to memory.
struct Stage {
    folder: tempfile::TempDir,
    recorder: Recorder,
    observer: Box<EbpfObserver>,
}

impl Stage {
    fn with(ring_bytes: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let run = run_info(Vec::new());
        let netns = run.netns;
        let path = folder.path().join("history.jsonl");
        let recorder = Recorder::create_keeping(&path, run, Keep::Listeners).unwrap();
        let scope = Scope::of_run(recorder.clone(), netns);
        let settings = EbpfSettings { ring_bytes, causes: true, ..EbpfSettings::default() };
        Self { folder, recorder, observer: Box::new(EbpfObserver::start(scope, settings).unwrap()) }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("history.jsonl")
    }

    /// Ends the observation, and returns how many events of the storm are in the file and how many are counted as lost.
    fn end(self) -> (u64, u64) {
        let Self { folder, recorder, observer } = self;
        observer.stop().unwrap();
        recorder.finish().unwrap();
        count(&folder.path().join("history.jsonl"))
    }
}

/// Judges the file, as `judge` does, and counts what goes by.
fn count(path: &Path) -> (u64, u64) {
    let (mut recorded, mut lost) = (0, 0);
    let reader = HistoryReader::open(path).unwrap();
    let run = std::sync::Arc::new(reader.run().clone());
    let records = reader.inspect(|record| match &record.as_ref().unwrap().event {
        Event::Syscall(call) if call.name == "shutdown" && call.fd == NO_DESCRIPTOR => recorded += 1,
        Event::Loss { probe, count, .. } if probe == "syscall" => lost += count,
        // The storm fills the ring to its end: where no reader gets a CPU in time, the exit of its process finds no room
        // either, and is counted by itself.
        Event::Loss { probe, count, .. } => assert_eq!((probe.as_str(), *count), ("process", 1)),
        _ => {}
    });
    judge_stream(run, records).unwrap();
    (recorded, lost)
}

#[test]
fn of_a_storm_nothing_is_lost_or_it_is_counted_exactly() {
    alone(|| {
        const CALLS_EACH: u64 = 315_000;
        let stage = Stage::with(1 << 20);
        let began = Instant::now();
        let actor = Actor::fork(|_| storm(CALLS_EACH));
        assert_eq!(actor.ended(), Some(0));
        let took = began.elapsed();
        let (recorded, lost) = stage.end();
        println!("{recorded} events recorded and {lost} lost of a storm of {took:?}");
        assert_eq!(recorded + lost, 4 * CALLS_EACH);
        assert!(recorded > 0);
    });
}

#[test]
fn a_stopped_reader_loses_by_count_only() {
    alone(|| {
        const CALLS_EACH: u64 = 50_000;
        let stage = Stage::with(1 << 20);
        let observer = rustix::process::getpid();
        let actor = Actor::fork(|_| {
            rustix::process::kill_process(observer, rustix::process::Signal::STOP).unwrap();
            storm(CALLS_EACH);
            rustix::process::kill_process(observer, rustix::process::Signal::CONT).unwrap();
        });
        assert_eq!(actor.ended(), Some(0));
        let (recorded, lost) = stage.end();
        println!("{recorded} events recorded and {lost} lost while the observer's process was stopped");
        assert_eq!(recorded + lost, 4 * CALLS_EACH);
        // The ring holds about 10,000 of these records.
        assert!(recorded > 0 && lost > 0, "{recorded} recorded, {lost} lost");
    });
}

#[test]
fn memory_stays_flat_over_ten_million_events() {
    alone(|| {
        const BURST: u64 = 2048;
        const EVENTS: u64 = 10_000_000;
        let stage = Stage::with(2 << 20);
        let path = stage.path();
        let bursts = EVENTS / (4 * BURST);
        let began = Instant::now();
        let mut actor = Actor::fork(|turn| {
            for burst in 0..bursts {
                if burst == bursts / 10 {
                    turn.pause();
                }
                storm(BURST);
                // Less than the ring holds at a time, and time to read it.
                std::thread::sleep(Duration::from_millis(8));
            }
        });
        actor.reached();
        let (early, ended) = (resident(), AtomicBool::new(false));
        actor.go();
        let peak = std::thread::scope(|scope| {
            let sampler = scope.spawn(|| {
                let mut peak = 0;
                while !ended.load(Ordering::Relaxed) {
                    peak = peak.max(resident());
                    std::thread::sleep(Duration::from_millis(20));
                }
                peak
            });
            assert_eq!(actor.ended(), Some(0));
            ended.store(true, Ordering::Relaxed);
            sampler.join().unwrap()
        });
        let took = began.elapsed();
        let folder = stage.folder.path().to_owned();
        let Stage { folder: _kept, recorder, observer } = stage;
        observer.stop().unwrap();
        recorder.finish().unwrap();
        let written = began.elapsed();
        let disk: u64 = std::fs::read_dir(&folder).unwrap().map(|it| it.unwrap().metadata().unwrap().len()).sum();
        let (recorded, lost) = count(&path);
        let judged = resident();
        println!(
            "{recorded} events recorded, {lost} lost in {took:?}, all written after {written:?}, read after {:?}; {} MiB \
             of memory after a tenth, {} MiB at the most, {} MiB when it is judged, {} MiB on disk",
            began.elapsed(),
            early >> 20,
            peak >> 20,
            judged >> 20,
            disk >> 20
        );
        assert_eq!(recorded + lost, bursts * BURST * 4);
        assert!(recorded > EVENTS / 2, "most of it was lost: the writer does not keep up");
        assert!(judged < early + (48 << 20), "{early} bytes after a tenth, {judged} to judge it");
        assert!(peak < early + (48 << 20), "{early} bytes after a tenth, {peak} at the most");
    });
}

/// Bytes of this process that are in memory: the second figure of /proc/self/statm, in pages.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}

#[test]
fn every_window_in_which_records_were_lost_is_unknown() {
    alone(|| {
        assert_eq!(verdicts(false), ["pass", "fail"], "without loss the port stays open, and so its window fails");
        assert_eq!(verdicts(true), ["unknown", "unknown"]);
    });
}

/// The verdicts on a port that stays open, and on its window, over a case with a storm in it.
fn verdicts(lose: bool) -> Vec<&'static str> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.jsonl");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint: Endpoint = listener.local_addr().unwrap().into();
    let case = CaseId { suite: "load".into(), number: "1.1".into() };
    let planned = PlannedCase { case: case.clone(), title: "a storm".into(), spec: String::new() };
    let run = run_info(vec![planned]);
    let netns = run.netns;
    let recorder = Recorder::create(&path, run).unwrap();
    let scope = Scope::of_run(recorder.clone(), netns);
    let settings = EbpfSettings { ring_bytes: 64 << 10, ..EbpfSettings::default() };
    let mut observer = Box::new(EbpfObserver::start(scope, settings).unwrap());
    observer.fence().unwrap();

    let window = PortWindow {
        port: "p".into(),
        endpoint,
        trigger: "t".into(),
        closes_within_ms: Some(1.0),
        reopens: Some(Reopens { after_ms: 1.0, tolerance_ms: 1.0 }),
    };
    let checks = [Check::PortStays(PortStays { port: "p".into(), endpoint }), Check::PortWindow(window)];
    let checks = checks.iter().map(|check| serde_json::to_value(check).unwrap()).collect();
    recorder.record(Source::Runner, Event::CaseBegin { case: case.clone(), checks });
    let start =
        OpStep::Start { group: "t".into(), client: "echo".into(), target: endpoint, planned: 1, head: String::new() };
    for step in [start, OpStep::FirstByte] {
        recorder.record(Source::Client, Event::Operation(Operation { op: OpId(1), step }));
    }
    if lose {
        observer.pause_reader();
    }
    let actor = Actor::fork(|_| storm(if lose { 5000 } else { 50 }));
    assert_eq!(actor.ended(), Some(0));
    observer.resume_reader();
    observer.fence().unwrap();
    recorder.record(Source::Runner, Event::CaseEnd { case, error: None });
    observer.stop().unwrap();
    recorder.finish().unwrap();

    let reader = HistoryReader::open(&path).unwrap();
    let judgement = judge_stream(std::sync::Arc::new(reader.run().clone()), reader).unwrap();
    let checks = judgement.cases[0].checks.iter().filter(|check| check.name != "carried out");
    checks.map(|check| check.verdict.word()).collect()
}

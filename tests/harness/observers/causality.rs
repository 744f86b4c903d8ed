//! Causality: a client that connects without a pause, beside a port that opens and closes ten thousand times, never
//! contradicts the record; and a record that was forged does not go unnoticed.

mod forgery;

use std::net::SocketAddr;
use std::process::{Child, Command};
use std::time::Duration;

use portwitness::checks::causality::{Comparison, HASHING, compare};
use portwitness::checks::slice::Connect;
use portwitness::checks::{Check, Slice, judge};
use portwitness::clock::Timestamp;
use portwitness::endpoint::Endpoint;
use portwitness::history::{
    CaseId, Event, History, Keep, OpStep, Operation, Outcome, PlannedCase, PortTimeline, Record, Recorder, Source,
};
use portwitness::observers::ebpf::{EbpfObserver, EbpfSettings};
use portwitness::observers::{Observer, Scope};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, connect, getsockname, socket, sockopt};

use self::forgery::forgeries;
use super::stage::{alone, run_info};
use crate::support::suites;

/// A port of no other test: without BTF an observer takes a port of another namespace for one of its own.
const PORT: &str = "127.0.0.1:7991";

/// How often the port opens and closes, taken together.
const TRANSITIONS: usize = 10_000;

/// Connects that can be compared at the least, or the test says nothing.
const COMPARED: usize = 3_000;

fn case() -> CaseId {
    CaseId { suite: "observers/causality".into(), number: "1.1".into() }
}

fn target() -> Endpoint {
    PORT.parse().unwrap()
}

/// Connects once, and records it as a client does.
fn connect_once(recorder: &Recorder) {
    let op = recorder.next_op();
    let step = |step| Event::Operation(Operation { op, step });
    let client = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    // No TIME_WAIT: the port of its own is free again at once.
    sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    recorder.record(
        Source::Client,
        step(OpStep::Start {
            group: "spin".into(),
            client: "spin".into(),
            target: target(),
            planned: 0,
            head: String::new(),
        }),
    );
    let began = Timestamp::now();
    let outcome = match connect(&client, &target().socket_addr()) {
        Ok(()) => Outcome::Ok,
        Err(Errno::CONNREFUSED) => Outcome::Refused,
        // The other where the close came first: tcp_reset in CLOSE_WAIT.
        Err(Errno::CONNRESET | Errno::PIPE) => Outcome::Reset,
        Err(error) => panic!("connect: {error}"),
    };
    let returned = Timestamp::now();
    let local = getsockname(&client).ok().and_then(|at| SocketAddr::try_from(at).ok()).map(Endpoint::from);
    let event = step(OpStep::Connect { began, outcome, local });
    recorder.append(Record { at: returned, uncertainty_ns: 0, source: Source::Client, event });
}

/// The history of a port that flaps beside a client that spins.
fn history() -> History {
    let planned = PlannedCase { case: case(), title: "a port flaps".into(), spec: "none".into() };
    let run = run_info(vec![planned]);
    let netns = run.netns;
    let recorder = Recorder::in_memory(run);
    let settings = EbpfSettings { causes: true, ..EbpfSettings::default() };
    let scope = Scope::of_run(recorder.clone(), netns);
    let mut observer: Box<dyn Observer> = Box::new(EbpfObserver::start(scope, settings).unwrap());
    let checks = vec![serde_json::to_value(Check::Causality).unwrap()];
    recorder.record(Source::Runner, Event::CaseBegin { case: case(), checks });
    let mut actor =
        Command::new(env!("CARGO_BIN_EXE_actor")).args(["flap", PORT, &TRANSITIONS.to_string()]).spawn().unwrap();
    while running(&mut actor) {
        for _ in 0..50 {
            connect_once(&recorder);
        }
    }
    observer.fence().unwrap();
    recorder.record(Source::Runner, Event::CaseEnd { case: case(), error: None });
    observer.stop().unwrap();
    recorder.history()
}

fn running(actor: &mut Child) -> bool {
    match actor.try_wait().unwrap() {
        Some(status) => {
            assert!(status.success(), "the actor failed: {status}");
            false
        }
        None => true,
    }
}

/// The gaps between what a client found and the stamp of the edge, in us, ascending: by how much connects would
/// contradict the record if the check did not allow for it.
fn gaps(slice: &Slice<'_>, timeline: &PortTimeline) -> Vec<f64> {
    let gap = |connect: &Connect<'_>| {
        let next = timeline.edges.partition_point(|edge| edge.at < connect.began);
        let (before, after) = timeline.edges.split_at(next);
        let before = before.last().map(|edge| connect.began.since(edge.at));
        let after = after.first().map(|edge| edge.at.since(connect.returned));
        before.into_iter().chain(after).min().unwrap().as_secs_f64() * 1e6
    };
    let found = compare(slice, Duration::ZERO).contradicting;
    let mut gaps: Vec<f64> = found.iter().filter_map(|(op, _)| op.connect.as_ref()).map(gap).collect();
    gaps.sort_by(f64::total_cmp);
    gaps
}

#[test]
fn ten_thousand_transitions_contradict_no_connect_and_a_forgery_does() {
    alone(|| {
        let history = history();
        let slice = Slice::of(&history, &case()).unwrap();
        let timeline = slice.timeline(target());
        assert_eq!(timeline.edges.len(), TRANSITIONS, "every transition is an edge");
        let Comparison { fitting, contradicting } = compare(&slice, HASHING);
        let gaps = gaps(&slice, &timeline);
        let (middle, longest) = (gaps.get(gaps.len() / 2), gaps.last());
        println!(
            "{} connects, {fitting} compared; gaps in us: {} (median {middle:?}, longest {longest:?})",
            slice.operations().len(),
            gaps.len()
        );
        assert!(contradicting.is_empty(), "{contradicting:#?}");
        assert!(fitting >= COMPARED, "only {fitting} connects could be compared");
        assert_eq!(judge(&history).verdict.word(), "pass");
        judged_by_program(&history, 0, "causality");

        for (index, forgery) in forgeries(&slice, &timeline).into_iter().enumerate() {
            let verdict = judge(&forgery.history).verdict;
            println!("{}: {verdict}", forgery.what);
            assert_eq!(verdict.word(), "fail", "{}", forgery.what);
            let text = format!("{verdict:?}");
            assert!(text.contains(forgery.finding), "{}: {text}", forgery.what);
            // The program judges like the library: one forgery of each kind is enough.
            if index % 4 == 0 {
                judged_by_program(&forgery.history, 100, forgery.finding);
            }
        }
    });
}

/// `suites judge` on the history, as a file.
fn judged_by_program(history: &History, exit: i32, says: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.jsonl");
    let recorder = Recorder::create_keeping(&path, (*history.run).clone(), Keep::Listeners).unwrap();
    recorder.append_all(history.records.clone());
    recorder.finish().unwrap();
    let output = suites(&["judge"]).arg(&path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{text}");
    assert!(text.contains(says), "{text}");
}

//! Every check, on histories that make it pass, fail and give up.

mod agreement;
mod connections;
mod ending;
mod evidence;
mod leftovers;
mod pace;
mod ports;
mod reports;
mod traffic;
mod witnessed;

use std::time::Duration;

use super::{Check, Slice, Verdict};
use crate::clock::{RealtimeOffset, Timestamp};
use crate::endpoint::{Endpoint, SocketId};
use crate::history::{
    BackendConnection, BackendEnd, CaseId, Event, History, ObserverChange, OpId, OpStep, Operation, Outcome,
    PlannedCase, Process, Record, RttHistogram, RunInfo, SocketState, Source, TcpState,
};

/// The port that most histories are about.
const PORT: &str = "127.0.0.1:9000";
/// The end of the client of operation 1.
const LOCAL: &str = "127.0.0.1:50001";

/// A history of one case, built up a record at a time; moments are in ms, the case is from 1000 to 6000.
struct Story {
    records: Vec<Record>,
}

impl Story {
    /// An observer watches, the port listens, the case has begun.
    fn new() -> Self {
        let mut story = Self { records: Vec::new() };
        story.at(1, Source::Ebpf, started(true));
        story.at(2, Source::Ebpf, listen(1, PORT, true));
        story.at(1000, Source::Runner, Event::CaseBegin { case: case(), checks: Vec::new() });
        story
    }

    fn at(&mut self, ms: u64, source: Source, event: Event) {
        let at = Timestamp(0) + Duration::from_millis(ms);
        self.records.push(Record { at, uncertainty_ns: 0, source, event });
    }

    fn blur_last(&mut self, ms: u64) {
        if let Some(last) = self.records.last_mut() {
            last.uncertainty_ns = ms * 1_000_000;
        }
    }

    fn without(mut self, unwanted: impl Fn(&Event) -> bool) -> Self {
        self.records.retain(|record| !unwanted(&record.event));
        self
    }

    /// An operation that connects from [`LOCAL`] to the port and sends its first byte at `ms`.
    fn operation(&mut self, op: u64, group: &str, ms: u64) {
        let head = "ab".repeat(8);
        let target = endpoint(PORT);
        let start = OpStep::Start { group: group.into(), client: "echo".into(), target, planned: 8, head };
        self.step(op, ms - 2, start);
        let began = Timestamp(0) + Duration::from_millis(ms - 2);
        let connect = OpStep::Connect { began, outcome: Outcome::Ok, local: Some(endpoint(LOCAL)) };
        self.step(op, ms - 1, connect);
        self.step(op, ms, OpStep::FirstByte);
    }

    fn step(&mut self, op: u64, ms: u64, step: OpStep) {
        self.at(ms, Source::Client, Event::Operation(Operation { op: OpId(op), step }));
    }

    fn end(&mut self, op: u64, ms: u64, outcome: Outcome) {
        let received = if outcome == Outcome::Ok { 8 } else { 4 };
        self.step(op, ms, ended(outcome, 8, received));
    }

    /// Fence and end of the case, then its verdict.
    fn judge(mut self, check: &Check) -> Verdict {
        self.at(6000, Source::Ebpf, Event::Fence { began: Timestamp(6_000_000_000), cpus: 2, seen: 2 });
        self.at(6000, Source::Runner, Event::CaseEnd { case: case(), error: None });
        self.judge_as_it_is(check)
    }

    fn judge_as_it_is(self, check: &Check) -> Verdict {
        let history = History::new(run(), self.records);
        check.judge(&Slice::of(&history, &case()).expect("the case began"))
    }
}

fn run() -> RunInfo {
    let planned = PlannedCase { case: case(), title: "t".into(), spec: "s".into() };
    RunInfo {
        suite: "s".into(),
        sut: "s".into(),
        profile: "quick".into(),
        seed: 1,
        netns: 7,
        kernel: "k".into(),
        version: "v".into(),
        realtime: RealtimeOffset { at: Timestamp(0), offset_ns: 0, uncertainty_ns: 0 },
        cases: vec![planned],
    }
}

fn case() -> CaseId {
    CaseId { suite: "s/g".into(), number: "1.1".into() }
}

fn endpoint(text: &str) -> Endpoint {
    text.parse().expect("an endpoint")
}

fn started(sees_connections: bool) -> Event {
    let rung = if sees_connections { "tp_btf" } else { "sock_diag" };
    Event::Observer(ObserverChange::Started { rung: rung.into(), uncertainty_ns: 0, sees_connections })
}

fn socket(socket: u64, local: &str, remote: Option<&str>, from: TcpState, to: TcpState) -> Event {
    Event::SocketState(SocketState {
        socket: SocketId(socket),
        netns: 7,
        local: endpoint(local),
        remote: remote.map(endpoint),
        from,
        to,
        ipv6_only: false,
        refused: false,
        process: Process::default(),
    })
}

/// Socket `id` begins to listen at `local`, or ends.
fn listen(id: u64, local: &str, open: bool) -> Event {
    let (from, to) = if open { (TcpState::Close, TcpState::Listen) } else { (TcpState::Listen, TcpState::Close) };
    socket(id, local, None, from, to)
}

fn ended(outcome: Outcome, sent: u64, received: u64) -> OpStep {
    OpStep::End {
        outcome,
        sent,
        received,
        sent_sha256: None,
        received_sha256: None,
        anomalies: Vec::new(),
        iterations: None,
        rtt: RttHistogram::default(),
    }
}

/// A backend at `listen` saw a connection whose bytes begin with `head`.
fn backend(listen: &str, head: &str) -> Event {
    Event::Backend(BackendConnection {
        backend: format!("backend at {listen}"),
        listen: endpoint(listen),
        peer: endpoint("127.0.0.1:50002"),
        accepted: Timestamp(0),
        head: head.into(),
        received: 8,
        sent: 8,
        end: BackendEnd::Eof,
    })
}

fn says(verdict: &Verdict, word: &str, part: &str) {
    let text = verdict.to_string();
    assert!(
        verdict.word() == word && text.contains(part),
        "expected {word} with `{part}`, not {}: {text}",
        verdict.word()
    );
}

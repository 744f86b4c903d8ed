//! Random histories of listeners: several sockets of a port, uncertain and simultaneous records, losses, fences, an end.

use proptest::prelude::*;

use crate::clock::Timestamp;
use crate::endpoint::{Endpoint, SocketId};
use crate::history::properties::arbitrary;
use crate::history::{
    CaseId, Event, History, Listening, ObserverChange, OpId, OpStep, Operation, Outcome, PlannedCase, Process, Record,
    RunInfo, SocketState, Source, TcpState,
};

/// Moments and lengths are in units of 0.6 ms: as a fraction of a ms they are no exact floating-point numbers.
pub(super) const UNIT_NS: u64 = 600_000;
/// The case begins here.
pub(super) const BEGIN: u64 = 20;

/// What really happened, as far as it is known: each record happened at `at` or up to `blur` before.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) target: Endpoint,
    pub(super) sockets: Vec<Socket>,
    pub(super) trigger: u64,
    /// The last fence began here.
    pub(super) end: u64,
    pub(super) cut_short: bool,
    pub(super) connects: Vec<Connect>,
    pub(super) flaw: Option<Flaw>,
    /// The observer cannot tell network namespaces.
    pub(super) blind: bool,
    /// Which way the records of one moment came.
    pub(super) reversed: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Socket {
    pub(super) local: Endpoint,
    pub(super) ipv6_only: bool,
    pub(super) netns: u32,
    /// It listened before observation began.
    pub(super) seeded: bool,
    /// When it opened, closed, opened, ... or the other way round when it was seeded; and each moment's blur.
    pub(super) turns: Vec<(u64, u64)>,
}

#[derive(Clone, Debug)]
pub(super) struct Connect {
    pub(super) began: u64,
    pub(super) took: u64,
    pub(super) refused: bool,
}

/// What makes the evidence incomplete.
#[derive(Clone, Copy, Debug)]
pub(super) enum Flaw {
    Loss,
    Death,
    NoFence,
    HalfFence,
    Unwatched,
}

pub(super) fn world() -> impl Strategy<Value = World> {
    let targets = ["127.0.0.1:9000", "[::1]:9000", "127.0.0.1:9000"].map(|text| text.parse().unwrap());
    let flaw = prop::sample::select(vec![Flaw::Loss, Flaw::Death, Flaw::NoFence, Flaw::HalfFence, Flaw::Unwatched]);
    let case = (0u64..30, 0u64..60, any::<bool>(), prop::option::weighted(0.1, flaw));
    let sockets = prop_oneof![
        3 => prop::collection::vec(socket(Just(0u64)), 0..5),
        2 => prop::collection::vec(socket(prop_oneof![2 => Just(0u64), 1 => 0u64..5]), 0..4),
    ];
    (
        prop::sample::select(targets.to_vec()),
        sockets,
        case,
        prop::collection::vec(connect(), 0..3),
        any::<(bool, bool)>(),
    )
        .prop_map(|(target, sockets, (trigger, lasts, cut_short, flaw), connects, (blind, reversed))| {
            let trigger = BEGIN + trigger;
            let end = trigger + lasts;
            World { target, sockets, trigger, end, cut_short, connects, flaw, blind, reversed }
        })
}

fn socket(blur: impl Strategy<Value = u64>) -> impl Strategy<Value = Socket> {
    let places = [
        "127.0.0.1:9000",
        "127.0.0.1:9000",
        "127.0.0.1:9000",
        "0.0.0.0:9000",
        "[::]:9000",
        "[::1]:9000",
        "127.0.0.2:9000",
        "127.0.0.1:9001",
        "[::ffff:127.0.0.1]:9000",
    ];
    let place = prop::sample::select(places.map(|text| text.parse::<Endpoint>().unwrap()).to_vec());
    let netns = prop_oneof![5 => Just(7u32), 1 => Just(8u32)];
    let turns = prop::collection::vec((1u64..40, blur), 0..5);
    (place, any::<bool>(), netns, any::<bool>(), turns).prop_map(|(local, ipv6_only, netns, seeded, gaps)| {
        let mut at = 2;
        let turns = gaps.into_iter().map(|(gap, blur)| {
            at += gap;
            (at, blur)
        });
        Socket { local, ipv6_only, netns, seeded, turns: turns.collect() }
    })
}

fn connect() -> impl Strategy<Value = Connect> {
    (BEGIN..BEGIN + 80, 0u64..5, any::<bool>()).prop_map(|(began, took, refused)| Connect { began, took, refused })
}

impl World {
    /// Whether a socket is one that a connect to the target reaches.
    pub(super) fn covers(&self, socket: &Socket) -> bool {
        (self.blind || socket.netns == 7) && socket.local.covers(self.target, socket.ipv6_only)
    }

    pub(super) fn case() -> CaseId {
        CaseId { suite: "s".into(), number: "1.1".into() }
    }

    /// As it would be recorded.
    pub(super) fn history(&self) -> History {
        let planned = PlannedCase { case: Self::case(), title: "t".into(), spec: "s".into() };
        let run = RunInfo { netns: 7, cases: vec![planned], ..arbitrary::plain_run() };
        let mut records = Vec::new();
        let mut at = |at: u64, event| {
            records.push(Record { at: Timestamp(at * UNIT_NS), uncertainty_ns: 0, source: Source::Ebpf, event });
        };
        if !matches!(self.flaw, Some(Flaw::Unwatched)) {
            let started = ObserverChange::Started { rung: "r".into(), uncertainty_ns: 0, sees_connections: true };
            at(0, Event::Observer(started));
        }
        for socket in self.sockets.iter().filter(|socket| socket.seeded) {
            let (local, netns, ipv6_only) = (socket.local, if self.blind { 7 } else { socket.netns }, socket.ipv6_only);
            at(1, Event::Listening(Listening { local, netns, ipv6_only, process: None }));
        }
        at(BEGIN, Event::CaseBegin { case: Self::case(), checks: Vec::new() });
        self.operation(0, self.trigger, &mut at);
        for (op, connect) in self.connects.iter().enumerate() {
            let op = op as u64 + 1;
            at(connect.began, Event::Operation(Operation { op: OpId(op), step: self.start("c") }));
            let outcome = if connect.refused { Outcome::Refused } else { Outcome::Ok };
            let began = Timestamp(connect.began * UNIT_NS);
            let step = OpStep::Connect { began, outcome, local: None };
            at(connect.began + connect.took, Event::Operation(Operation { op: OpId(op), step }));
        }
        match self.flaw {
            Some(Flaw::Loss) => {
                at(self.end, Event::Loss { probe: "socket_state".into(), count: 1, since: Timestamp(0) });
            }
            Some(Flaw::Death) => at(self.end, Event::Observer(ObserverChange::Died { reason: "d".into() })),
            _ => {}
        }
        let last = self.end + 100;
        if !matches!(self.flaw, Some(Flaw::NoFence)) {
            let seen = if matches!(self.flaw, Some(Flaw::HalfFence)) { 1 } else { 2 };
            at(last, Event::Fence { began: Timestamp(self.end * UNIT_NS), cpus: 2, seen });
        }
        at(last, Event::CaseEnd { case: Self::case(), error: self.cut_short.then(|| "cut".into()) });
        let turns = self.sockets.iter().zip(1..).flat_map(|(socket, id)| self.turns(socket, id));
        let mut turns: Vec<Record> = turns.collect();
        if self.reversed {
            turns.reverse();
        }
        records.extend(turns);
        History::new(run, records)
    }

    fn turns<'a>(&'a self, socket: &'a Socket, id: u64) -> impl Iterator<Item = Record> + 'a {
        let opens = move |index: usize| index.is_multiple_of(2) != socket.seeded;
        socket.turns.iter().enumerate().map(move |(index, (at, blur))| {
            let states = (TcpState::Close, TcpState::Listen);
            let (from, to) = if opens(index) { states } else { (states.1, states.0) };
            let event = Event::SocketState(SocketState {
                socket: SocketId(id),
                netns: if self.blind { 0 } else { socket.netns },
                local: socket.local,
                remote: None,
                from,
                to,
                ipv6_only: socket.ipv6_only,
                refused: false,
                process: Process::default(),
            });
            let (at, uncertainty_ns) = (Timestamp(at * UNIT_NS), blur * UNIT_NS);
            Record { at, uncertainty_ns, source: Source::Ebpf, event }
        })
    }

    fn start(&self, group: &str) -> OpStep {
        let (group, client, head) = (group.into(), "echo".into(), String::new());
        OpStep::Start { group, client, target: self.target, planned: 1, head }
    }

    fn operation(&self, op: u64, first_byte: u64, at: &mut impl FnMut(u64, Event)) {
        at(BEGIN, Event::Operation(Operation { op: OpId(op), step: self.start("trigger") }));
        at(first_byte, Event::Operation(Operation { op: OpId(op), step: OpStep::FirstByte }));
    }
}

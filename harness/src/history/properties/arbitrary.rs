//! Records of every kind, with any values.

mod reports;
mod sinsp;

use std::net::IpAddr;

use proptest::prelude::*;

use crate::clock::{RealtimeOffset, Timestamp};
use crate::endpoint::{Endpoint, SocketId, Tgid};
use crate::history::*;
use crate::properties::text;

/// A header of no interest.
pub(crate) fn plain_run() -> RunInfo {
    RunInfo {
        suite: "s".into(),
        sut: "s".into(),
        profile: "quick".into(),
        seed: 1,
        netns: 7,
        kernel: "k".into(),
        version: "v".into(),
        realtime: RealtimeOffset { at: Timestamp(0), offset_ns: 0, uncertainty_ns: 0 },
        cases: Vec::new(),
    }
}

pub(crate) fn run() -> impl Strategy<Value = RunInfo> {
    let names = [text(), text(), text(), text(), text()];
    let planned = (case(), text(), text()).prop_map(|(case, title, spec)| PlannedCase { case, title, spec });
    let cases = prop::collection::vec(planned, 0..4);
    (names, any::<(u64, u32)>(), any::<(u64, i64, u64)>(), cases).prop_map(|(names, (seed, netns), clock, cases)| {
        let [suite, sut, profile, kernel, version] = names;
        let realtime = RealtimeOffset { at: Timestamp(clock.0), offset_ns: clock.1, uncertainty_ns: clock.2 };
        RunInfo { suite, sut, profile, seed, netns, kernel, version, realtime, cases }
    })
}

pub(crate) fn record() -> impl Strategy<Value = Record> {
    let source = prop::sample::select(vec![
        Source::Ebpf,
        Source::SockDiag,
        Source::Procfs,
        Source::Scap,
        Source::Sinsp,
        Source::Reports,
        Source::Handler,
        Source::Sut,
        Source::Client,
        Source::Backend,
        Source::Runner,
    ]);
    let uncertainty = prop_oneof![Just(0), any::<u64>()];
    (time(), uncertainty, source, event()).prop_map(|(at, uncertainty_ns, source, event)| Record {
        at,
        uncertainty_ns,
        source,
        event,
    })
}

fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![3 => 0u64..1000, 1 => any::<u64>()].prop_map(Timestamp)
}

/// A case's number has no space in it: it is the last word of its name.
fn case() -> impl Strategy<Value = CaseId> {
    let named = (text(), "[0-9]{1,3}\\.[0-9]{1,3}|[^ ]{0,5}").prop_map(|(suite, number)| CaseId { suite, number });
    prop_oneof![Just(CaseId { suite: "s".into(), number: "1.1".into() }), named]
}

pub(crate) fn endpoint() -> impl Strategy<Value = Endpoint> {
    any::<(IpAddr, u16)>().prop_map(|(address, port)| Endpoint::new(address, port))
}

fn process() -> impl Strategy<Value = Process> {
    (any::<(u32, u32)>(), text()).prop_map(|((tgid, tid), comm)| Process { tgid: Tgid(tgid), tid, comm: comm.into() })
}

fn state() -> impl Strategy<Value = TcpState> {
    (1u8..14).prop_filter_map("a state", |number| TcpState::try_from(number).ok())
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => socket_state(),
        1 => (endpoint(), any::<(u32, bool)>(), prop::option::of(process())).prop_map(|(local, (netns, ipv6_only), process)| {
            Event::Listening(Listening { local, netns, ipv6_only, process })
        }),
        1 => syscall(),
        1 => process_change().prop_map(Event::Process),
        1 => observer().prop_map(Event::Observer),
        1 => (text(), any::<u64>(), time()).prop_map(|(probe, count, since)| {
            Event::Loss { probe, count, since }
        }),
        1 => (time(), any::<(u32, u32)>()).prop_map(|(began, (cpus, seen))| Event::Fence { began, cpus, seen }),
        4 => (0u64..4, step()).prop_map(|(op, step)| Event::Operation(Operation { op: OpId(op), step })),
        1 => backend().prop_map(Event::Backend),
        1 => sut().prop_map(Event::Sut),
        1 => (case(), prop::collection::vec(json(), 0..3)).prop_map(|(case, checks)| Event::CaseBegin { case, checks }),
        1 => (case(), prop::option::of(text())).prop_map(|(case, error)| Event::CaseEnd { case, error }),
        1 => text().prop_map(|text| Event::Note { text }),
        1 => text().prop_map(|name| Event::Moment { name }),
        2 => resources().prop_map(Event::Resources),
        2 => reports::message().prop_map(Event::Message),
        1 => reports::change().prop_map(Event::Reports),
        3 => reports::handling().prop_map(Event::Handler),
        3 => sinsp::said().prop_map(Event::Sinsp),
        2 => sinsp::statement().prop_map(|statement| Event::Stated(Box::new(statement))),
        1 => sinsp::module().prop_map(Event::Module),
    ]
}

fn socket_state() -> impl Strategy<Value = Event> {
    let rest = (prop::option::of(endpoint()), state(), state(), any::<[bool; 2]>(), process());
    (0u64..4, any::<u32>(), endpoint(), rest).prop_map(
        |(socket, netns, local, (remote, from, to, [ipv6_only, refused], process))| {
            let socket = SocketId(socket.wrapping_sub(1));
            Event::SocketState(SocketState { socket, netns, local, remote, from, to, ipv6_only, refused, process })
        },
    )
}

fn syscall() -> impl Strategy<Value = Event> {
    let phase = prop_oneof![Just(SyscallPhase::Enter), any::<i64>().prop_map(SyscallPhase::Exit)];
    let tuple = prop::option::of((endpoint(), endpoint()).prop_map(|(local, remote)| Tuple { local, remote }));
    let rest = (prop::option::of(any::<i64>()), prop::option::of(endpoint()), tuple, process());
    (text(), phase, any::<i32>(), rest).prop_map(|(name, phase, fd, (argument, address, tuple, process))| {
        Event::Syscall(Syscall { name: name.into(), phase, fd, argument, address, tuple, process })
    })
}

fn process_change() -> impl Strategy<Value = ProcessChange> {
    prop_oneof![
        (process(), any::<u32>()).prop_map(|(parent, child)| ProcessChange::Fork { parent, child: Tgid(child) }),
        process().prop_map(|process| ProcessChange::Exec { process }),
        (process(), any::<Option<i32>>()).prop_map(|(process, status)| ProcessChange::Exit { process, status }),
    ]
}

fn observer() -> impl Strategy<Value = ObserverChange> {
    prop_oneof![
        (text(), any::<(u64, bool)>()).prop_map(|(rung, (uncertainty_ns, sees_connections))| ObserverChange::Started {
            rung,
            uncertainty_ns,
            sees_connections
        }),
        Just(ObserverChange::Stopped),
        text().prop_map(|what| ObserverChange::Lacks { what }),
        text().prop_map(|reason| ObserverChange::Died { reason }),
    ]
}

fn resources() -> impl Strategy<Value = Resources> {
    (text(), any::<(u32, u32, u64, Option<u64>)>()).prop_map(|(process, (tgid, processes, resident_bytes, sockets))| {
        Resources { process, tgid: tgid % 4, processes, resident_bytes, sockets }
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        prop::sample::select(vec![
            Outcome::Ok,
            Outcome::Refused,
            Outcome::Reset,
            Outcome::ClosedEarly,
            Outcome::Cancelled
        ]),
        any::<u64>().prop_map(|after_ms| Outcome::Timeout { after_ms }),
        any::<u64>().prop_map(|offset| Outcome::Corrupt { offset }),
        text().prop_map(|error| Outcome::Failed { error }),
    ]
}

fn anomaly() -> impl Strategy<Value = Anomaly> {
    let kind = prop_oneof![
        any::<u64>().prop_map(|bytes| AnomalyKind::Changed { bytes }),
        any::<u64>().prop_map(|of| AnomalyKind::Ahead { of }),
        any::<u64>().prop_map(|of| AnomalyKind::Back { of }),
        Just(AnomalyKind::Foreign),
        Just(AnomalyKind::Extra),
    ];
    (any::<u64>(), kind).prop_map(|(offset, kind)| Anomaly { offset, kind })
}

fn step() -> impl Strategy<Value = OpStep> {
    let numbers = any::<(u64, u64, Option<(u64, u64)>)>();
    let digests = (prop::option::of(text()), prop::option::of(text()));
    let rtt = prop::collection::vec(any::<(u64, u64)>(), 0..4);
    prop_oneof![
        (text(), text(), endpoint(), any::<u64>(), text()).prop_map(|(group, client, target, planned, head)| {
            OpStep::Start { group, client, target, planned, head }
        }),
        (time(), outcome(), prop::option::of(endpoint())).prop_map(|(began, outcome, local)| OpStep::Connect {
            began,
            outcome,
            local
        }),
        Just(OpStep::FirstByte),
        (outcome(), numbers, digests, prop::collection::vec(anomaly(), 0..3), rtt).prop_map(
            |(outcome, (sent, received, turns), (sent_sha256, received_sha256), anomalies, rtt)| OpStep::End {
                outcome,
                sent,
                received,
                sent_sha256,
                received_sha256,
                anomalies,
                iterations: turns.map(|(planned, ok)| Iterations { planned, ok }),
                rtt: RttHistogram(rtt),
            }
        ),
    ]
}

fn backend() -> impl Strategy<Value = BackendConnection> {
    let end = prop::sample::select(vec![BackendEnd::Eof, BackendEnd::Reset, BackendEnd::Open]);
    (text(), endpoint(), endpoint(), (time(), text()), (any::<(u64, u64)>(), end)).prop_map(
        |(backend, listen, peer, (accepted, head), ((received, sent), end))| BackendConnection {
            backend,
            listen,
            peer,
            accepted,
            head,
            received,
            sent,
            end,
        },
    )
}

fn sut() -> impl Strategy<Value = SutChange> {
    prop_oneof![
        (text(), any::<u32>()).prop_map(|(process, tgid)| SutChange::Launched { process, tgid }),
        Just(SutChange::Ready),
        (text(), text()).prop_map(|(process, status)| SutChange::Died { process, status }),
        (any::<u32>(), any::<i32>()).prop_map(|(tgid, signal)| SutChange::Asked { tgid, signal }),
        text().prop_map(|by| SutChange::Provoked { by }),
        (text(), any::<u64>(), text()).prop_map(|(process, took_ms, status)| SutChange::Stopped {
            process,
            took_ms,
            status
        }),
        (text(), any::<u64>()).prop_map(|(process, after_ms)| SutChange::Killed { process, after_ms }),
    ]
}

/// Any JSON value; every number that is finite.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        text().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(serde_json::Value::from),
            prop::collection::vec((text(), inner), 0..3).prop_map(|parts| parts.into_iter().collect()),
        ]
    })
}

/// The number of an event's kind: a new kind does not compile here, and then belongs into [`event`] too.
fn kind(event: &Event) -> usize {
    match event {
        Event::SocketState(_) => 0,
        Event::Listening(_) => 1,
        Event::Syscall(_) => 2,
        Event::Process(_) => 3,
        Event::Observer(_) => 4,
        Event::Loss { .. } => 5,
        Event::Fence { .. } => 6,
        Event::Operation(_) => 7,
        Event::Backend(_) => 8,
        Event::Sut(_) => 9,
        Event::CaseBegin { .. } => 10,
        Event::CaseEnd { .. } => 11,
        Event::Note { .. } => 12,
        Event::Moment { .. } => 13,
        Event::Resources(_) => 14,
        Event::Message(_) => 15,
        Event::Reports(_) => 16,
        Event::Handler(_) => 17,
        Event::Sinsp(_) => 18,
        Event::Stated(_) => 19,
        Event::Module(_) => 20,
    }
}

#[test]
fn every_kind_is_made() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut made = [false; 21];
    for _ in 0..400 {
        let event = event().new_tree(&mut runner).map(|tree| tree.current());
        made[event.map_or(0, |event| kind(&event))] = true;
    }
    assert_eq!(made, [true; 21]);
}

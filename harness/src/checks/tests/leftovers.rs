//! Connections, memory and sockets that the system should have given back.

use super::*;
use crate::checks::{Growth, NoneLeftOpen};
use crate::history::Resources;

fn none_left_open() -> Check {
    Check::NoneLeftOpen(NoneLeftOpen { within_ms: 3000 })
}

/// A client that ends at 1500, and what the system's end of its connection does, 10 ms apart from 1501 on.
fn closing(changes: &[(TcpState, TcpState)]) -> Story {
    let mut story = Story::new();
    story.operation(1, "g", 1100);
    story.at(1099, Source::Ebpf, socket(5, PORT, Some(LOCAL), TcpState::SynRecv, TcpState::Established));
    story.end(1, 1500, Outcome::Ok);
    for (ms, (from, to)) in (1501..).step_by(10).zip(changes) {
        story.at(ms, Source::Ebpf, socket(5, PORT, Some(LOCAL), *from, *to));
    }
    story
}

const WAITS: (TcpState, TcpState) = (TcpState::Established, TcpState::CloseWait);
const ANSWERS: (TcpState, TcpState) = (TcpState::CloseWait, TcpState::LastAck);
const ENDS: (TcpState, TcpState) = (TcpState::LastAck, TcpState::Close);

#[test]
fn a_connection_that_the_system_closes_is_not_left() {
    assert_eq!(closing(&[WAITS, ANSWERS, ENDS]).judge(&none_left_open()), Verdict::Pass);
    let reset = closing(&[(TcpState::Established, TcpState::Close)]);
    assert_eq!(reset.judge(&none_left_open()), Verdict::Pass);
}

#[test]
fn a_connection_that_the_system_keeps_is_named() {
    let verdict = closing(&[WAITS]).judge(&none_left_open());
    says(&verdict, "fail", "127.0.0.1:50001 -> 127.0.0.1:9000 is in CLOSE-WAIT 4500 ms after its client ended");
    says(&closing(&[WAITS, ANSWERS]).judge(&none_left_open()), "fail", "1 of 1 are left open");
    says(&closing(&[]).judge(&none_left_open()), "fail", "is in ESTABLISHED");
    let Verdict::Fail(finding) = verdict else { unreachable!("it was a failure") };
    assert_eq!(finding.around.len(), 1);
}

#[test]
fn what_a_connection_of_an_open_client_does_is_its_own_affair() {
    let mut open = Story::new();
    open.operation(1, "g", 1100);
    open.at(1099, Source::Ebpf, socket(5, PORT, Some(LOCAL), TcpState::SynRecv, TcpState::Established));
    assert_eq!(open.judge(&none_left_open()), Verdict::Pass);
}

#[test]
fn a_connection_that_was_not_seen_or_has_just_ended_is_unknown() {
    let mut late = closing(&[]).without(|event| matches!(event, Event::Operation(step) if step.op == OpId(1)));
    late.operation(1, "g", 1100);
    late.end(1, 5900, Outcome::Ok);
    says(&late.judge(&none_left_open()), "unknown", "100 ms after its client did: too early");
    says(&Story::new().judge(&none_left_open()), "unknown", "no connection of a client was seen");
    let mut blind = closing(&[WAITS]).without(|event| matches!(event, Event::Observer(_)));
    blind.at(1, Source::SockDiag, started(false));
    says(&blind.judge(&none_left_open()), "unknown", "sees no connections");
}

/// What `server` held: moment, pid, MB, sockets.
fn held(samples: &[(u64, u32, u64, u64)]) -> Story {
    let mut story = Story::new();
    for (ms, tgid, megabytes, sockets) in samples {
        let resident_bytes = megabytes * 1_000_000;
        let process = "server".into();
        let sample = Resources { process, tgid: *tgid, processes: 1, resident_bytes, sockets: Some(*sockets) };
        story.at(*ms, Source::Procfs, Event::Resources(sample));
    }
    story
}

#[test]
fn memory_and_sockets_may_grow_so_far_since_the_start() {
    let check = Check::Growth(Growth { memory_bytes: 50_000_000, sockets: 16 });
    assert_eq!(held(&[(1001, 7, 10, 5), (5999, 7, 60, 21)]).judge(&check), Verdict::Pass);
    assert_eq!(held(&[(1001, 7, 90, 50), (5999, 7, 10, 5)]).judge(&check), Verdict::Pass);
    let leaks = held(&[(500, 7, 10, 5), (1001, 7, 50, 5), (5999, 7, 61, 5)]);
    says(&leaks.judge(&check), "fail", "it grew by 51.0 MB since the first case, from 10.0 MB to 61.0 MB (+11.0 MB in");
    let leaks = held(&[(500, 7, 10, 5), (1001, 7, 10, 20), (5999, 7, 10, 22)]);
    says(&leaks.judge(&check), "fail", "it holds 17 more: 5 then, 22 now (+2 in this case)");
}

#[test]
fn what_was_not_sampled_is_unknown() {
    let check = Check::Growth(Growth { memory_bytes: 1, sockets: 1 });
    says(&Story::new().judge(&check), "unknown", "was not sampled");
    says(&held(&[(1001, 7, 10, 5)]).judge(&check), "unknown", "at both ends of the case");
    let restarted = held(&[(500, 7, 10, 5), (1001, 7, 10, 5), (5999, 8, 90, 90)]);
    says(&restarted.judge(&check), "unknown", "at both ends of the case");
    let an_earlier_start = held(&[(500, 7, 10, 5), (1001, 8, 90, 90), (5999, 8, 90, 90)]);
    assert_eq!(an_earlier_start.judge(&check), Verdict::Pass);
}

#[test]
fn sockets_that_were_not_counted_are_unknown_and_memory_is_judged_all_the_same() {
    let uncounted = |megabytes| {
        let mut story = Story::new();
        for (ms, megabytes) in [(1001, 10), (5999, megabytes)] {
            let resident_bytes = megabytes * 1_000_000;
            let sample = Resources { process: "server".into(), tgid: 7, processes: 1, resident_bytes, sockets: None };
            story.at(ms, Source::Procfs, Event::Resources(sample));
        }
        story
    };
    let check = Check::Growth(Growth { memory_bytes: 50_000_000, sockets: 16 });
    says(&uncounted(10).judge(&check), "unknown", "how many sockets `server` holds was not counted");
    says(&uncounted(90).judge(&check), "fail", "it grew by 80.0 MB");
}

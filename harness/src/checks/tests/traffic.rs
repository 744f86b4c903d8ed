//! Bytes, turns and routing.

use super::*;
use crate::checks::{Routing, Traffic, Turns};
use crate::history::{Anomaly, AnomalyKind, Iterations};

fn traffic(planned: u64, at_least: u64) -> Check {
    Check::Traffic(Traffic { group: "g".into(), planned, at_least, ..Traffic::default() })
}

fn ending(outcome: Outcome) -> Story {
    let mut story = Story::new();
    story.operation(1, "g", 1100);
    story.end(1, 1200, outcome);
    story
}

#[test]
fn every_byte_back_passes() {
    assert_eq!(ending(Outcome::Ok).judge(&traffic(1, 1)), Verdict::Pass);
}

#[test]
fn every_other_ending_fails_by_its_name() {
    says(&ending(Outcome::ClosedEarly).judge(&traffic(1, 1)), "fail", "closed early (8 of 8 bytes sent, 4 received)");
    says(&ending(Outcome::Reset).judge(&traffic(1, 1)), "fail", "reset");
    says(&ending(Outcome::Timeout { after_ms: 5 }).judge(&traffic(1, 1)), "fail", "timeout");
    let mut short = Story::new();
    short.operation(1, "g", 1100);
    short.step(1, 1200, ended(Outcome::Ok, 8, 7));
    says(&short.judge(&traffic(1, 1)), "fail", "the length is wrong");
}

#[test]
fn what_is_wrong_with_the_bytes_is_said() {
    let with = |anomalies: Vec<Anomaly>| {
        let mut story = Story::new();
        story.operation(1, "g", 1100);
        let OpStep::End { rtt, iterations, .. } = ended(Outcome::Ok, 8, 8) else { unreachable!() };
        let outcome = Outcome::Corrupt { offset: anomalies[0].offset };
        let (sent_sha256, received_sha256) = (None, None);
        let end =
            OpStep::End { outcome, sent: 8, received: 8, sent_sha256, received_sha256, anomalies, iterations, rtt };
        story.step(1, 1200, end);
        story.judge(&traffic(1, 1))
    };
    let at = |offset, kind| Anomaly { offset, kind };
    says(&with(vec![at(3, AnomalyKind::Changed { bytes: 1 })]), "fail", "1 bytes changed at offset 3");
    says(&with(vec![at(3, AnomalyKind::Ahead { of: 10 })]), "fail", "7 bytes missing at offset 3");
    says(&with(vec![at(3, AnomalyKind::Back { of: 1 })]), "fail", "at offset 3 comes again what was sent at 1");
    let swapped = vec![at(3, AnomalyKind::Ahead { of: 10 }), at(9, AnomalyKind::Back { of: 3 })];
    says(&with(swapped), "fail", "(reordered)");
}

#[test]
fn digests_must_agree_and_be_there() {
    let with = |received: Option<&str>| {
        let mut story = Story::new();
        story.operation(1, "g", 1100);
        let mut end = ended(Outcome::Ok, 8, 8);
        if let OpStep::End { sent_sha256, received_sha256, .. } = &mut end {
            *sent_sha256 = received.map(|_| "aa".into());
            *received_sha256 = received.map(Into::into);
        }
        story.step(1, 1200, end);
        let check = Traffic { group: "g".into(), planned: 1, at_least: 1, sha256: 1, ..Traffic::default() };
        story.judge(&Check::Traffic(check))
    };
    assert_eq!(with(Some("aa")), Verdict::Pass);
    says(&with(Some("bb")), "fail", "SHA-256 sent aa, received bb");
    says(&with(None), "unknown", "0 of 1 digests");
}

#[test]
fn enough_of_many_is_enough() {
    let of = |good: u64, bad: u64| {
        let mut story = Story::new();
        for op in 1..=good + bad {
            story.operation(op, "g", 1100 + op);
            story.end(op, 1200 + op, if op <= good { Outcome::Ok } else { Outcome::Reset });
        }
        story.judge(&traffic(10, 9))
    };
    assert_eq!(of(10, 0), Verdict::Pass);
    assert_eq!(of(9, 1), Verdict::Pass);
    says(&of(8, 2), "fail", "8 were right");
    says(&of(5, 0), "unknown", "could not be carried out");
    says(&Story::new().judge(&traffic(1, 1)), "unknown", "no operation of `g` began");
}

#[test]
fn what_the_harness_could_not_do_is_unknown_not_failed() {
    says(&ending(Outcome::Failed { error: "EMFILE".into() }).judge(&traffic(1, 1)), "unknown", "EMFILE");
    says(&ending(Outcome::Cancelled).judge(&traffic(1, 1)), "unknown", "cancelled");
}

#[test]
fn a_trigger_that_wrote_nothing_is_unknown_and_one_that_did_is_judged() {
    let check = Traffic { group: "g".into(), planned: 1, at_least: 1, is_trigger: true, ..Traffic::default() };
    let check = Check::Traffic(check);
    let refused = ending(Outcome::Refused)
        .without(|event| matches!(event, Event::Operation(operation) if operation.step == OpStep::FirstByte));
    says(&refused.judge(&check), "unknown", "refused");
    says(&ending(Outcome::Reset).judge(&check), "fail", "reset");
}

#[test]
fn too_slow_is_wrong_even_when_it_was_cut_off() {
    let judged = |outcome: Outcome, within_ms: u64| {
        let within_ms = Some(within_ms);
        let check = Traffic { group: "g".into(), planned: 1, at_least: 1, within_ms, ..Traffic::default() };
        ending(outcome).judge(&Check::Traffic(check))
    };
    assert_eq!(judged(Outcome::Ok, 200), Verdict::Pass);
    says(&judged(Outcome::Ok, 50), "fail", "it took 102 ms, more than 50 ms");
    says(&judged(Outcome::Cancelled, 50), "fail", "more than 50 ms");
}

#[test]
fn turns_are_counted() {
    let with = |iterations: Option<Iterations>| {
        let mut story = Story::new();
        story.operation(1, "g", 1100);
        let mut end = ended(Outcome::Ok, 8, 8);
        if let OpStep::End { iterations: counted, .. } = &mut end {
            *counted = iterations;
        }
        story.step(1, 1200, end);
        story.judge(&Check::Turns(Turns { group: "g".into(), at_least_percent: 95 }))
    };
    assert_eq!(with(Some(Iterations { planned: 100, ok: 95 })), Verdict::Pass);
    says(&with(Some(Iterations { planned: 100, ok: 94 })), "fail", "94 of 100 were (94.0 %)");
    says(&with(Some(Iterations { planned: 0, ok: 0 })), "unknown", "no turn");
    says(&with(None), "fail", "none was taken");
    let turns = Check::Turns(Turns { group: "g".into(), at_least_percent: 95 });
    says(&ending(Outcome::Refused).judge(&turns), "fail", "refused");
    says(&ending(Outcome::Cancelled).judge(&turns), "unknown", "cancelled");
}

#[test]
fn routing_is_verified_by_who_is_reached() {
    let check = Check::Routing(Routing { group: "g".into(), backend: "b".into(), endpoint: endpoint("127.0.0.1:1") });
    let with = |listen: &str, head: &str| {
        let mut story = ending(Outcome::Ok);
        story.at(1150, Source::Backend, backend(listen, head));
        story.judge(&check)
    };
    assert_eq!(with("127.0.0.1:1", &"ab".repeat(8)), Verdict::Pass);
    assert_eq!(with("127.0.0.1:1", "abab"), Verdict::Pass, "as far as it got");
    says(&with("127.0.0.1:2", &"ab".repeat(8)), "fail", "reached backend at 127.0.0.1:2");
    says(&with("127.0.0.1:1", "cdcd"), "fail", "no backend saw its bytes");
    let mut both = ending(Outcome::Ok);
    both.at(1150, Source::Backend, backend("127.0.0.1:1", &"ab".repeat(8)));
    both.at(1151, Source::Backend, backend("127.0.0.1:2", &"ab".repeat(8)));
    says(&both.judge(&check), "fail", "its bytes reached backend at 127.0.0.1:2");
    says(&Story::new().judge(&check), "unknown", "no operation");
}

#[test]
fn a_backend_that_was_not_asked_yet_is_no_stranger() {
    let check = Check::Routing(Routing { group: "g".into(), backend: "b".into(), endpoint: endpoint("127.0.0.1:1") });
    says(&ending(Outcome::Ok).judge(&check), "fail", "no backend saw its bytes");
    says(&ending(Outcome::Ok).judge_as_it_is(&check), "unknown", "the case broke off before its backend told of it");
    let mut stray = ending(Outcome::Ok);
    stray.at(1150, Source::Backend, backend("127.0.0.1:2", &"ab".repeat(8)));
    says(&stray.judge_as_it_is(&check), "fail", "reached backend at 127.0.0.1:2");
}

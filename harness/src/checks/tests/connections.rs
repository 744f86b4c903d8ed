//! Connection life and endings.

use super::*;
use crate::checks::{Endings, StaysConnected};

fn stays() -> Check {
    Check::StaysConnected(StaysConnected { group: "g".into(), closes_cleanly: false })
}

fn accepted() -> Story {
    let mut story = Story::new();
    story.operation(1, "g", 1100);
    story.at(1099, Source::Ebpf, socket(5, PORT, Some(LOCAL), TcpState::SynRecv, TcpState::Established));
    story
}

#[test]
fn a_connection_that_its_client_closes_has_stayed() {
    let mut story = accepted();
    story.end(1, 2000, Outcome::Ok);
    story.at(2001, Source::Ebpf, socket(5, PORT, Some(LOCAL), TcpState::Established, TcpState::CloseWait));
    story.at(2002, Source::Ebpf, socket(5, PORT, Some(LOCAL), TcpState::LastAck, TcpState::Close));
    assert_eq!(story.judge(&stays()), Verdict::Pass);
}

#[test]
fn a_connection_that_the_system_closes_has_not() {
    for to in [TcpState::FinWait1, TcpState::Close] {
        let mut story = accepted();
        story.at(1600, Source::Ebpf, socket(5, PORT, Some(LOCAL), TcpState::Established, to));
        story.end(1, 2000, Outcome::ClosedEarly);
        says(&story.judge(&stays()), "fail", "the system ended it 500.000 ms after the first byte");
    }
}

#[test]
fn a_clean_close_is_one_of_both_ends() {
    let check = Check::StaysConnected(StaysConnected { group: "g".into(), closes_cleanly: true });
    let with = |changes: &[(TcpState, TcpState)]| {
        let mut story = accepted();
        story.end(1, 2000, Outcome::Ok);
        for (ms, (from, to)) in (2001..).zip(changes) {
            story.at(ms, Source::Ebpf, socket(5, PORT, Some(LOCAL), *from, *to));
        }
        story.judge(&check)
    };
    let waits = (TcpState::Established, TcpState::CloseWait);
    let answers = (TcpState::CloseWait, TcpState::LastAck);
    assert_eq!(with(&[waits, answers, (TcpState::LastAck, TcpState::Close)]), Verdict::Pass);
    says(&with(&[waits, (TcpState::CloseWait, TcpState::Close)]), "fail", "reset it after its client's close");
    says(&with(&[waits]), "fail", "did not close its end");
    let mut unfinished = accepted();
    unfinished.end(1, 2000, Outcome::ClosedEarly);
    says(&unfinished.judge(&check), "unknown", "its close cannot be judged");
}

#[test]
fn a_connection_that_was_not_seen_is_unknown() {
    let mut story = Story::new();
    story.operation(1, "g", 1100);
    story.end(1, 2000, Outcome::Ok);
    says(&story.judge(&stays()), "unknown", "no ESTABLISHED");
    says(&Story::new().judge(&stays()), "unknown", "no operation");

    let mut blind = accepted().without(|event| matches!(event, Event::Observer(_)));
    blind.at(1, Source::SockDiag, started(false));
    says(&blind.judge(&stays()), "unknown", "sees no connections");
}

#[test]
fn an_ending_must_be_one_that_can_be_told() {
    let check = Check::Endings(Endings { group: "g".into(), at_least: 1 });
    let with = |outcome: Outcome| {
        let mut story = accepted();
        story.end(1, 2000, outcome);
        story.judge(&check)
    };
    for fine in [Outcome::Ok, Outcome::ClosedEarly, Outcome::Reset, Outcome::Refused] {
        assert_eq!(with(fine), Verdict::Pass);
    }
    says(&with(Outcome::Timeout { after_ms: 9 }), "fail", "hung");
    says(&with(Outcome::Corrupt { offset: 2 }), "fail", "corrupt at offset 2");
    says(&with(Outcome::Cancelled), "unknown", "cancelled");
    says(&accepted().judge(&check), "unknown", "never ended");
    says(&Story::new().judge(&check), "unknown", "0 of 1");
}

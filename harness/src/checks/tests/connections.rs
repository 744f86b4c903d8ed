//! Connection life and endings.

use super::*;
use crate::checks::{Endings, StaysConnected};

fn stays() -> Check {
    Check::StaysConnected(StaysConnected { group: "g".into() })
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

//! Conversations, and the kernel's word on them.

use super::reports::report;
use super::*;
use crate::checks::Conversations;
use crate::checks::witnessed::{ConnectionsReported, ListenersAre, SystemCloses};
use crate::endpoint::Tgid;
use crate::history::{
    ConnectionEnd, HandlerEnd, HandlerStep, Handling, Message, ProcessChange, ReportsChange, SutChange,
};

const REMOTE: &str = "127.16.0.1:4000";

/// A connection of handler 1, as the handler, the kernel and the report tell it.
fn connected(by_handler: bool, by_kernel: bool, by_report: bool) -> Story {
    let mut story = Story::with_handlers();
    if by_handler {
        let (began, local) = (Timestamp(2_000_000_000), Some(endpoint(REMOTE)));
        story.handler(1, 2000, HandlerStep::Connect { connection: 0, began, local, error: None });
        story.handler(1, 2000, HandlerStep::Expects { connection: 0, report: report("connect", None), began });
    }
    if by_kernel {
        let change = socket(9, PORT, Some(REMOTE), TcpState::SynRecv, TcpState::Established);
        story.at(2000, Source::Ebpf, change);
    }
    if by_report {
        let mut report = report("connect", None);
        report.ts = Some(2);
        story.message(2001, Message::Report { topic: "t".into(), report, flaws: vec![] });
    }
    story
}

fn judged(mut story: Story, check: &Check) -> Verdict {
    story.settles(5000);
    story.judge(check)
}

#[test]
fn connections_and_reports_are_compared_with_the_kernel() {
    let check = Check::ConnectionsReported(ConnectionsReported {});
    assert!(judged(connected(true, true, true), &check).passed());
    let verdict = judged(connected(true, true, false), &check);
    says(&verdict, "fail", "1 connections were accepted, and 0 reports came");
    says(&judged(connected(true, false, true), &check), "unknown", "no ESTABLISHED");
    let mut twice = connected(true, true, true);
    let again = twice.records.iter().rev().find(|record| matches!(record.event, Event::Message(_))).cloned();
    twice.records.extend(again);
    says(&judged(twice, &check), "fail", "1 connections were accepted, and 2 reports came");
    let mut invented = connected(true, true, true);
    let mut other = report("login", Some("u"));
    other.ip = "127.16.0.9".into();
    invented.message(2100, Message::Report { topic: "t".into(), report: other, flaws: vec![] });
    says(&judged(invented, &check), "fail", "a connection that the kernel accepted for ftp login from 127.16.0.9");
    let blind = |mut story: Story| {
        story.records[0].event = started(false);
        story
    };
    says(&judged(blind(connected(true, true, true)), &check), "unknown", "sees no connections");
    let unsettled = connected(true, true, true);
    says(&unsettled.judge(&check), "unknown", "did not come to its end");
    let unreported = connected(true, true, false);
    let mut unreported =
        unreported.without(|event| matches!(event, Event::Handler(Handling { step: HandlerStep::Expects { .. }, .. })));
    let began = Timestamp(2_000_000_000);
    unreported.handler(2, 2100, HandlerStep::Expects { connection: 0, report: report("login", None), began });
    assert!(judged(unreported, &check).passed(), "a connection that waits in the queue has no report");
}

#[test]
fn who_closed_first_is_the_kernels_word() {
    let check = |at_least| Check::SystemCloses(SystemCloses { at_least });
    let closing = |to: Option<TcpState>, how: ConnectionEnd| {
        let mut story = connected(true, true, true);
        if let Some(to) = to {
            story.at(2100, Source::Ebpf, socket(9, PORT, Some(REMOTE), TcpState::Established, to));
        }
        story.handler(1, 2101, HandlerStep::Over { connection: 0, how });
        story
    };
    assert!(judged(closing(Some(TcpState::FinWait1), ConnectionEnd::Eof), &check(1)).passed());
    assert!(judged(closing(Some(TcpState::Close), ConnectionEnd::Reset), &check(1)).passed());
    let verdict = judged(closing(Some(TcpState::CloseWait), ConnectionEnd::Eof), &check(1));
    says(&verdict, "fail", "the kernel saw its client close first, 1100.000 ms into the case");
    says(&judged(closing(None, ConnectionEnd::Eof), &check(1)), "unknown", "no end of the connection");
    let verdict = judged(closing(Some(TcpState::FinWait1), ConnectionEnd::Eof), &check(2));
    says(&verdict, "unknown", "1 of 2 connections");
    let verdict = judged(closing(Some(TcpState::CloseWait), ConnectionEnd::Closed), &check(1));
    says(&verdict, "unknown", "0 of 1 connections");
}

#[test]
fn a_wrong_reply_a_crash_and_a_hang_are_findings() {
    let check = Check::Conversations(Conversations { at_least: 2 });
    let ending = |outcome: Option<HandlerEnd>, failed: bool| {
        let mut story = Story::with_handlers();
        story.handler(2, 2000, HandlerStep::End { outcome: HandlerEnd::Done });
        story.handler(1, 2000, HandlerStep::Sent { connection: 0, bytes: 3, head: "abc".into() });
        if failed {
            let (place, expected, seen) = ("d.toml:3:1".into(), "\"220\"".into(), "\"500\" came".into());
            story.handler(1, 2001, HandlerStep::Failed { place, expected, seen });
        }
        if let Some(outcome) = outcome {
            story.handler(1, 2002, HandlerStep::End { outcome });
        }
        story.judge(&check)
    };
    assert!(ending(Some(HandlerEnd::Done), false).passed());
    let verdict = ending(Some(HandlerEnd::Failed), true);
    says(&verdict, "fail", "expected \"220\" (`h1`, d.toml:3:1); \"500\" came");
    let Verdict::Fail(finding) = verdict else { return };
    assert_eq!(finding.around, ["+1000.000 ms [0] ->     3  \"abc\""]);
    let crashed = HandlerEnd::Crashed { status: "signal 11".into(), said: String::new() };
    says(&ending(Some(crashed), false), "fail", "its process 100 crashed (signal 11)");
    says(&ending(Some(HandlerEnd::TimedOut { after_ms: 9 }), false), "fail", "did not end within 9 ms");
    says(&ending(Some(HandlerEnd::Garbage { line: "x".into() }), false), "fail", "is no record of a handler: x");
    says(&ending(Some(HandlerEnd::Broken { reason: "r".into() }), false), "unknown", "could not be carried out: r");
    says(&ending(None, false), "unknown", "never ended");
    says(&Story::new().judge(&check), "unknown", "0 of 2 handlers began");
}

#[test]
fn listeners_are_sockets_of_children_of_the_system() {
    let ports = ["127.0.0.1:21", "127.0.0.1:80"];
    let check = Check::ListenersAre(ListenersAre { endpoints: ports.iter().map(|port| endpoint(port)).collect() });
    // (socket, where, whose): the master is 10, its children 11 and 12, a stranger 30.
    let judge = |listeners: &[(u64, &str, u32)]| {
        let mut story = Story::new().without(|event| matches!(event, Event::SocketState(_)));
        story.at(4, Source::Sut, Event::Sut(SutChange::Launched { process: "m".into(), tgid: 10 }));
        let process = |tgid| Process { tgid: Tgid(tgid), ..Process::default() };
        for child in [11, 12] {
            story.at(5, Source::Ebpf, Event::Process(ProcessChange::Fork { parent: process(10), child: Tgid(child) }));
        }
        for (id, at, tgid) in listeners {
            let Event::SocketState(mut change) = listen(*id, at, true) else { continue };
            change.process = process(*tgid);
            story.at(6, Source::Ebpf, Event::SocketState(change));
        }
        story.judge(&check)
    };
    assert!(judge(&[(1, "[::]:21", 11), (2, "[::]:80", 12)]).passed());
    assert!(judge(&[(1, "[::]:21", 11), (2, "[::]:80", 12), (3, "127.0.0.1:99", 30)]).passed());
    says(&judge(&[(1, "[::]:21", 11)]), "fail", "one socket to listen at 127.0.0.1:80; 0 do");
    says(&judge(&[(1, "[::]:21", 11), (2, "[::]:80", 12), (3, "[::]:80", 12)]), "fail", "2 do");
    says(&judge(&[(1, "[::]:21", 11), (2, "[::]:80", 11)]), "fail", "process 11 listens elsewhere too");
    says(&judge(&[(1, "[::]:21", 11), (2, "[::]:80", 10)]), "fail", "a child of the system's process 10");
    says(
        &judge(&[(1, "[::]:21", 11), (2, "[::]:80", 12), (3, "[::]:81", 12)]),
        "fail",
        "process 12 listens at [::]:81",
    );
    says(&judge(&[(1, "[::]:21", 11), (2, "[::]:80", 0)]), "unknown", "does not tell whose");
}

#[test]
fn a_handlers_connection_is_evidence_of_coverage() {
    assert!(judged(connected(true, true, true), &Check::Coverage).passed());
    says(&judged(connected(true, false, true), &Check::Coverage), "unknown", "it looks elsewhere");
    says(&judged(Story::with_handlers(), &Check::Coverage), "unknown", "no client connected");
    let unbound =
        connected(true, true, true).without(|event| matches!(event, Event::Reports(ReportsChange::Bound { .. })));
    assert!(judged(unbound, &Check::Coverage).passed(), "it does not depend on reports");
}

#[test]
fn a_handlers_connect_is_compared_with_the_listeners() {
    assert!(judged(connected(true, true, true), &Check::Causality).passed());
    let refused = |port: &str| {
        let mut story = Story::with_handlers();
        let HandlerStep::Start { target, .. } = start_of(&mut story) else { return Verdict::Pass };
        *target = endpoint(port);
        let error = Some("Connection refused (os error 111)".into());
        let began = Timestamp(2_000_000_000);
        story.handler(1, 2001, HandlerStep::Connect { connection: 0, began, local: None, error });
        judged(story, &Check::Causality)
    };
    says(&refused(PORT), "fail", "was refused while a socket listened there");
    assert!(refused("127.0.0.1:1").passed());
    says(&judged(Story::with_handlers(), &Check::Causality), "unknown", "no connect could be compared");
}

fn start_of(story: &mut Story) -> &mut HandlerStep {
    let steps = story.records.iter_mut().find_map(|record| match &mut record.event {
        Event::Handler(handling) => Some(&mut handling.step),
        _ => None,
    });
    steps.expect("a handler began")
}

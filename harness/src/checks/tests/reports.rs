//! Reports against what handlers expected: a history for each finding, and for each hole in the evidence.

mod evidence;

use super::*;
use crate::checks::reports::{Aspect, LATE_MS, Reports};
use crate::endpoint::Tgid;
use crate::history::{Flaw, HandlerEnd, HandlerStep, Handling, Message, Report, ReportsChange, SutChange};

const TARGET: &str = "127.0.0.1:9000";
/// 1970, in the clock of these histories: a case begins at 1 s.
const TS: u64 = 2;

pub(super) fn report(action: &str, user: Option<&str>) -> Report {
    let data = user.map(|user| vec![("username".into(), user.into()), ("password".into(), "p".into())]);
    Report { ts: None, kind: "ftp".into(), ip: "127.16.0.1".into(), action: action.into(), data }
}

impl Story {
    /// A system that says that it has started, and two handlers of one connection each.
    pub(super) fn with_handlers() -> Self {
        let mut story = Self::new();
        let bound = ReportsChange::Bound { endpoint: "ipc:///x".into(), topic: "t".into() };
        story.at(3, Source::Reports, Event::Reports(bound));
        let process = "master".into();
        story.at(4, Source::Sut, Event::Sut(SutChange::Launched { process, tgid: 10 }));
        story.at(5, Source::Reports, Event::Reports(ReportsChange::Connected));
        story.message(6, Message::Welcome { topic: "t".into() });
        for handler in [1, 2] {
            story.handler(
                handler,
                1001,
                HandlerStep::Start {
                    name: format!("h{handler}"),
                    minipot: "ftp".into(),
                    target: endpoint(TARGET),
                    address: Some("127.16.0.1".parse().expect("an address")),
                    marker: "m".into(),
                    pid: Tgid(100),
                },
            );
        }
        story
    }

    pub(super) fn handler(&mut self, handler: u64, ms: u64, step: HandlerStep) {
        self.at(ms, Source::Handler, Event::Handler(Handling { handler, step }));
    }

    pub(super) fn message(&mut self, ms: u64, message: Message) {
        self.at(ms, Source::Reports, Event::Message(message));
    }

    fn connects(&mut self, handler: u64, ms: u64) {
        let began = Timestamp(ms * 1_000_000);
        let local = Some(endpoint(&format!("127.16.0.{handler}:4000")));
        self.handler(handler, ms, HandlerStep::Connect { connection: 0, began, local, error: None });
        self.expects(handler, ms, report("connect", None));
    }

    fn expects(&mut self, handler: u64, ms: u64, mut report: Report) {
        report.ip = format!("127.16.0.{handler}");
        let began = Timestamp(ms * 1_000_000);
        self.handler(handler, ms, HandlerStep::Expects { connection: 0, report, began });
    }

    /// Sends at `ms`, with a reply 10 ms later.
    fn says(&mut self, handler: u64, ms: u64, report: Report) {
        self.handler(handler, ms, HandlerStep::Sent { connection: 0, bytes: 1, head: "x".into() });
        self.expects(handler, ms, report);
        self.handler(handler, ms + 10, HandlerStep::Received { connection: 0, bytes: 1, head: "y".into() });
    }

    fn comes(&mut self, handler: u64, ms: u64, report: Report) {
        self.flawed(handler, ms, report, Vec::new());
    }

    fn flawed(&mut self, handler: u64, ms: u64, mut report: Report, flaws: Vec<Flaw>) {
        report.ip = format!("127.16.0.{handler}");
        report.ts = report.ts.or(Some(TS));
        self.message(ms, Message::Report { topic: "t".into(), report, flaws });
    }

    /// Two connects and two logins, all as they should be but for what is changed.
    fn two_logins() -> Self {
        let mut story = Self::with_handlers();
        story.connects(1, 2000);
        story.connects(2, 2000);
        story.says(1, 2100, report("login", Some("u1")));
        story.says(2, 2200, report("login", Some("u2")));
        story
    }

    pub(super) fn settles(&mut self, ms: u64) {
        for handler in [1, 2] {
            self.handler(handler, ms - 1, HandlerStep::End { outcome: HandlerEnd::Done });
        }
        self.at(ms, Source::Runner, Event::Reports(ReportsChange::Settled { missing: 0, waited_ms: 1 }));
    }

    fn connects_come(&mut self) {
        self.comes(1, 2010, report("connect", None));
        self.comes(2, 2011, report("connect", None));
    }

    fn logins_come(&mut self) {
        self.comes(1, 2105, report("login", Some("u1")));
        self.comes(2, 2205, report("login", Some("u2")));
    }
}

fn check(aspect: Aspect) -> Check {
    Check::Reports(Reports { aspect, late_ms: LATE_MS })
}

/// Judges each aspect: exactly these fail, with these words; all others pass.
fn only(make: impl Fn() -> Story, failing: &[(Aspect, &str)]) {
    for aspect in Aspect::ALL {
        let mut story = make();
        story.settles(5000);
        let verdict = story.judge(&check(aspect));
        match failing.iter().find(|(other, _)| *other == aspect) {
            Some((_, part)) => says(&verdict, "fail", part),
            None => assert!(verdict.passed(), "{aspect:?} says {}: {verdict}", verdict.word()),
        }
    }
}

/// The same for a story that is changed after connects and logins have come.
fn after_all(change: impl Fn(&mut Story), failing: &[(Aspect, &str)]) {
    let make = || {
        let mut story = Story::two_logins();
        story.connects_come();
        story.logins_come();
        change(&mut story);
        story
    };
    only(make, failing);
}

#[test]
fn what_is_as_it_should_be_passes() {
    after_all(|_| {}, &[]);
}

#[test]
fn a_lost_report_is_found_with_its_nearest() {
    let make = || {
        let mut story = Story::two_logins();
        story.connects_come();
        story.comes(1, 2105, report("login", Some("u1")));
        story
    };
    only(
        make,
        &[(
            Aspect::Lost,
            "expected ftp login from 127.16.0.2 {username=\"u2\", password=\"p\"} (of `h2`); it never came; the nearest is",
        )],
    );
}

#[test]
fn an_extra_report_is_found() {
    let change = |story: &mut Story| {
        story.message(
            2300,
            Message::Report {
                topic: "t".into(),
                report: Report { ts: Some(TS), ip: "127.99.0.1".into(), ..report("login", Some("other")) },
                flaws: vec![],
            },
        );
    };
    after_all(
        change,
        &[(Aspect::Extra, "ftp login from 127.99.0.1 {username=\"other\", password=\"p\"} came 1300.000 ms")],
    );
}

#[test]
fn a_duplicate_and_a_stale_report_differ() {
    let twice = |story: &mut Story| story.comes(2, 2206, report("login", Some("u2")));
    after_all(twice, &[(Aspect::Duplicate, "once; it came again 1.000 ms later")]);
    let stale = |story: &mut Story| story.comes(1, 2400, report("login", Some("u1")));
    after_all(stale, &[(Aspect::Stale, "came again 295.000 ms later, after others of its minipot")]);
}

#[test]
fn a_report_from_before_the_case_is_stale() {
    let old = |story: &mut Story| {
        let report = Report { ts: Some(0), ..report("login", Some("old")) };
        let message = Message::Report { topic: "t".into(), report, flaws: vec![] };
        story.message(2300, message);
    };
    // 1970-01-01 00:00:02 is when the clock of this history is 4 s.
    let make = |offset_ns: i64| {
        let mut story = Story::two_logins();
        story.connects_come();
        story.logins_come();
        old(&mut story);
        story.settles(5000);
        story.at(6000, Source::Ebpf, Event::Fence { began: Timestamp(6_000_000_000), cpus: 2, seen: 2 });
        let mut run = run();
        run.realtime.offset_ns = offset_ns;
        let history = History::new(run, story.records);
        check(Aspect::Stale).judge(&Slice::of(&history, &case()).expect("the case began"))
    };
    says(&make(4_000_000_000), "fail", "with the `ts` 0, from before the case");
    assert!(make(0).passed());
}

#[test]
fn a_report_of_a_handler_of_an_earlier_case_is_stale() {
    let from = |ip: &'static str, own: Option<&'static str>| {
        move |story: &mut Story| {
            for record in &mut story.records {
                if let Event::Handler(Handling { step: HandlerStep::Start { address, .. }, .. }) = &mut record.event {
                    *address = own.map(|own| own.parse().expect("an address"));
                }
            }
            let report = Report { ts: Some(TS), ip: ip.into(), ..report("login", Some("other")) };
            story.message(2300, Message::Report { topic: "t".into(), report, flaws: vec![] });
        }
    };
    for ip in ["127.16.4.3", "127.16.0.200"] {
        after_all(from(ip, Some("127.16.5.1")), &[(Aspect::Stale, "from the address of a handler of an earlier case")]);
    }
    // Handlers that speak IPv6 have no address of their own.
    after_all(from("127.16.4.3", None), &[(Aspect::Stale, "a handler of an earlier case")]);
    after_all(from("127.240.0.1", None), &[(Aspect::Extra, "no report that nobody brought about")]);
    // A handler of the case itself, one that is still to come, and addresses that no handler has.
    for ip in ["127.16.5.2", "127.16.6.1", "127.15.255.1", "127.0.0.1", "::1", "::ffff:127.16.4.3", "nobody"] {
        after_all(from(ip, Some("127.16.5.1")), &[(Aspect::Extra, "no report that nobody brought about")]);
    }
}

#[test]
fn a_wrong_field_names_what_differs() {
    let make = |wrong: Report| {
        move || {
            let mut story = Story::two_logins();
            story.connects_come();
            story.comes(1, 2105, report("login", Some("u1")));
            story.comes(2, 2205, wrong.clone());
            story
        }
    };
    only(make(report("login", Some("u"))), &[(Aspect::Fields, "`data.username` is \"u\", not \"u2\"")]);
    only(
        make(report("invalid", None)),
        &[(Aspect::Fields, "`action` is \"invalid\", not \"login\", `data` is missing")],
    );
    let mut short = report("login", Some("u2"));
    short.data.iter_mut().for_each(|data| drop(data.pop()));
    only(make(short), &[(Aspect::Fields, "`data.password` is missing")]);
    let capital = Report { kind: "FTP".into(), ..report("login", Some("u2")) };
    only(make(capital), &[(Aspect::Fields, "`type` is \"FTP\", not \"ftp\"")]);
    let mut turned = report("login", Some("u2"));
    turned.data.iter_mut().for_each(|data| data.reverse());
    only(make(turned), &[(Aspect::KeyOrder, "they stand as password, username")]);
}

#[test]
fn cross_talk_is_a_wrong_field() {
    let make = || {
        let mut story = Story::two_logins();
        story.connects_come();
        story.comes(1, 2105, report("login", Some("u2")));
        story.comes(2, 2205, report("login", Some("u2")));
        story
    };
    only(make, &[(Aspect::Fields, "`data.username` is \"u2\", not \"u1\"")]);
}

#[test]
fn departures_from_the_wire_format_are_told_apart() {
    for (flaw, aspect, part) in [
        (
            Flaw::WrongType { field: "data.password".into(), wanted: "str".into(), found: "bin".into() },
            Aspect::Types,
            "`data.password` is bin, not str",
        ),
        (Flaw::KeyOrder { found: vec!["ip".into(), "ts".into()] }, Aspect::KeyOrder, "in the order ip, ts"),
        (Flaw::Unexpected { field: "port".into() }, Aspect::Fields, "`port` should not be there"),
        (Flaw::Trailing { bytes: 3 }, Aspect::Types, "3 bytes follow"),
    ] {
        let make = || {
            let mut story = Story::two_logins();
            story.connects_come();
            story.comes(1, 2105, report("login", Some("u1")));
            story.flawed(2, 2205, report("login", Some("u2")), vec![flaw.clone()]);
            story
        };
        only(make, &[(aspect, part)]);
    }
    let garbage = Message::Undecodable { reason: "it has 3 frames".into(), frames: vec![] };
    after_all(|story| story.message(2300, garbage.clone()), &[(Aspect::Readable, "it has 3 frames")]);
}

#[test]
fn a_wrong_topic_is_named() {
    let make = || {
        let mut story = Story::two_logins();
        story.connects_come();
        story.comes(1, 2105, report("login", Some("u1")));
        let report = Report { ts: Some(TS), ip: "127.16.0.2".into(), ..report("login", Some("u2")) };
        story.message(2205, Message::Report { topic: "t/ftp".into(), report, flaws: vec![] });
        story
    };
    only(make, &[(Aspect::Topic, "it is `t/ftp`")]);
}

#[test]
fn the_order_within_a_connection_and_after_a_reply_is_judged() {
    let within = || {
        let mut story = Story::two_logins();
        story.comes(2, 2011, report("connect", None));
        story.comes(1, 2105, report("login", Some("u1")));
        story.comes(1, 2110, report("connect", None));
        story.comes(2, 2205, report("login", Some("u2")));
        story
    };
    only(within, &[(Aspect::Order, "expected ftp connect from 127.16.0.1 (of `h1`) before ftp login")]);
    // The reply to the first login was read before the second was sent.
    let across = || {
        let mut story = Story::two_logins();
        story.connects_come();
        story.comes(2, 2205, report("login", Some("u2")));
        story.comes(1, 2206, report("login", Some("u1")));
        story
    };
    only(across, &[(Aspect::Order, "it came 1.000 ms after it")]);
    // Another minipot's interleave.
    let interleaved = || {
        let mut story = Story::two_logins();
        story.connects_come();
        let smtp = Report { kind: "smtp".into(), ..report("login", Some("u3")) };
        story.says(2, 2300, smtp.clone());
        story.comes(2, 2301, smtp);
        story.logins_come();
        story
    };
    only(interleaved, &[]);
}

#[test]
fn a_time_out_of_its_window_is_found() {
    for (ts, part) in [(0, "1.100 s before that"), (9, "5.895 s after that")] {
        let make = || {
            let mut story = Story::two_logins();
            story.connects_come();
            story.comes(1, 2105, Report { ts: Some(ts), ..report("login", Some("u1")) });
            story.comes(2, 2205, report("login", Some("u2")));
            story
        };
        only(make, &[(Aspect::Time, part)]);
    }
}

#[test]
fn a_late_report_is_found() {
    let make = || {
        let mut story = Story::two_logins();
        story.connects_come();
        story.comes(1, 2105, report("login", Some("u1")));
        story.comes(2, 4000, report("login", Some("u2")));
        story
    };
    only(make, &[(Aspect::Late, "it came after 1790 ms")]);
    // The system found its peer again only then.
    let unreachable = || {
        let mut story = make();
        story.at(3900, Source::Reports, Event::Reports(ReportsChange::Connected));
        story
    };
    only(unreachable, &[]);
}

//! Whatever a system, a suite or a check says: programs can read the reports, and a terminal only shows them.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use proptest::prelude::*;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event as Xml};

use super::json::Line;
use super::{Report, json, junit, terminal};
use crate::checks::metrics::{Metrics, Rtt};
use crate::checks::port_window::Measured;
use crate::checks::{CaseJudgement, CheckJudgement, Finding, Judgement, SuiteJudgement, Verdict};
use crate::history::properties::arbitrary;
use crate::history::{CaseId, PlannedCase};
use crate::properties::{config, text};

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(Verdict::Pass),
        (text(), text(), prop::collection::vec(text(), 0..3))
            .prop_map(|(expected, seen, around)| Verdict::Fail(Finding { expected, seen, around })),
        text().prop_map(|reason| Verdict::Unknown { reason }),
    ]
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![0.0..1e5, any::<f64>().prop_filter("finite", |number| number.is_finite())]
}

fn metrics() -> impl Strategy<Value = Metrics> {
    let rtt = any::<Option<(u64, u64, u64)>>();
    let errors = prop::collection::vec(text(), 0..3);
    (number(), number(), any::<(u64, u64, u64, u64, u64)>(), rtt, errors).prop_map(
        |(duration, transfer, counts, rtt, errors)| {
            let mut metrics = Metrics::default();
            metrics.duration_ms = duration;
            metrics.transfer_ms = transfer;
            (
                metrics.operations,
                metrics.operations_ok,
                metrics.bytes_sent,
                metrics.bytes_received,
                metrics.transfer_bytes,
            ) = counts;
            metrics.rtt =
                rtt.map(|(count, p50_ns, max_ns)| Rtt { count, p50_ns, p90_ns: p50_ns, p99_ns: max_ns, max_ns });
            metrics.errors = errors;
            metrics
        },
    )
}

fn measured() -> impl Strategy<Value = Measured> {
    let edges = (prop::option::of(number()), prop::option::of(number()), prop::option::of(number()));
    (text(), arbitrary::endpoint(), edges, number(), (prop::option::of(text()), prop::option::of(text()))).prop_map(
        |(port, endpoint, edges, uncertainty_ms, (closed_by, reopened_by))| Measured {
            port,
            endpoint,
            closed_after_trigger_ms: edges.0,
            reopened_after_close_ms: edges.1,
            reopened_after_trigger_ms: edges.2,
            uncertainty_ms,
            closed_by,
            reopened_by,
        },
    )
}

fn check() -> impl Strategy<Value = CheckJudgement> {
    (text(), verdict()).prop_map(|(name, verdict)| CheckJudgement { name, verdict })
}

fn case() -> impl Strategy<Value = CaseJudgement> {
    let planned = (text(), "[0-9.]{1,5}", text(), text()).prop_map(|(suite, number, title, spec)| PlannedCase {
        case: CaseId { suite, number },
        title,
        spec,
    });
    let parts = (
        prop::collection::vec(check(), 0..3),
        prop::collection::vec(measured(), 0..2),
        prop::collection::vec(text(), 0..2),
    );
    (planned, verdict(), parts, metrics()).prop_map(|(planned, verdict, (checks, windows, endings), metrics)| {
        CaseJudgement { planned, verdict, checks, windows, endings, agreement: None, metrics }
    })
}

fn report() -> impl Strategy<Value = Report> {
    let cases = prop::collection::vec(case(), 0..3);
    let rest = (verdict(), prop::collection::vec(text(), 0..3), any::<u8>());
    let rung = prop::option::of((text(), any::<u64>()));
    (arbitrary::run(), cases, prop::collection::vec(check(), 0..3), metrics(), rung, rest).prop_map(
        |(run, cases, system, metrics, rung, (verdict, notes, exit_code))| {
            let suites =
                cases.iter().map(|case| SuiteJudgement::of(&case.planned.case.suite, std::slice::from_ref(case)));
            let suites = suites.collect();
            let judgement = Judgement { rung, suites, cases, system, verdict, metrics };
            Report { run, judgement, notes, exit_code }
        },
    )
}

/// Characters that move the cursor, change colours, or turn the order of what follows.
fn acts_on_a_terminal(character: char) -> bool {
    (character.is_control() && character != '\n')
        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
}

/// Whether it is that of a test; its attributes must be readable.
fn is_test(tag: &BytesStart<'_>) -> bool {
    tag.attributes().for_each(|attribute| drop(attribute.unwrap().normalized_value(XmlVersion::Explicit1_0).unwrap()));
    tag.name().as_ref() == b"testcase"
}

proptest! {
    #![proptest_config(config(120))]

    #[test]
    fn report_json_reads_back_equal(report in report()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        json::write(&report, &path).unwrap();
        let read: Report = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        prop_assert_eq!(&read.run, &report.run);
        prop_assert_eq!(&read.judgement, &report.judgement);
        prop_assert_eq!((&read.notes, read.exit_code), (&report.notes, report.exit_code));
    }

    #[test]
    fn json_lines_are_one_line_each(report in report(), place in prop::collection::vec(1u8.., 0..20)) {
        use std::os::unix::ffi::OsStrExt;
        let place = Path::new(std::ffi::OsStr::from_bytes(&place));
        let place = place.to_string_lossy();
        let run = Line::Run { run: &report.run, watched_by: "nobody", place: place.clone() };
        let end = Line::End { verdict: "pass", exit_code: 0, place, report: &report };
        for line in [run, end].into_iter().chain(report.judgement.cases.iter().map(Line::Case)) {
            let line = json::bytes(&line).unwrap();
            prop_assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&line).is_ok());
        }
    }

    #[test]
    fn junit_xml_is_well_formed(report in report()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("junit.xml");
        junit::write(&report, &path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        // XML 1.0, section 2.2.
        let is_xml = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
        prop_assert!(text.chars().all(is_xml), "{:?}", text.chars().find(|c| !is_xml(*c)));
        let mut reader = quick_xml::Reader::from_str(&text);
        let (mut depth, mut tests) = (0, 0);
        loop {
            match reader.read_event().unwrap() {
                Xml::Eof => break,
                Xml::Start(tag) => {
                    depth += 1;
                    tests += usize::from(is_test(&tag));
                }
                Xml::Empty(tag) => tests += usize::from(is_test(&tag)),
                Xml::End(_) => depth -= 1,
                _ => {}
            }
        }
        prop_assert_eq!((depth, tests), (0, report.judgement.cases.len() + report.judgement.system.len()));
    }

    #[test]
    fn a_terminal_gets_nothing_to_act_on(report in report()) {
        let text = terminal::render(&report);
        prop_assert_eq!(text.chars().find(|c| acts_on_a_terminal(*c)), None);
        for case in &report.judgement.cases {
            for line in terminal::lines_of_case(case) {
                prop_assert_eq!(line.chars().find(|c| acts_on_a_terminal(*c) || *c == '\n'), None);
            }
        }
    }
}

#[test]
fn what_acts_on_a_terminal_is_spelled_out() {
    assert_eq!(terminal::plain("a\u{1b}[31mb\u{202e}c\r\nd\té"), "a\\u{1b}[31mb\\u{202e}c\\r\nd é");
}

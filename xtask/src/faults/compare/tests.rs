//! Everything that can be wrong with a run under a fault is told.

use super::super::expected::{Ends, May};
use super::super::suite::Verdict;
use super::super::suite::tests::case;
use super::*;

fn fails(cases: &[&str], check: &str, finding: &str) -> Fails {
    let cases = cases.iter().map(ToString::to_string).collect();
    Fails { cases, check: check.into(), finding: finding.into() }
}

/// It must fail 2.5 by a window that closes too late.
fn late() -> Fault {
    let fails = vec![fails(&["2.5-2.6"], "window", "ms too late")];
    Fault { name: "late".into(), effect: "e".into(), fails, ..Fault::default() }
}

fn outcome(exit: i32, cases: Vec<Case>) -> Outcome {
    Outcome { exit, cases, ..Outcome::default() }
}

fn complaints(fault: &Fault, cases: Vec<Case>) -> Vec<String> {
    let compared = Compared::new(fault, &outcome(100, cases));
    assert_eq!(compared.as_expected(), compared.complaints().is_empty());
    compared.complaints()
}

fn says(complaints: &[String], part: &str) {
    assert!(complaints.len() == 1 && complaints[0].contains(part), "{complaints:?} without `{part}`");
}

#[test]
fn exactly_what_should_fail_does() {
    let cases = vec![case("1.1", "pass", "c", ""), case("2.5", "fail", "window of p", "it was 5 ms too late")];
    let compared = Compared::new(&late(), &outcome(100, cases));
    assert!(compared.as_expected());
    assert_eq!(compared.cells[0].mark, Mark::Passed);
    assert_eq!(
        compared.cells[1].mark,
        Mark::Caught(vec![("window of p".into(), "expected x; it was 5 ms too late".into())])
    );
    assert_eq!(compared.in_short(), "caught by 1 of 2");
}

#[test]
fn a_case_that_should_fail_and_does_not_is_missed() {
    says(&complaints(&late(), vec![case("2.5", "pass", "c", "")]), "2.5 was expected to fail, and is pass");
    says(&complaints(&late(), vec![case("2.6", "unknown", "c", "lost")]), "and is unknown c: lost");
}

#[test]
fn a_case_that_fails_by_something_else_is_told() {
    let other = case("2.5", "fail", "window of p", "it never left LISTEN");
    says(&complaints(&late(), vec![other]), "failed by another finding");
    let elsewhere = case("2.5", "fail", "alive", "5 ms too late");
    says(&complaints(&late(), vec![elsewhere]), "no `window` with `ms too late`");
}

#[test]
fn a_case_that_should_pass_and_does_not_is_told() {
    says(&complaints(&late(), vec![case("1.1", "fail", "alive", "dead")]), "which was not expected: alive");
    says(&complaints(&late(), vec![case("1.1", "unknown", "coverage", "lost")]), "1.1 is unknown");
}

#[test]
fn evidence_that_a_fault_takes_away_is_missed_by_its_reason() {
    let unknown = vec![fails(&["2.5"], "watched", "died")];
    let dies = Fault { name: "dies".into(), effect: "e".into(), unknown, ..Fault::default() };
    assert_eq!(complaints(&dies, vec![case("2.5", "unknown", "watched", "it died")]), Vec::<String>::new());
    let pass = vec![case("2.5", "pass", "watched", "")];
    says(&complaints(&dies, pass), "2.5 was expected to be unknown, and is pass");
    says(&complaints(&dies, vec![case("2.5", "fail", "watched", "it died")]), "to be unknown, and is fail");
    let lost = vec![case("2.5", "unknown", "watched", "it lost records")];
    says(&complaints(&dies, lost), "is unknown by another finding than expected: no `watched` with `died`");
    says(&complaints(&dies, vec![case("2.6", "unknown", "watched", "it died")]), "2.6 is unknown");
}

#[test]
fn a_finding_may_name_the_effect_in_the_records_around_it() {
    let mut around: serde_json::Value = serde_json::json!({"verdict": "fail", "expected": "x", "seen": "82 of 100"});
    around["around"] = serde_json::json!(["one: timeout", "another: 5 ms too late"]);
    let verdict: Verdict = serde_json::from_value(around).expect("a verdict");
    let mut long = case("2.5", "fail", "window of p", "82 of 100");
    long.checks[0].verdict = verdict;
    assert_eq!(complaints(&late(), vec![long]), Vec::<String>::new());
}

#[test]
fn what_may_be_may_be_and_nothing_else() {
    let may = vec![May { cases: vec!["2".into()], be: vec!["unknown".into()], why: "w".into() }];
    let fault = Fault { may, ..late() };
    let allowed = vec![case("2.5", "unknown", "c", "left elsewhere"), case("2.9", "unknown", "c", "left elsewhere")];
    assert_eq!(complaints(&fault, allowed), Vec::<String>::new());
    says(&complaints(&fault, vec![case("2.9", "fail", "c", "wrong")]), "not expected");
    says(&complaints(&fault, vec![case("2.5", "pass", "c", "")]), "expected to fail");
}

#[test]
fn the_system_as_a_whole_counts() {
    let check = |word: &str, seen: &str| {
        let verdict: Verdict =
            serde_json::from_value(serde_json::json!({"verdict": word, "expected": "x", "seen": seen}))
                .expect("a verdict");
        Check { name: "server lives and stops".into(), verdict }
    };
    let ignores = Fault { fails: Vec::new(), system: vec![fails(&[], "server", "ignored")], ..late() };
    let run = |fault: &Fault, system: Vec<Check>| {
        let cases = vec![case("1.1", "pass", "c", "")];
        Compared::new(fault, &Outcome { system, ..outcome(100, cases) }).complaints()
    };
    assert_eq!(run(&ignores, vec![check("fail", "it ignored the signal")]), Vec::<String>::new());
    says(&run(&ignores, vec![check("pass", "")]), "was expected to fail");
    says(&run(&late(), vec![check("fail", "it died")]), "not expected");
}

#[test]
fn a_run_that_does_not_come_to_its_cases_is_told_unless_it_should_not() {
    let broken = Outcome { said: "error: no\n".into(), ..outcome(96, Vec::new()) };
    says(&Compared::new(&late(), &broken).complaints(), "it ended with 96: error: no");
    let dies = Fault { ends: Some(Ends { exit: 96, says: "error*no".into() }), ..late() };
    assert!(Compared::new(&dies, &broken).as_expected());
    says(&Compared::new(&dies, &outcome(0, Vec::new())).complaints(), "it should have ended with 96");
    let says_else = Outcome { said: "error: yes".into(), ..outcome(96, Vec::new()) };
    assert!(!Compared::new(&dies, &says_else).as_expected());
}

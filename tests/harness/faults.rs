//! Each fault of the reference tunnel makes just the cases fail that should.

use crate::support::run;

/// Runs these cases on the reference with a fault: exactly `failing` fail, all others pass, and the finding of the first
/// that fails contains `finding`.
fn caught(fault: &str, cases: &[&str], failing: &[&str], finding: &str) {
    let fault = format!("fault={fault}");
    let mut arguments = vec!["--sut", "reference", "--set", fault.as_str()];
    for case in cases {
        arguments.extend(["--case", case]);
    }
    let ran = run(&arguments);
    assert_eq!(ran.with("fail"), failing, "{}", ran.stderr);
    assert_eq!(ran.with("unknown"), Vec::<&str>::new(), "{}", ran.stderr);
    assert_eq!(ran.cases.len(), cases.len(), "{}", ran.stderr);
    ran.exits_with(100);
    let text = ran.finding(failing[0]);
    assert!(text.contains(finding), "no `{finding}` in {text}");
}

#[test]
fn closes_late() {
    caught("closes-late", &["1.1", "1.5", "2.5", "2.9"], &["2.5", "2.9"], "ms too late");
}

#[test]
fn reopens_early() {
    caught("reopens-early", &["1.5", "2.5", "2.9", "2.13"], &["2.5", "2.9"], "ms too early");
}

#[test]
fn corrupts_one_byte() {
    let cases = ["1.1", "1.2", "3.1", "3.3", "4.1", "5.1", "7.1"];
    caught("corrupts-one-byte", &cases, &["3.1", "3.3", "7.1"], "1 bytes changed at offset 100000");
}

#[test]
fn routes_to_the_wrong_backend() {
    caught(
        "wrong-backend",
        &["1.1", "1.2", "1.3", "1.4", "5.1"],
        &["1.1", "1.3", "1.4"],
        "reached backend of client 2",
    );
}

#[test]
fn drops_the_triggering_connection() {
    caught("drops-trigger", &["1.5", "2.1", "2.5"], &["2.1"], "the system ended it");
}

#[test]
fn never_closes() {
    caught("never-closes", &["1.1", "2.5", "2.9"], &["2.5"], "it never left LISTEN");
}

#[test]
fn does_not_reopen() {
    caught("no-reopen", &["2.5"], &["2.5"], "it did not in");
}

#[test]
fn ignores_the_trigger() {
    caught("ignores-trigger", &["1.1", "1.5"], &["1.5"], "it never left LISTEN");
}

#[test]
fn flaps() {
    caught("flaps", &["2.5"], &["2.5"], "it closed again");
}

#[test]
fn closes_a_port_that_must_not_move() {
    caught("moves-active", &["1.1", "2.9"], &["2.9"], "to listen throughout");
}

#[test]
fn stalls_a_stream() {
    caught("stalls-stream", &["1.1", "3.1"], &["3.1"], "without progress");
}

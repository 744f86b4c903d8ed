//! What was not seen is unknown: never a pass, never a failure.

use crate::support::run;

#[test]
fn lost_records_make_the_verdict_unknown() {
    let loses = ["--ring-bytes", "65536", "--sabotage", "lose-records"];
    let ran = run(&[&["--sut", "reference", "--case", "7.1"][..], &loses[..]].concat());
    ran.exits_with(97);
    assert_eq!(ran.with("unknown"), ["7.1"]);
    assert!(ran.finding("7.1").contains("were lost"), "{}", ran.finding("7.1"));
}

#[test]
fn a_dead_observer_makes_the_verdict_unknown() {
    let ran = run(&["--sut", "reference", "--case", "1.1", "--case", "1.2", "--sabotage", "kill-reader"]);
    ran.exits_with(97);
    assert_eq!(ran.with("pass"), Vec::<&str>::new());
    assert!(ran.finding("1.1").contains("the observer died"), "{}", ran.finding("1.1"));
    ran.says("1.2");
}

#[test]
fn a_system_that_cannot_be_brought_to_where_a_case_begins_makes_it_unknown() {
    // A system without a second client. (That a trigger which is refused leaves its case unknown: see `own_suite`.)
    let whole = include_str!("../tunnel/profiles/reference.toml");
    let without = &whole[..whole.find("[[process]]\nname = \"client2\"").unwrap()];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lonely.toml");
    std::fs::write(&path, without).unwrap();
    let ran = run(&["--sut", path.to_str().unwrap(), "--case", "2.5"]);
    ran.exits_with(97);
    assert_eq!(ran.with("unknown"), ["2.5"], "{}", ran.stderr);
    let finding = ran.finding("2.5");
    assert!(finding.contains("these ports do not listen: client 2 tun1"), "{finding}");
}

#[test]
fn without_privileges_windows_are_judged_and_connections_are_not() {
    let ran = run(&["--sut", "reference", "--case", "2.5", "--case", "1.1", "--observer", "sock-diag"]);
    ran.exits_with(97);
    assert_eq!(ran.with("pass"), ["2.5"], "{}", ran.stderr);
    assert_eq!(ran.with("unknown"), ["1.1"]);
    assert!(ran.finding("1.1").contains("sees no connections"), "{}", ran.finding("1.1"));
    ran.says("uncertainty up to");
}

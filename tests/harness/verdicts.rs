//! Parts of the tunnel suite, and its list.

use serde_json::Value;

use crate::support::{run, suites};

#[test]
fn a_filter_runs_alone() {
    let ran = run(&["--sut", "reference", "--case", "2.6"]);
    ran.exits_with(0);
    assert_eq!(ran.with("pass"), ["2.6"]);
}

#[test]
fn a_group_runs_alone_and_says_which_rung_watched() {
    for (observer, rung) in [("tp-btf", "tp_btf"), ("raw-tp", "raw_tp"), ("tracepoint", "tracepoint")] {
        let arguments = ["--sut", "reference", "--suite", "tunnel/echo", "--case", "1.1-1.2", "--observer", observer];
        let ran = run(&arguments);
        ran.exits_with(0).says(&format!("witness: {rung}"));
        assert_eq!(ran.with("pass"), ["1.1", "1.2"]);
    }
}

#[test]
fn the_list_has_61_cases() {
    let listed = suites(&["list", "tunnel", "--json"]).output().unwrap();
    assert!(listed.status.success());
    let lines: Vec<Value> =
        String::from_utf8(listed.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = |group: &str| lines.iter().filter(|line| line["suite"] == group).count();
    let groups = ["echo", "failover", "data-quality", "ping-pong", "concurrent", "impact", "punishment"];
    assert_eq!(groups.map(|group| count(&format!("tunnel/{group}"))), [9, 13, 10, 10, 8, 5, 6]);
    assert_eq!(lines.len(), 61);
    assert!(lines.iter().all(|line| !line["checks"].as_array().unwrap().is_empty()));
}

//! The correct reference passes, and what was recorded is judged the same again.

use serde_json::Value;

use crate::support::{run, suites};

fn json(path: &std::path::Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_correct_reference_passes_every_case() {
    let ran = run(&["--sut", "reference"]);
    assert_eq!(ran.with("pass").len(), 61, "{}", ran.stderr);
    ran.exits_with(0);

    let report = json(&ran.place().join("report.json"));
    assert_eq!(report["exit_code"], 0);
    assert_eq!(report["cases"].as_array().unwrap().len(), 61);
    let windows: Vec<&Value> =
        report["cases"].as_array().unwrap().iter().flat_map(|case| case["windows"].as_array().unwrap()).collect();
    assert!(windows.len() >= 16, "both edges of two ports in eight cases at the least");
    assert!(windows.iter().all(|window| window["reopened_after_close_ms"].is_f64()));
    let junit = std::fs::read_to_string(ran.place().join("junit.xml")).unwrap();
    assert!(junit.contains("failures=\"0\"") && junit.contains("2.13 every tunnel works"), "{junit}");
    for process in ["server", "client1", "client2"] {
        assert!(ran.place().join(format!("sut/{process}.log")).metadata().unwrap().len() > 0);
    }

    // The same verdicts from the history alone, without privileges.
    let mut judge = suites(&["judge", "--json"]);
    std::os::unix::process::CommandExt::uid(&mut judge, 65534);
    make_readable(ran.place());
    let judged = judge.arg(ran.place()).output().unwrap();
    assert_eq!(judged.status.code(), Some(0), "{}", String::from_utf8_lossy(&judged.stderr));
    let again: Value =
        serde_json::from_slice(judged.stdout.split(|byte| *byte == b'\n').rev().nth(1).unwrap()).unwrap();
    for part in ["cases", "system", "metrics", "verdict", "rung"] {
        assert_eq!(again["report"][part], report[part], "{part}");
    }
}

/// Temporary folders are for their owner alone.
fn make_readable(place: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    for folder in place.ancestors().take(2) {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

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

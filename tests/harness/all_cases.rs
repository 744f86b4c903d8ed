//! Whole suites on their correct references: every case passes, and what was recorded is judged the same again.
//!
//! Each takes minutes, mostly waiting. Tests begin in the order of their names, so these begin first and the others run meanwhile.

use serde_json::Value;

use crate::minipot;
use crate::support::{run, suites};

fn json(path: &std::path::Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_correct_reference_passes_the_tunnel_suite() {
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
fn the_correct_reference_passes_the_minipot_suite_and_its_reports_are_kept() {
    let ran = minipot::run(&[]);
    ran.exits_with(0);
    assert_eq!(ran.with("pass").len(), ran.cases.len(), "{}", ran.stderr);
    assert!(ran.cases.len() >= 233, "{} cases", ran.cases.len());
    let lines = |kind: &str| {
        let path = ran.place().join(format!("reports/minipot-ftp-1.21.{kind}.jsonl"));
        // What came holds the welcome too.
        std::fs::read_to_string(path).unwrap().lines().filter(|line| line.contains("\"action\"")).count()
    };
    // The connect and the login of the case, on both sides.
    assert_eq!((lines("expected"), lines("received")), (2, 2));
    let judged = suites(&["judge"]).arg(ran.place()).output().unwrap();
    assert_eq!(judged.status.code(), Some(0), "{}", String::from_utf8_lossy(&judged.stderr));
}

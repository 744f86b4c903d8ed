//! Every benchmark at a thousandth of its size: it runs, and each of its figures is a number.

#![allow(clippy::unwrap_used)]

use std::process::Command;

use serde_json::Value;

/// Measures at a thousandth and returns the section.
fn measured(name: &str) -> Value {
    let output =
        Command::new(env!("CARGO_BIN_EXE_portwitness-bench")).args(["measure", name, "0.001"]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} ended with {}: {errors}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// JSON has no way to write a number that is none: serde_json makes it null.
fn assert_finite(name: &str, at_least: usize) {
    let section = measured(name);
    let figures = section["figures"].as_array().unwrap();
    assert!(figures.len() >= at_least, "{name} has {} figures: {section}", figures.len());
    for figure in figures {
        assert!(figure["value"].is_f64() || figure["value"].is_u64(), "{name}: {figure}");
    }
}

fn value(section: &Value, what: &str) -> f64 {
    let figures = section["figures"].as_array().unwrap();
    figures.iter().find(|figure| figure["what"] == what).unwrap()["value"].as_f64().unwrap()
}

#[test]
fn unobserved_calls() {
    assert_finite("unobserved", 16);
}

#[test]
fn observed_calls() {
    assert_finite("observed", 12);
}

#[test]
fn cpu_an_event() {
    assert_finite("events", 24);
}

#[test]
fn nothing_is_lost_or_every_loss_is_counted() {
    let section = measured("loss");
    for label in ["windows only", "with causes"] {
        assert_eq!(value(&section, &format!("{label}: generated less recorded and lost")), 0.0, "{section}");
        assert!(value(&section, &format!("{label}: events generated")) >= 100.0, "{section}");
    }
}

#[test]
fn edges_of_windows() {
    assert_finite("edges", 10);
}

#[test]
fn contradictions() {
    assert_finite("contradictions", 5);
}

#[test]
fn start_and_fence() {
    assert_finite("start", 9);
}

#[test]
fn ping_pong() {
    assert_finite("pingpong", 8);
}

#[test]
fn echo_and_hash() {
    assert_finite("echo", 6);
}

#[test]
fn memory() {
    assert_finite("memory", 6);
}

#[test]
fn growth() {
    assert_finite("growth", 15);
}

#[test]
fn a_benchmark_that_is_not_there_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_portwitness-bench")).args(["run", "nonsense"]).output().unwrap();
    assert_eq!(output.status.code(), Some(96));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("no benchmark `nonsense`: choose from unobserved, observed"), "{errors}");
}

#[test]
fn no_report_is_lost() {
    let section = measured("reports");
    assert_eq!(value(&section, "observed: sent less recorded"), 0.0, "{section}");
    assert!(value(&section, "observed: recorded") >= 200.0, "{section}");
}

#[test]
fn without_the_module_scap_says_where_to_measure() {
    if std::path::Path::new("/dev/scap0").exists() {
        return;
    }
    let output =
        Command::new(env!("CARGO_BIN_EXE_portwitness-bench")).args(["measure", "scap", "0.001"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(96), "{said}");
    assert!(said.contains("cargo xtask bench --vm") && said.contains("/dev/scap0"), "{said}");
}

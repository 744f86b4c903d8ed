//! The matrix of `cargo xtask faults`, in short: each fault of the reference makes just the cases fail that should.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Started, eventually, processes_with};

/// `xtask faults` on the suites that were built for this test, its runs kept in `runs`.
fn faults(runs: &Path, arguments: &[&str]) -> Command {
    let suites = Path::new(env!("CARGO_BIN_EXE_suites"));
    let xtask = suites.with_file_name("xtask");
    assert!(xtask.exists(), "{} is not built: cargo xtask test does that", xtask.display());
    let mut command = Command::new(xtask);
    command.args(["faults", "--suites"]).arg(suites).arg("--runs").arg(runs).args(arguments);
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// Suites that run at once. They sleep most of the time; where the CPU is emulated, `cargo xtask test --vm` asks for fewer.
fn jobs() -> String {
    std::env::var("PORTWITNESS_TEST_JOBS").unwrap_or_else(|_| "10".into())
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    let runs = tempfile::tempdir().unwrap();
    let Output { status, stdout, stderr } = faults(runs.path(), arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

#[test]
fn every_fault_is_caught_by_the_cases_that_should() {
    let (exit, matrix, said) = run(&["--short", "--jobs", &jobs()]);
    assert_eq!(exit, 0, "{matrix}\n{said}");
    let summary = matrix.lines().last().unwrap();
    let (caught, of) = summary.split_once(" of ").unwrap();
    assert!(of.starts_with(&format!("{caught} faults are caught")), "{summary}");
    assert!(caught.parse::<u32>().unwrap() >= 29, "{summary}");
}

#[test]
fn every_fault_of_the_reference_minipot_is_caught() {
    let (exit, matrix, said) = run(&["--suite", "minipot", "--short", "--jobs", &jobs()]);
    assert_eq!(exit, 0, "{matrix}\n{said}");
    let summary = matrix.lines().last().unwrap();
    let (caught, of) = summary.split_once(" of ").unwrap();
    assert!(of.starts_with(&format!("{caught} faults are caught")), "{summary}");
    assert!(caught.parse::<u32>().unwrap() >= 56, "{summary}");
}

#[test]
fn a_matrix_that_is_other_than_expected_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faults.toml");
    let wrong = "[[fault]]\nname = 'flaps'\neffect = 'e'\nfails = [{ cases = ['1.1'], check = 'c', finding = 'f' }]\n";
    std::fs::write(&path, wrong).unwrap();
    let expectations = ["--expectations", path.to_str().unwrap()];
    let (exit, matrix, said) = run(&[&["flaps", "--case", "1.1", "--case", "2.5"][..], &expectations].concat());
    assert_eq!(exit, 100, "{matrix}\n{said}");
    assert!(matrix.contains("1.1 was expected to fail, and is pass"), "{matrix}");
    assert!(matrix.contains("2.5 failed, which was not expected: window of server tun1"), "{matrix}");
    assert!(matrix.contains("flaps                  M U\n"), "{matrix}");

    let (exit, _, said) = run(&expectations);
    assert!(exit == 96 && said.contains("says nothing of: closes-late"), "{exit} {said}");
    let (exit, _, said) = run(&["flips"]);
    assert!(exit == 2 && said.contains("`flips` is no fault") && said.contains("flaps"), "{exit} {said}");
}

#[test]
fn the_correct_reference_is_counted_under_load() {
    let (exit, counts, said) =
        run(&["--none", "--repeat", "2", "--jobs", "2", "--load", "--case", "1.1", "--case", "3.1"]);
    assert_eq!(exit, 0, "{counts}\n{said}");
    assert!(counts.contains("2 runs of the correct reference: ") && counts.contains(" 0 failed"), "{counts}");
    assert!(said.contains("threads keep the CPUs busy"), "{said}");
}

#[test]
fn an_interrupt_ends_every_suite_in_order() {
    let runs = tempfile::tempdir().unwrap();
    let own = runs.path().to_str().unwrap().to_owned();
    let mut command = faults(runs.path(), &["--none", "--repeat", "3", "--jobs", "2", "--case", "4"]);
    let mut started = Started(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let histories = || {
        let places = std::fs::read_dir(runs.path()).unwrap().flatten();
        places.filter(|place| place.path().join("latest/history.jsonl").exists()).count()
    };
    eventually("two suites run", || histories() == 2);
    let pid = Pid::from_raw(i32::try_from(started.0.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(started.0.wait().unwrap().code(), Some(130));
    // In order: each wrote its report, none was started after that, and nothing of them is left.
    for round in 0..2 {
        assert!(runs.path().join(format!("none-{round}/latest/report.json")).exists(), "run {round} wrote no report");
    }
    assert_eq!(histories(), 2);
    assert_eq!(processes_with(&own), Vec::<u32>::new());
}

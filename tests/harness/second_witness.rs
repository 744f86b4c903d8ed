//! The scap module as a second witness: it agrees, liars and losses are found, and what is lacking is told.
//!
//! Those that need the module are ignored unless they are asked for: it is loaded in a guest (`cargo xtask test`).

mod foreign;
mod storm;
mod together;

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Barrier};

use crate::support::{Ran, run, suites};

fn watched_twice(arguments: &[&str]) -> Ran {
    run(&[&["--sut", "reference", "--second-witness", "scap"][..], arguments].concat())
}

#[test]
fn without_the_module_it_is_told_how_to_get_it() {
    if Path::new("/dev/scap0").exists() {
        return;
    }
    let ran = watched_twice(&["--case", "1.1"]);
    ran.exits_with(96).says("there is no /dev/scap0: the module is not loaded");
    ran.says("cargo xtask kmod load, or run in a VM: cargo xtask run --vm");
    assert_eq!(ran.stderr.lines().filter(|line| line.contains("scap")).count(), 1, "{}", ran.stderr);
    assert!(ran.place.is_none(), "nothing had begun");
    let doctor = suites(&["doctor"]).output().unwrap();
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(said.contains("lacking  second witness scap"), "{said}");
}

#[test]
fn without_calls_to_compare_it_is_a_wrong_command_line() {
    watched_twice(&["--no-causes"]).exits_with(2).says("cannot be used with '--no-causes'");
    watched_twice(&["--observer", "sock-diag", "--network", "host"]).exits_with(2).says("sock-diag sees none");
}

#[test]
#[ignore = "needs the scap module"]
fn two_witnesses_tell_the_same() {
    let ran = watched_twice(&["--case", "1.1", "--case", "2.1", "--case", "7.1"]);
    ran.exits_with(0).says("two witnesses: ").says("calls of 3 cases told alike");
    assert_eq!(ran.with("pass"), ["1.1", "2.1", "7.1"]);
    let judged = suites(&["judge", ran.place().to_str().unwrap()]).output().unwrap();
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
}

#[test]
#[ignore = "needs the scap module"]
fn liars_are_found_by_what_they_lie_about() {
    for (lie, words) in [
        ("scap-skewed-clock", "the times of one call are"),
        ("scap-wrong-fd", "the descriptors differ"),
        ("scap-wrong-result", "the results differ"),
        ("scap-missing-event", "scap did not tell of accept"),
        ("scap-wrong-tuple", "the endpoints differ"),
    ] {
        let ran = watched_twice(&["--case", "2.1", "--sabotage", lie]);
        ran.exits_with(100);
        assert!(ran.finding("2.1").contains(words), "{lie}: {}", ran.finding("2.1"));
    }
}

#[test]
#[ignore = "needs the scap module"]
fn a_second_witness_that_dies_leaves_the_windows_as_they_are() {
    for sabotage in ["scap-kill-reader", "scap-panic-reader"] {
        let ran = watched_twice(&["--case", "2.1", "--sabotage", sabotage]);
        ran.exits_with(97).says("server tun1 127.0.0.11:38001");
        assert!(ran.finding("2.1").contains("the second witness died"), "{}", ran.finding("2.1"));
        let report = std::fs::read_to_string(ran.place().join("report.json")).unwrap();
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        let checks = report["cases"][0]["checks"].as_array().unwrap();
        for check in checks {
            let expected = if check["name"] == "agreement" { "unknown" } else { "pass" };
            assert_eq!(check["verdict"], expected, "{check}");
        }
    }
}

#[test]
#[ignore = "needs the scap module"]
fn a_sixth_reader_is_one_too_many() {
    let (ready, done) = (Arc::new(Barrier::new(6)), Arc::new(Barrier::new(6)));
    let readers: Vec<_> = (0..5)
        .map(|_| {
            let (ready, done) = (Arc::clone(&ready), Arc::clone(&done));
            std::thread::spawn(move || {
                let device = File::open("/dev/scap0");
                ready.wait();
                done.wait();
                drop(device.unwrap());
            })
        })
        .collect();
    ready.wait();
    let ran = watched_twice(&["--case", "1.1"]);
    done.wait();
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    ran.exits_with(96).says("/dev/scap0 is busy: the module has five readers already");
}

//! The scap module as a second witness: it agrees, liars and losses are found, and what is lacking is told.
//!
//! Those that need the module are ignored unless they are asked for: it is loaded in a guest (`cargo xtask vm --scap`).

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier};

use portwitness::history::{Event, Recorder, Source, SyscallPhase};
use portwitness::observers::scap::{ScapObserver, ScapSettings};
use portwitness::observers::{Focus, Observer, Scope};

use crate::observers::stage;
use crate::support::{Ran, run, suites};

const STORM: &str = "PORTWITNESS_TEST_STORM";

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
fn events_that_are_lost_make_it_unknown() {
    let size = Path::new("/sys/module/scap/parameters/g_buffer_bytes_dim");
    // Those of API 1 have one size: see what a storm loses.
    let Ok(before) = std::fs::read_to_string(size) else { return };
    std::fs::write(size, "16384").unwrap();
    let ran = watched_twice(&["--case", "7.1", "--sabotage", "scap-lose-records"]);
    std::fs::write(size, before).unwrap();
    ran.exits_with(97);
    assert!(ran.finding("7.1").contains("scap (ring full)"), "{}", ran.finding("7.1"));
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

/// Calls of a storm, and what the observer made of them.
struct Stormed {
    made: u64,
    recorded: u64,
    lost: u64,
    /// What the observer says at its end.
    sums: Sums,
}

/// How many events the module was to write; how many were read; how many were lost, in each way.
#[derive(Debug)]
struct Sums {
    generated: u64,
    read: u64,
    lost: [u64; 3],
}

impl Sums {
    fn read(text: &str) -> Option<Self> {
        let numbers: Vec<u64> = text.split(' ').filter_map(|word| word.parse().ok()).collect();
        let &[generated, read, full, faults, preempted, _clock_ns] = &numbers[..] else { return None };
        Some(Self { generated, read, lost: [full, faults, preempted] })
    }
}

fn stormed(made: u64, reader_rests: bool) -> Stormed {
    let recorder = Recorder::in_memory(stage::scope().recorder.run().clone());
    let focus = Focus::Children { parent: std::process::id() };
    let scope = Scope { recorder: recorder.clone(), netns: 0, focus };
    let observer = Box::new(ScapObserver::start(scope, ScapSettings::default()).unwrap());
    observer.pause_reader(reader_rests);
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "second_witness::the_storm", "--ignored", "--test-threads=1"])
        .env(STORM, made.to_string())
        .stdout(Stdio::null())
        .status();
    assert!(child.unwrap().success());
    observer.pause_reader(false);
    observer.stop().unwrap();
    let records = recorder.history().records;
    let is_one = |event: &Event| {
        matches!(event, Event::Syscall(call)
            if call.name == "listen" && call.phase == SyscallPhase::Exit(-88) && call.argument == Some(4242))
    };
    let lost = records.iter().filter(|record| record.source == Source::Scap).map(|record| match &record.event {
        Event::Loss { probe, count, .. } => {
            assert!(probe != "scap (unaccounted)", "{count} events are neither recorded nor counted as lost");
            *count
        }
        _ => 0,
    });
    let recorded = records.iter().filter(|record| is_one(&record.event)).count() as u64;
    let sums = records.iter().find_map(|record| match &record.event {
        Event::Note { text } if record.source == Source::Scap => Sums::read(text),
        _ => None,
    });
    let storm = Stormed { made, recorded, lost: lost.sum(), sums: sums.expect("no sums") };
    eprintln!("{} of {made} calls recorded; {:?}", storm.recorded, storm.sums);
    storm
}

/// The storm itself, in a process of its own.
#[test]
#[ignore = "is started by the others"]
fn the_storm() {
    let Ok(calls) = std::env::var(STORM) else { return };
    let no_socket = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
    for _ in 0..calls.parse::<u64>().unwrap() {
        assert_eq!(rustix::net::listen(&no_socket, 4242), Err(rustix::io::Errno::NOTSOCK));
    }
}

#[test]
#[ignore = "needs the scap module"]
fn a_storm_is_recorded_to_the_last_call() {
    let storm = stormed(100_000, false);
    assert_eq!((storm.recorded, storm.lost), (storm.made, 0));
}

#[test]
#[ignore = "needs the scap module"]
fn what_a_storm_loses_is_counted_to_the_last_call() {
    let storm = stormed(400_000, true);
    let Sums { generated, read, lost } = storm.sums;
    assert!(lost[0] > 0 && storm.lost == lost.iter().sum::<u64>(), "{} are told as lost", storm.lost);
    assert!(storm.recorded < storm.made && storm.recorded + storm.lost >= storm.made);
    assert_eq!(generated, read + storm.lost);
}

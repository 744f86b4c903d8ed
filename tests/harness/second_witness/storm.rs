//! More calls than the rings hold: all recorded, or counted as lost, which makes a verdict unknown.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use portwitness::history::{Event, Recorder, Source, SyscallPhase};
use portwitness::observers::scap::{ScapObserver, ScapSettings};
use portwitness::observers::{Focus, Observer, Scope};

use super::watched_twice;
use crate::observers::stage;

const STORM: &str = "PORTWITNESS_TEST_STORM";

/// The size of the rings that the next reader has, as a parameter of the module; those of API 1 have one size, 8 MiB.
const SIZE: &str = "/sys/module/scap/parameters/g_buffer_bytes_dim";

/// Makes the rings overflow while nobody reads them, for as long as it lives.
enum Flood {
    /// They are small: the system's own calls suffice. The size that they had.
    SmallRings(String),
    /// They cannot be: a storm fills them.
    Storm(Child),
}

impl Flood {
    fn begin() -> Self {
        if !Path::new(SIZE).exists() {
            // One that gives way to everybody, so that the windows of the case are kept.
            return Self::Storm(start_storm(u64::MAX, &["nice", "-n", "19"]).spawn().unwrap());
        }
        let before = std::fs::read_to_string(SIZE).unwrap();
        std::fs::write(SIZE, "16384").unwrap();
        Self::SmallRings(before)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        match self {
            Self::SmallRings(before) => std::fs::write(SIZE, before.trim()).unwrap(),
            Self::Storm(child) => {
                child.kill().unwrap();
                child.wait().unwrap();
            }
        }
    }
}

#[test]
#[ignore = "needs the scap module"]
fn events_that_are_lost_make_it_unknown() {
    let flood = Flood::begin();
    let ran = watched_twice(&["--case", "7.1", "--sabotage", "scap-lose-records"]);
    drop(flood);
    ran.exits_with(97);
    assert!(ran.finding("7.1").contains("scap (ring full)"), "{}", ran.finding("7.1"));
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
    assert!(start_storm(made, &["env"]).status().unwrap().success());
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

/// So many calls in a process of its own, which `prefix` starts.
fn start_storm(calls: u64, prefix: &[&str]) -> Command {
    let mut command = Command::new(prefix[0]);
    command.args(&prefix[1..]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "second_witness::storm::the_storm", "--ignored", "--test-threads=1"]);
    command.env(STORM, calls.to_string()).stdout(Stdio::null());
    command
}

/// The storm itself.
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

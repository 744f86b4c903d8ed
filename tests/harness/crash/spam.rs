//! Systems that write without measure, or close what they should write to.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::victim::{Victim, profile};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

#[test]
fn a_log_of_one_gigabyte_is_bounded_and_what_is_missing_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let profile = profile(folder.path(), &format!("yes | head -c {GIB}\nexec \"$0\" \"$@\""));
    let mut victim = Victim::start(&["--sut", profile.to_str().unwrap(), "--case", "1.1"]).begun();
    assert_eq!(victim.ended().code(), Some(0), "{}", victim.said());
    let place = victim.place().unwrap();
    let log = std::fs::metadata(place.join("sut/server.log")).unwrap().len();
    assert!((64 * MIB..65 * MIB).contains(&log), "{log} bytes");
    let history = std::fs::read_to_string(place.join("history.jsonl")).unwrap();
    let note = history.lines().find(|line| line.contains("bytes are missing in the log")).unwrap();
    let (before, _) = note.split_once(" bytes are missing").unwrap();
    let missing: u64 = before.rsplit('"').next().unwrap().parse().unwrap();
    // All but the bound and the last 64 KiB, which the server's own lines have a part of.
    assert!((GIB - 64 * MIB - 64 * 1024..GIB - 64 * MIB).contains(&missing), "{note}");
    assert!(note.contains("log_limit_bytes"), "{note}");
    victim.says("bytes are missing in the log").judges_with(0);
}

#[test]
fn a_run_answers_while_its_system_writes_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let profile = profile(folder.path(), "yes &\nexec \"$0\" \"$@\"");
    let mut victim = Victim::start(&["--sut", profile.to_str().unwrap(), "--suite", "tunnel/failover"]).begun();
    let began = Instant::now();
    victim.send(Signal::INT);
    assert_eq!(victim.wait().code(), Some(130), "{}", victim.said());
    assert!(began.elapsed() < Duration::from_secs(45), "{:?}", began.elapsed());
    victim.traces.assert_gone();
    let place = victim.place().unwrap();
    assert!(std::fs::metadata(place.join("sut/server.log")).unwrap().len() < 65 * MIB);
    assert!(place.join("report.json").exists());
    victim.judges_with(97);
}

#[test]
fn a_system_without_standard_output_is_tested_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let profile = profile(folder.path(), "exec \"$0\" \"$@\" >&- 2>&-");
    let mut victim = Victim::start(&["--sut", profile.to_str().unwrap(), "--case", "1.1"]).begun();
    assert_eq!(victim.ended().code(), Some(0), "{}", victim.said());
    assert_eq!(std::fs::read(victim.place().unwrap().join("sut/server.log")).unwrap(), b"");
    victim.judges_with(0);
}

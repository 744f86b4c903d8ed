//! Places where nothing, or nothing more, can be written.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use std::time::{Duration, Instant};

use portwitness::case::{Case, step};
use portwitness::checks::CaseJudgement;
use portwitness::history::{Event, PlannedCase, RunInfo, Source};
use portwitness::observers::sock_diag::SockDiagSettings;
use portwitness::report::{Report, Reporter};
use portwitness::runner::{Interrupt, Observation, Ran, Settings, run};
use portwitness::store::RunDir;
use portwitness::suite::{Group, Plan};
use portwitness::sut::Profile;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change, mount_remount};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::victim::Victim;
use crate::observers::stage;
use crate::support::eventually;

/// Runs the body in a thread that has mounts of its own, with a file system of `size` bytes in memory.
fn with_disk(size: &str, body: impl FnOnce(&Path) + Send) {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path();
    let own = || {
        // SAFETY: changes which mounts this thread sees, and takes its working directory apart from the others'.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).unwrap();
        let options = std::ffi::CString::new(format!("size={size}")).unwrap();
        mount("tmpfs", disk, "tmpfs", MountFlags::empty(), Some(options.as_c_str())).unwrap();
        body(disk);
    };
    let outcome = std::thread::scope(|scope| scope.spawn(own).join());
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// Writes until there is no space left.
fn fill(disk: &Path) {
    let mut filler = File::create(disk.join("filler")).unwrap();
    while filler.write_all(&[0; 4096]).is_ok() {}
    while filler.write_all(&[0]).is_ok() {}
}

#[test]
fn a_disk_that_fills_up_ends_the_run_and_leaves_what_was_recorded() {
    with_disk("8m", |disk| {
        let mut victim = Victim::start_in(Some(disk), &["--sut", "reference", "--case", "1.1-1.4"]);
        victim = victim.until("the second case has begun", |history| history.matches("case_begin").count() == 2);
        fill(disk);
        assert_eq!(victim.ended().code(), Some(96), "{}", victim.said());
        let history = victim.place().unwrap().join("history.jsonl");
        victim
            .says(&format!("could not write {}: No space left on device", history.display()))
            .says("free some space or use `--runs DIR`")
            .says("the run broke off");
        victim.judges_with(97);
        let judged = String::from_utf8(victim.judged().stderr).unwrap();
        assert!(judged.contains(" 0 failed") && judged.contains(" not run: "), "{judged}");
        assert!(!judged.contains(" 0 passed"), "the first case was recorded to its end: {judged}");
        for report in ["report.json", "junit.xml"] {
            let text = fs::read_to_string(victim.place().unwrap().join(report));
            assert!(text.is_err(), "half a report is worse than none");
        }
    });
}

#[test]
fn a_disk_that_fills_up_ends_a_long_case_too() {
    stage::alone(|| {
        with_disk("8m", |disk| {
            let profile = Profile::parse(
                Path::new("own"),
                "name = 'n'\nsuite = 's'\n[[process]]\nname = 'p'\ncommand = ['sleep', '99']\n",
            );
            // It would go on for longer than this test may take.
            let long = Case {
                number: "1.1".into(),
                title: "says something all the time".into(),
                spec: "none".into(),
                need: None,
                workload: step(|context| async move {
                    loop {
                        context.recorder.record(Source::Runner, Event::Note { text: "on and on".repeat(100) });
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }),
                deadline: Duration::from_secs(200),
                checks: Vec::new(),
            };
            let groups = vec![Group::new("own/all", vec![long])];
            let plan = Plan { backends: Vec::new(), pause: Duration::ZERO, groups };
            let place = RunDir::create(disk, "own").unwrap();
            let began = Instant::now();
            let ran = std::thread::scope(|scope| {
                scope.spawn(|| {
                    let said = || fs::read_to_string(place.history()).unwrap_or_default();
                    eventually("the case goes on", || said().contains("on and on"));
                    fill(disk);
                });
                run_alone(plan, &profile.unwrap(), &place)
            });
            let broken_off = ran.broken_off.unwrap().to_string();
            assert!(broken_off.contains("No space left on device"), "{broken_off}");
            assert!(began.elapsed() < Duration::from_secs(100), "it went on for {:?}", began.elapsed());
            assert_eq!(ran.judgement.verdict.word(), "unknown");
        });
    });
}

/// Carries out a plan in this process, watched without privileges, by a quiet reporter.
fn run_alone(plan: Plan, profile: &Profile, place: &RunDir) -> Ran {
    struct Quiet;
    impl Reporter for Quiet {
        fn begin(&mut self, _: &RunInfo, _: &str, _: &Path) {}
        fn doing(&mut self, _: &str) {}
        fn case_begins(&mut self, _: &PlannedCase) {}
        fn case_judged(&mut self, _: &CaseJudgement) {}
        fn end(&mut self, _: &Report, _: &Path) {}
    }
    let settings = Settings {
        suite: "own".into(),
        effort: "quick".into(),
        seed: 1,
        observation: Observation::SockDiag(SockDiagSettings::default()),
        second_witness: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(plan, profile, settings, place, Interrupt::never(), &mut Quiet)).unwrap()
}

#[test]
fn a_disk_that_is_full_is_named_before_anything_starts() {
    with_disk("64k", |disk| {
        fill(disk);
        let mut victim = Victim::start_in(Some(disk), &["--sut", "reference", "--case", "1.1"]);
        assert_eq!(victim.ended().code(), Some(96), "{}", victim.said());
        victim.says(disk.to_str().unwrap()).says("No space left on device").says("--runs DIR");
    });
}

#[test]
fn a_folder_that_cannot_be_written_is_named_and_can_still_be_judged() {
    with_disk("8m", |disk| {
        let mut victim = Victim::start_in(Some(disk), &["--sut", "reference", "--case", "1.1"]).begun();
        assert_eq!(victim.ended().code(), Some(0), "{}", victim.said());
        mount_remount(disk, MountFlags::RDONLY, c"").unwrap();
        victim.judges_with(0);
        let mut refused = Victim::start_in(Some(disk), &["--sut", "reference", "--case", "1.1"]);
        assert_eq!(refused.ended().code(), Some(96));
        refused.says(disk.to_str().unwrap()).says("Read-only file system").says("--runs DIR");
    });
}

#[test]
fn a_file_in_the_place_of_the_runs_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut victim = Victim::start_in(Some(file.path()), &["--sut", "reference", "--case", "1.1"]);
    assert_eq!(victim.ended().code(), Some(96));
    victim.says(&format!("could not make the folder {}: ", file.path().display())).says("--runs DIR");
}

#[test]
fn a_folder_in_the_place_of_the_link_is_no_obstacle() {
    let runs = tempfile::tempdir().unwrap();
    fs::create_dir_all(runs.path().join("latest/mine")).unwrap();
    let mut victim = Victim::start_in(Some(runs.path()), &["--sut", "reference", "--case", "1.1"]);
    assert_eq!(victim.ended().code(), Some(0), "{}", victim.said());
    victim.says("latest does not point to this run").judges_with(0);
    assert!(runs.path().join("latest/mine").is_dir());
}

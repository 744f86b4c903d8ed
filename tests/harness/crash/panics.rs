//! Panics of the harness itself: in an observer, and in a reporter while the system runs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portwitness::case::{Case, step};
use portwitness::checks::{self, CaseJudgement};
use portwitness::history::{HistoryReader, PlannedCase, RunInfo};
use portwitness::observers::sock_diag::SockDiagSettings;
use portwitness::report::{Report, Reporter};
use portwitness::runner::{Interrupt, Observation, Settings, run};
use portwitness::store::RunDir;
use portwitness::suite::{Group, Plan};
use portwitness::sut::Profile;

use super::victim::Victim;
use crate::observers::stage;
use crate::support::processes_with;

#[test]
fn an_observer_that_panics_leaves_verdicts_unknown() {
    let arguments = ["--sut", "reference", "--case", "1.1-1.2", "--sabotage", "panic-reader"];
    let mut victim = Victim::start(&arguments).begun();
    assert_eq!(victim.ended().code(), Some(97), "{}", victim.said());
    victim.says("the observer died: the reader of the ring panicked").says("0 passed, 0 failed, 2 unknown");
    victim.judges_with(97);
}

/// Panics when the first case was judged.
struct Fragile;

impl Reporter for Fragile {
    fn begin(&mut self, _: &RunInfo, _: &str, _: &Path) {}
    fn doing(&mut self, _: &str) {}
    fn case_begins(&mut self, _: &PlannedCase) {}
    fn case_judged(&mut self, _: &CaseJudgement) {
        panic!("no more paper");
    }
    fn end(&mut self, _: &Report, _: &Path) {}
}

#[test]
fn a_panic_in_the_runner_ends_the_system_and_keeps_the_history() {
    stage::alone(|| {
        let folder = tempfile::tempdir().unwrap();
        let seconds = format!("305.{}", std::process::id());
        let text = format!("name = 'n'\nsuite = 's'\n[[process]]\nname = 'p'\ncommand = ['sleep', '{seconds}']\n");
        let profile = Profile::parse(Path::new("own"), &text).unwrap();
        let case = |number: &str| Case {
            number: number.into(),
            title: "nothing happens".into(),
            spec: "none".into(),
            need: None,
            workload: step(|_| async { Ok(()) }),
            deadline: Duration::from_secs(10),
            checks: Vec::new(),
        };
        let groups = vec![Group::new("own/all", vec![case("1.1"), case("1.2")])];
        let plan = Plan { backends: Vec::new(), pause: Duration::ZERO, groups };
        let settings = Settings {
            suite: "own".into(),
            effort: "quick".into(),
            seed: 1,
            observation: Observation::SockDiag(SockDiagSettings::default()),
            second_witness: None,
        };
        let place = RunDir::create(folder.path(), "own").unwrap();
        let history = place.history();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let interrupt = Interrupt::never();
            runtime.block_on(run(plan, &profile, settings, &place, interrupt, &mut Fragile)).is_ok()
        }));
        assert_eq!(*panicked.unwrap_err().downcast::<&str>().unwrap(), "no more paper");
        assert!(processes_with(&format!("sleep\0{seconds}")).is_empty(), "the system ended with the run");
        let reader = HistoryReader::open(&history).unwrap();
        let judgement = checks::judge_stream(Arc::new(reader.run().clone()), reader).unwrap();
        assert_eq!(judgement.verdict.word(), "unknown");
        assert_eq!(judgement.cases.len(), 2);
        let first = judgement.cases[0].verdict.to_string();
        assert!(first.contains("no client connected"), "the case is there to its end: {first}");
    });
}

//! Judges a whole history: every planned case by the checks that it declared.

use serde::{Deserialize, Serialize};

use super::metrics::Metrics;
use super::port_window::Measured;
use super::slice::Slice;
use super::verdict::Verdict;
use super::{Check, connection};
use crate::history::{Event, History, ObserverChange, PlannedCase, SutChange};

/// All verdicts of a run, with what was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The rung of the observer's capability ladder, and its uncertainty in ns; `None` when nothing was observed.
    pub rung: Option<(String, u64)>,
    /// The groups of cases, in the order in which they were planned.
    pub suites: Vec<SuiteJudgement>,
    /// The cases, in the order in which they were planned.
    pub cases: Vec<CaseJudgement>,
    /// What concerns the system under test outside of its cases: how it stopped.
    pub system: Vec<CheckJudgement>,
    /// The worst of all.
    pub verdict: Verdict,
    /// The figures of the whole run.
    pub metrics: Metrics,
}

/// The verdicts of a group of cases, counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SuiteJudgement {
    /// Its path, for example `tunnel/failover`.
    pub name: String,
    /// Cases that passed.
    pub passed: usize,
    /// Cases that failed.
    pub failed: usize,
    /// Cases that could not be judged.
    pub unknown: usize,
    /// Its figures.
    pub metrics: Metrics,
}

/// The verdict of a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseJudgement {
    /// Which case, in words, and where the specification has it.
    #[serde(flatten)]
    pub planned: PlannedCase,
    /// The worst of its checks.
    pub verdict: Verdict,
    /// Each check.
    pub checks: Vec<CheckJudgement>,
    /// The port windows that were measured.
    pub windows: Vec<Measured>,
    /// How connections ended, where the case asks for it.
    pub endings: Vec<String>,
    /// Its figures.
    pub metrics: Metrics,
}

/// The verdict of a check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckJudgement {
    /// What was checked.
    pub name: String,
    /// What it says.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Judges everything.
pub fn judge(history: &History) -> Judgement {
    let cases: Vec<CaseJudgement> = history.run.cases.iter().map(|case| judge_case(history, case)).collect();
    let system = judge_system(history);
    let verdict =
        Verdict::worst(cases.iter().map(|case| &case.verdict).chain(system.iter().map(|check| &check.verdict)));
    let metrics = Metrics::sum(cases.iter().map(|case| &case.metrics));
    let rung = history.records.iter().rev().find_map(|record| match &record.event {
        Event::Observer(ObserverChange::Started { rung, uncertainty_ns, .. }) => Some((rung.clone(), *uncertainty_ns)),
        _ => None,
    });
    // A poll that came late was less certain than the interval promises.
    let widest = history.records.iter().map(|record| record.uncertainty_ns).max().unwrap_or(0);
    let rung = rung.map(|(rung, promised)| (rung, widest.max(promised)));
    Judgement { rung, suites: suites(&cases), cases, system, verdict, metrics }
}

fn suites(cases: &[CaseJudgement]) -> Vec<SuiteJudgement> {
    let groups = cases.chunk_by(|one, next| one.planned.case.suite == next.planned.case.suite);
    groups.map(|cases| SuiteJudgement::of(&cases[0].planned.case.suite, cases)).collect()
}

/// Judges one case.
pub fn judge_case(history: &History, planned: &PlannedCase) -> CaseJudgement {
    let Some(slice) = Slice::of(history, &planned.case) else {
        return CaseJudgement::without_checks(planned, Verdict::unknown("it was not run"));
    };
    let mut checks = vec![CheckJudgement { name: "carried out".into(), verdict: carried_out(&slice) }];
    let mut windows = Vec::new();
    let mut endings = Vec::new();
    for declared in slice.declared {
        match serde_json::from_value::<Check>(declared.clone()) {
            Ok(check) => {
                checks.push(CheckJudgement { name: check.name(), verdict: check.judge(&slice) });
                match &check {
                    Check::PortWindow(window) => windows.extend(window.measure(&slice)),
                    Check::Endings(ends) => endings.push(connection::classify(&slice, &ends.group)),
                    _ => {}
                }
            }
            Err(error) => checks.push(CheckJudgement {
                name: "unreadable".into(),
                verdict: Verdict::unknown(format!("a check that this program does not know: {error}")),
            }),
        }
    }
    // That a case was carried out is no evidence of anything, so it does not count as a check that passed.
    let evidence = checks.iter().filter(|check| check.name != "carried out" || !check.verdict.passed());
    let verdict = Verdict::worst(evidence.map(|check| &check.verdict));
    let metrics = Metrics::of(&slice);
    CaseJudgement { planned: planned.clone(), verdict, checks, windows, endings, metrics }
}

impl SuiteJudgement {
    /// Counts cases under a name.
    pub fn of(name: &str, cases: &[CaseJudgement]) -> Self {
        let count = |word: &str| cases.iter().filter(|case| case.verdict.word() == word).count();
        Self {
            name: name.into(),
            passed: count("pass"),
            failed: count("fail"),
            unknown: count("unknown"),
            metrics: Metrics::sum(cases.iter().map(|case| &case.metrics)),
        }
    }

    /// Cases in all.
    pub fn cases(&self) -> usize {
        self.passed + self.failed + self.unknown
    }
}

impl CaseJudgement {
    fn without_checks(planned: &PlannedCase, verdict: Verdict) -> Self {
        Self {
            planned: planned.clone(),
            verdict,
            checks: Vec::new(),
            windows: Vec::new(),
            endings: Vec::new(),
            metrics: Metrics::default(),
        }
    }

    /// The first check that is as bad as the case.
    pub fn reason(&self) -> Option<&CheckJudgement> {
        self.checks.iter().find(|check| check.verdict == self.verdict)
    }
}

fn carried_out(slice: &Slice<'_>) -> Verdict {
    match slice.ended {
        Some(None) => Verdict::Pass,
        Some(Some(error)) => Verdict::unknown(error),
        None => Verdict::unknown("it has no end in the history: the run broke off in it"),
    }
}

fn judge_system(history: &History) -> Vec<CheckJudgement> {
    let mut checks: Vec<CheckJudgement> = Vec::new();
    let mut running: Vec<&str> = Vec::new();
    for record in &history.records {
        let (process, verdict) = match &record.event {
            Event::Sut(SutChange::Launched { process, .. }) => {
                running.push(process);
                continue;
            }
            Event::Sut(SutChange::Stopped { process, status, .. }) => (process, stopped(process, status)),
            Event::Sut(SutChange::Died { process, status }) => {
                let seen = format!("it died: {status}");
                (process, Verdict::fail(format!("`{process}` to live until it is asked to stop"), seen))
            }
            Event::Sut(SutChange::Killed { process, after_ms }) => (
                process,
                Verdict::fail(
                    format!("`{process}` to stop on its stop signal"),
                    format!("it ignored the signal for {after_ms} ms and was killed"),
                ),
            ),
            _ => continue,
        };
        running.retain(|launched| launched != process);
        add(&mut checks, process, verdict);
    }
    for process in running {
        add(&mut checks, process, Verdict::unknown(format!("how `{process}` ended is not recorded")));
    }
    checks
}

/// A process may end by a signal that asks it to (HUP, INT, QUIT, TERM), not by one that says that it is broken.
fn stopped(process: &str, status: &str) -> Verdict {
    match status.strip_prefix("signal ") {
        Some(signal) if !["1", "2", "3", "15"].contains(&signal) => {
            Verdict::fail(format!("`{process}` to stop in order"), format!("it ended by signal {signal}"))
        }
        _ => Verdict::Pass,
    }
}

fn add(checks: &mut Vec<CheckJudgement>, process: &str, verdict: Verdict) {
    let name = format!("{process} lives and stops");
    match checks.iter_mut().find(|check| check.name == name) {
        Some(check) => check.verdict = Verdict::worst([&check.verdict, &verdict]),
        None => checks.push(CheckJudgement { name, verdict }),
    }
}

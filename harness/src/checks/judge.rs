//! Judges a whole history: every planned case by the checks that it declared.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::agreement::{self, Agreed};
use super::metrics::Metrics;
use super::port_window::Measured;
use super::slice::Slice;
use super::system::System;
use super::verdict::Verdict;
use super::{Check, connection};
use crate::history::{CaseId, Event, Evidence, History, ObserverChange, PlannedCase, Record, RunInfo, Taken, carry};

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
    /// What two witnesses agree on, where a second one watched and they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Agreed>,
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
    let mut judge = Judge::new(Arc::clone(&history.run));
    history.records.iter().for_each(|record| judge.take(record.clone()));
    judge.finish()
}

/// Judges records as they come, in the order of arrival; fails when they do.
pub fn judge_stream<E>(
    run: Arc<RunInfo>,
    records: impl IntoIterator<Item = Result<Record, E>>,
) -> Result<Judgement, E> {
    let mut judge = Judge::new(run);
    records.into_iter().try_for_each(|record| record.map(|record| judge.take(record)))?;
    Ok(judge.finish())
}

/// Judges a history as its records come by, in the order of arrival: what it holds is bounded by one case.
pub struct Judge {
    /// The records since the last case ended, and what earlier ones left.
    history: History,
    evidence: Evidence,
    planned: HashMap<CaseId, usize>,
    cases: Vec<Option<CaseJudgement>>,
    in_case: bool,
    system: System,
    rung: Option<(String, u64)>,
    widest_ns: u64,
}

/// Outside of cases, what is held is looked through for what may go when it has grown to so many records.
const UNSORTED: usize = 1 << 16;

impl Judge {
    /// Judges the cases that were planned for a run.
    pub fn new(run: Arc<RunInfo>) -> Self {
        let planned = run.cases.iter().enumerate().map(|(index, planned)| (planned.case.clone(), index)).collect();
        let cases = vec![None; run.cases.len()];
        let history = History::new(run, Vec::new());
        let (evidence, system) = (Evidence::default(), System::default());
        Self { history, evidence, planned, cases, in_case: false, system, rung: None, widest_ns: 0 }
    }

    /// Takes the next record.
    pub fn take(&mut self, record: Record) {
        self.system.take(&record.event);
        if record.source.witnesses_ports() {
            // A poll that came late was less certain than the interval promises.
            self.widest_ns = self.widest_ns.max(record.uncertainty_ns);
        }
        let ended = match &record.event {
            Event::Observer(ObserverChange::Started { rung, uncertainty_ns, .. })
                if record.source.witnesses_ports() =>
            {
                self.rung = Some((rung.clone(), *uncertainty_ns));
                None
            }
            Event::CaseBegin { .. } => {
                self.in_case = true;
                None
            }
            Event::CaseEnd { case, .. } => self.planned.get(case).copied(),
            _ => None,
        };
        let is_end = ended.is_some();
        match self.evidence.takes(&record) {
            Taken::Not => {}
            Taken::Itself => self.history.records.push(record),
            Taken::With(earlier) => self.history.records.extend(earlier.into_iter().chain([record])),
        }
        if let Some(index) = ended {
            self.judge_case(index);
        }
        if is_end {
            self.in_case = false;
        }
        if is_end || (!self.in_case && self.history.records.len() >= UNSORTED) {
            self.sort();
            self.history.records = carry(std::mem::take(&mut self.history.records));
        }
    }

    /// All verdicts. Cases that have no end are judged by what there is of them.
    pub fn finish(mut self) -> Judgement {
        self.sort();
        for index in 0..self.cases.len() {
            if self.cases[index].is_none() {
                self.judge_case(index);
            }
        }
        let cases: Vec<CaseJudgement> = self.cases.into_iter().flatten().collect();
        let system = self.system.judge();
        // That a system stopped in order is no evidence of anything when no case was there to be judged.
        let nothing = cases.is_empty().then(|| Verdict::unknown("no case was planned: nothing was checked"));
        let all = cases.iter().map(|case| &case.verdict).chain(system.iter().map(|check| &check.verdict));
        let verdict = Verdict::worst(all.chain(&nothing));
        let metrics = Metrics::sum(cases.iter().map(|case| &case.metrics));
        let rung = self.rung.map(|(rung, promised)| (rung, self.widest_ns.max(promised)));
        Judgement { rung, suites: suites(&cases), cases, system, verdict, metrics }
    }

    fn sort(&mut self) {
        self.history.records.sort_by_key(|record| record.at);
    }

    /// The first end of a case counts: a damaged history may have it twice.
    fn judge_case(&mut self, index: usize) {
        if self.cases[index].as_ref().is_some_and(|judged| !judged.checks.is_empty()) {
            return;
        }
        self.sort();
        self.cases[index] = Some(judge_case(&self.history, &self.history.run.cases[index]));
    }
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
    let mut agreement = None;
    for declared in slice.declared {
        match serde_json::from_value::<Check>(declared.clone()) {
            Ok(check) => {
                let verdict = match &check {
                    Check::Agreement => agreement::compare(&slice).map_or_else(
                        |verdict| verdict,
                        |agreed| {
                            agreement = Some(agreed);
                            Verdict::Pass
                        },
                    ),
                    check => check.judge(&slice),
                };
                checks.push(CheckJudgement { name: check.name(), verdict });
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
    CaseJudgement { planned: planned.clone(), verdict, checks, windows, endings, agreement, metrics }
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
            agreement: None,
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

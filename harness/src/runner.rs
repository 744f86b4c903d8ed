//! Runs a plan: observers first, then the system, its cases one by one, and the verdicts from what was recorded.
//!
//! The order: observers ready, backends listen, and for each group: system started and ready, cases (each: need,
//! workload, settle, fence), system stopped; then observers stop, the history is closed and judged.

mod artefacts;
mod campaign;
mod interrupt;
mod observe;
mod sabotage;
mod second;
mod settle;
mod step;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::backends::{BackendError, Backends};
use crate::case::Case;
use crate::checks::{self, Check, Judgement};
use crate::clock::RealtimeOffset;
use crate::history::{CaseId, Event, HistoryError, HistoryReader, PlannedCase, Recorder, RunInfo, Source};
use crate::observers::reports::{ReportsError, ReportsHandle, ReportsObserver, ReportsSettings};
use crate::observers::{Observer, ObserverError};
use crate::report::Reporter;
use crate::store::RunDir;
use crate::suite::{Group, Plan};
use crate::sut::{Profile, Sut, SutError, hosts};
pub use campaign::{Campaign, Pace};
pub use interrupt::Interrupt;
pub use observe::Observation;
pub use sabotage::Sabotage;
pub use second::SecondWitness;
use second::TwoWitnesses;
pub(crate) use step::said;
use watch::Watch;

/// What a run is, beside its plan.
pub struct Settings {
    /// The suite's name.
    pub suite: String,
    /// `quick` or `full`.
    pub effort: String,
    /// Everything random follows from it.
    pub seed: u64,
    /// How the kernel is watched.
    pub observation: Observation,
    /// Who watches beside it; every case is judged by whether the two agree then.
    pub second_witness: Option<SecondWitness>,
}

/// A run that was carried out, or broken off.
pub struct Ran {
    /// Every verdict.
    pub judgement: Judgement,
    /// What was run.
    pub run: RunInfo,
    /// What kept the run from going to its end.
    pub broken_off: Option<RunError>,
}

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Nobody watches.
    #[error(transparent)]
    Observer(#[from] ObserverError),
    /// What a group of cases is to be watched by, beside.
    #[error(transparent)]
    Witness(ObserverError),
    /// A backend of ours could not listen.
    #[error("{error}{}", owner.as_ref().map(|owner| format!(" (it is {owner})")).unwrap_or_default())]
    Backend {
        /// Which, and why not.
        error: BackendError,
        /// Who has its port, where that can be told.
        owner: Option<String>,
    },
    /// Nobody takes in what the system reports.
    #[error("the reports of the system cannot be taken in: {0}")]
    Reports(#[from] ReportsError),
    /// The system did not start.
    #[error("the system under test did not start: {0}")]
    Sut(#[from] SutError),
    /// The history could not be written.
    #[error("{0}; free some space or use `--runs DIR`: what was recorded until then is kept")]
    History(Arc<HistoryError>),
    /// Ctrl-C, SIGTERM or SIGHUP.
    #[error("interrupted")]
    Interrupted,
}

/// Carries out a plan. The history is written and judged however far it gets.
pub async fn run(
    plan: Plan,
    profile: &Profile,
    settings: Settings,
    place: &RunDir,
    interrupt: Interrupt,
    reporter: &mut dyn Reporter,
) -> Result<Ran, RunError> {
    let info = describe(&plan, profile, &settings);
    let recorder = Recorder::create(&place.history(), info.clone()).map_err(|error| RunError::History(error.into()))?;
    let mut runner = Runner {
        profile: profile.clone(),
        recorder,
        interrupt,
        logs: place.sut(),
        reports: None,
        kept: place.reports(),
        seed: settings.seed,
        pause: plan.pause,
        generation: 0,
        two_witnesses: settings.second_witness.is_some(),
    };
    let observation = (settings.observation, settings.second_witness);
    let broken_off = runner.everything(plan, observation, place, reporter).await.err();
    let written = runner.recorder.finish().map_err(RunError::History);
    // The verdicts come from what is stored, as `judge` will give them again, however much of it there is.
    let stored = HistoryReader::open(&place.history())
        .and_then(|reader| checks::judge_stream(Arc::new(info.clone()), reader))
        .map_err(|error| RunError::History(error.into()));
    let (judgement, unreadable) = match stored {
        Ok(judgement) => (judgement, None),
        Err(error) => (checks::judge(&runner.recorder.history()), Some(error)),
    };
    let broken_off = written.err().or(broken_off).or(unreadable);
    Ok(Ran { judgement, run: info, broken_off })
}

struct Runner {
    profile: Profile,
    recorder: Recorder,
    interrupt: Interrupt,
    logs: PathBuf,
    /// Where the system's reports come in.
    reports: Option<ReportsHandle>,
    /// The folder of generated and received reports.
    kept: PathBuf,
    seed: u64,
    pause: Duration,
    generation: u64,
    two_witnesses: bool,
}

impl Runner {
    async fn everything(
        &mut self,
        plan: Plan,
        (observation, second): (Observation, Option<SecondWitness>),
        place: &RunDir,
        reporter: &mut dyn Reporter,
    ) -> Result<(), RunError> {
        // First the one that the run can do without: when it cannot start, nothing else has begun.
        let second = second.map(|second| second.start(&self.recorder)).transpose()?;
        let first = observation.start(&self.recorder)?;
        let mut watch = match second {
            Some(second) => Box::new(TwoWitnesses::new(first, second)),
            None => first,
        };
        reporter.begin(self.recorder.run(), &watch.describe(), place.path());
        let reports = match self.take_in_reports() {
            Ok(reports) => reports,
            Err(error) => return watch.stop().map_err(RunError::from).and(Err(error)),
        };
        let backends = Backends::start(&self.recorder, plan.backends).await;
        let outcome = match backends {
            Ok(backends) => {
                let outcome = self.groups(plan.groups, watch.as_mut(), &backends, reporter).await;
                backends.stop().await;
                outcome
            }
            Err(error) => Err(RunError::Backend { owner: observe::owner(&error), error }),
        };
        if let Some(reports) = reports {
            reports.stop();
        }
        // An observer that died has said so in the history; the first error is the one to tell.
        let stopped = watch.stop().map_err(RunError::from);
        outcome.and(stopped)
    }

    /// Binds the socket of the system's reports, where the profile has any, and lets the profile's templates know it.
    fn take_in_reports(&mut self) -> Result<Option<ReportsObserver>, RunError> {
        let Some(spec) = &mut self.profile.reports else { return Ok(None) };
        let settings = ReportsSettings { bind: spec.bind.clone(), topic: spec.topic.clone() };
        let observer = ReportsObserver::start(&self.recorder, settings)?;
        spec.bind = Some(observer.handle().endpoint().to_owned());
        self.reports = Some(observer.handle());
        Ok(Some(observer))
    }

    async fn groups(
        &mut self,
        groups: Vec<Group>,
        watch: &mut dyn Observer,
        backends: &Backends,
        reporter: &mut dyn Reporter,
    ) -> Result<(), RunError> {
        for group in groups {
            reporter.doing(&format!("starting {} for {}", self.profile.name, group.name));
            let mut watch = Watch { own: watch, witness: self.witness(&group)? };
            let mut sut = self.start(&group).await?;
            let mut astray = false;
            for (index, case) in group.cases.iter().enumerate() {
                if index > 0 {
                    let mut interrupt = self.interrupt.clone();
                    let _ = tokio::time::timeout(self.pause, interrupt.wait()).await;
                }
                // A system that could not be brought to where a case begins is seldom brought to where the next one does,
                // and to find that out takes longer than a start.
                sut.reap_dead();
                if !sut.is_whole() || astray || (group.unreported && index > 0) {
                    watch.end().map_err(RunError::Witness)?;
                    sut.stop().await;
                    watch.witness = self.witness(&group)?;
                    sut = self.start(&group).await?;
                }
                let ran = self.case(&group, case, &mut sut, &mut watch, backends, reporter).await;
                astray = match ran {
                    Ok(met) => !met,
                    Err(error) => {
                        sut.stop().await;
                        return Err(error);
                    }
                };
            }
            reporter.doing(&format!("stopping {}", self.profile.name));
            // With the system goes every process that nobody else claims.
            let ended = watch.end().map_err(RunError::Witness);
            sut.stop().await;
            ended?;
        }
        // It may have come while the system was stopping.
        if self.interrupt.came() { Err(RunError::Interrupted) } else { Ok(()) }
    }

    fn witness(&self, group: &Group) -> Result<Option<Box<dyn Observer>>, RunError> {
        group.witness.as_ref().map(|start| start(&self.recorder)).transpose().map_err(RunError::Witness)
    }

    async fn start(&mut self, group: &Group) -> Result<Sut, RunError> {
        self.generation += 1;
        if let Some(reports) = &self.reports {
            // A case may have left it as it should not be.
            if group.unreported { reports.unbind() } else { reports.bind() }?;
        }
        let mut interrupt = self.interrupt.clone();
        tokio::select! {
            started = Sut::start(&self.profile, &self.logs, &self.recorder) => Ok(started?),
            () = interrupt.wait() => Err(RunError::Interrupted),
            () = self.unwritten() => Err(self.unwritable()),
        }
    }

    /// One case: need, workload, settle, fence, verdict. Returns whether its need was met.
    async fn case(
        &mut self,
        group: &Group,
        case: &Case,
        sut: &mut Sut,
        watch: &mut Watch<'_>,
        backends: &Backends,
        reporter: &mut dyn Reporter,
    ) -> Result<bool, RunError> {
        let planned = planned(&group.name, case);
        reporter.case_begins(&planned);
        let need = match &case.need {
            Some(need) => self.carry_out(need, &planned.case, case.deadline).await,
            None => Ok(()),
        };
        let met = need.is_ok();
        let agreement = self.two_witnesses.then_some(Check::Agreement);
        // An interrupt may come between what the need did and what follows from it, a port that closes say: then the case's own
        // checks are of no meaning. A system that cannot be brought there is judged by them all the same.
        let own = if met || !self.interrupt.came() { &case.checks[..] } else { &[] };
        let checks = group.judged_by.iter().chain(&agreement).chain(own).map(to_value).collect();
        watch.fence()?;
        self.recorder.record(Source::Runner, Event::CaseBegin { case: planned.case.clone(), checks });
        self.sample(sut, watch.own);
        let outcome = match need {
            Ok(()) => self.carry_out(&case.workload, &planned.case, case.deadline).await,
            Err(error) => Err(format!("the system could not be brought to where the case begins: {error}")),
        };
        // A death of the observer is in the history; the case still gets its end.
        let fenced = self.settle(&planned.case, case, watch, backends).await;
        sut.reap_dead();
        self.sample(sut, watch.own);
        self.recorder.record(Source::Runner, Event::CaseEnd { case: planned.case.clone(), error: outcome.err() });
        self.keep_reports(&planned.case);
        reporter.case_judged(&checks::judge_case(&self.recorder.history(), &planned));
        self.recorder.settle();
        fenced?;
        if self.interrupt.came() {
            return Err(RunError::Interrupted);
        }
        if self.recorder.file_failed() { Err(self.unwritable()) } else { Ok(met) }
    }

    /// Why the history's file has failed.
    fn unwritable(&self) -> RunError {
        self.recorder.finish().map_or_else(RunError::History, |()| RunError::Interrupted)
    }
}

fn describe(plan: &Plan, profile: &Profile, settings: &Settings) -> RunInfo {
    let cases = plan.groups.iter().flat_map(|group| group.cases.iter().map(|case| planned(&group.name, case)));
    RunInfo {
        suite: settings.suite.clone(),
        sut: profile.name.clone(),
        profile: settings.effort.clone(),
        seed: settings.seed,
        netns: hosts::netns(),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        version: env!("CARGO_PKG_VERSION").into(),
        realtime: RealtimeOffset::sample(),
        cases: cases.collect(),
    }
}

fn planned(group: &str, case: &Case) -> PlannedCase {
    let id = CaseId { suite: group.into(), number: case.number.clone() };
    PlannedCase { case: id, title: case.title.clone(), spec: case.spec.clone() }
}

fn to_value(check: &Check) -> serde_json::Value {
    serde_json::to_value(check).unwrap_or_else(|error| serde_json::Value::String(error.to_string()))
}

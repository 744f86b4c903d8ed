//! Handlers of a case, carried out all at once as far as the system has room, and the wait for their reports.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::case::Context;
use crate::checks::reports;
use crate::clock::Timestamp;
use crate::endpoint::Endpoint;
use crate::handlers::launch::Launcher;
use crate::handlers::{Scenario, scenario};
use crate::history::{Event, HandlerEnd, Record, ReportsChange, Source};
use crate::sut::guardian;

/// From a look at what has come to the next.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How much at once, and how long reports are waited for.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Connections to one target at once, at the most; a scenario with more runs alone.
    pub at_once: u32,
    /// When all expected reports have come, nothing else must come for this long.
    pub quiet: Duration,
    /// Reports that have not come this long after the last handler ended are lost.
    pub deadline: Duration,
}

impl Default for Pace {
    /// Five connections, as minipots take; 200 ms of quiet; 10 s.
    fn default() -> Self {
        Self { at_once: 5, quiet: Duration::from_millis(200), deadline: Duration::from_secs(10) }
    }
}

/// Runs scenarios against the system under test.
pub struct Campaign<'a> {
    context: &'a Context,
    pace: Pace,
    launcher: Launcher,
    /// Scenarios that were begun.
    begun: AtomicU64,
}

impl<'a> Campaign<'a> {
    /// For a case, whose context this is.
    pub fn new(context: &'a Context) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("the path of this program")?;
        let env = vec![(guardian::MARK.to_owned(), guardian::mark().to_owned())];
        let launcher = Launcher { recorder: context.recorder.clone(), program, env };
        Ok(Self { context, pace: Pace::default(), launcher, begun: AtomicU64::new(0) })
    }

    /// The same with another pace.
    #[must_use]
    pub fn at(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// The same with handlers that are processes of another program, which has `handler run` too.
    #[must_use]
    pub fn of_program(mut self, program: std::path::PathBuf) -> Self {
        self.launcher.program = program;
        self
    }

    /// Carries out all scenarios, each in a process of its own, and waits for the reports of all of them.
    pub async fn run(&self, scenarios: Vec<Scenario>) -> anyhow::Result<Vec<HandlerEnd>> {
        let ended = self.converse(scenarios).await?;
        self.settle().await?;
        Ok(ended)
    }

    /// Carries out all scenarios without waiting for their reports; how each ended, in their order.
    pub async fn converse(&self, scenarios: Vec<Scenario>) -> anyhow::Result<Vec<HandlerEnd>> {
        let mut room: HashMap<Endpoint, Arc<Semaphore>> = HashMap::new();
        let mut running = JoinSet::new();
        for (place, mut scenario) in scenarios.into_iter().enumerate() {
            let handler = self.context.recorder.next_op().0;
            // What is said follows from the seed of the case and the scenario's place in it, whichever other cases are run: with
            // the run's seed the same conversation can be had again. A case's seed is its own, and so no two share a marker.
            let number = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
            if scenario.marker.is_empty() {
                scenario.marker = format!("m{:x}h{number}", self.context.seed & 0xffff_ffff);
            }
            if scenario.seed == 0 {
                scenario.seed = self.context.seed ^ number;
            }
            if scenario.address.is_none() && scenario.target.ip().is_ipv4() {
                scenario.address = Some(scenario::address(handler));
            }
            let all = self.pace.at_once.max(1);
            let room = room.entry(scenario.target).or_insert_with(|| Arc::new(Semaphore::new(all as usize))).clone();
            let launcher = self.launcher.clone();
            running.spawn(async move {
                let wanted = scenario.connections.clamp(1, all);
                // It is never closed.
                let _room = room.acquire_many_owned(wanted).await;
                (place, launcher.run(handler, &scenario).await)
            });
        }
        let mut ended = Vec::new();
        while let Some(done) = running.join_next().await {
            ended.push(done?);
        }
        ended.sort_by_key(|(place, _)| *place);
        Ok(ended.into_iter().map(|(_, how)| how).collect())
    }

    /// Waits until every report that handlers of the case expect has come and nothing else comes, or until the deadline;
    /// then everything that has come is in the history.
    pub async fn settle(&self) -> anyhow::Result<()> {
        let began = Timestamp::now();
        let deadline = began + self.pace.deadline;
        let mut quiet_since = None;
        let mut last = usize::MAX;
        let missing = loop {
            let (missing, count) = self.look();
            let now = Timestamp::now();
            if count != last || missing > 0 {
                quiet_since = None;
            }
            last = count;
            let since = *quiet_since.get_or_insert(now);
            if now >= deadline || (missing == 0 && now.since(since) >= self.pace.quiet) {
                break missing;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        };
        if let Some(reports) = self.context.reports.clone() {
            // A flood may take a while, in which the other tasks of this thread go on.
            tokio::task::spawn_blocking(move || reports.drain()).await??;
        }
        let waited_ms = Timestamp::now().since(began).as_millis() as u64;
        let settled = ReportsChange::Settled { missing: missing as u64, waited_ms };
        self.context.recorder.record(Source::Runner, Event::Reports(settled));
        Ok(())
    }

    /// Reports that handlers of the case expect and that have not come.
    pub fn missing(&self) -> usize {
        self.look().0
    }

    /// Reports that have not come yet, and messages that have.
    fn look(&self) -> (usize, usize) {
        self.context.recorder.records(|records| {
            let begins = |record: &Record| matches!(record.event, Event::CaseBegin { .. });
            let first = records.iter().rposition(begins).unwrap_or(0);
            let own = &records[first..];
            let messages = own.iter().filter(|record| matches!(record.event, Event::Message(_))).count();
            (reports::missing(own), messages)
        })
    }
}

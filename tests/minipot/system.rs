//! The system as its profile describes it, and what the cases of this suite have in common.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use portwitness::case::{Case, Context, step};
use portwitness::checks::{Check, ConnectionsReported, Conversations, ListenersAre, SystemCloses, reports};
use portwitness::endpoint::Endpoint;
use portwitness::handlers::{Dialogue, Scenario};
use portwitness::history::{Event, ReportsChange};
use portwitness::observers::reports::{ReportsError, ReportsHandle};
use portwitness::runner::{Campaign, Pace};
use portwitness::sut::ending::{self, Signal, Whom};
use portwitness::sut::{Profile, ProfileError};

use super::timeouts::Timeouts;

/// The four minipots.
#[derive(Clone, Debug)]
pub(crate) struct Minipot {
    pub(crate) ftp: Endpoint,
    pub(crate) http: Endpoint,
    pub(crate) smtp: Endpoint,
    pub(crate) telnet: Endpoint,
    /// As the profile gives them.
    pub(crate) timeouts: Option<Timeouts>,
    late_ms: u64,
}

/// The `type` of each minipot's reports.
pub(crate) const KINDS: [&str; 4] = ["ftp", "telnet", "http", "smtp"];
/// A minipot serves so many connections at once (facts, common server rules).
pub(crate) const AT_ONCE: u32 = 5;
/// Reports that have not come this long after the last conversation are lost.
const LOST: Duration = Duration::from_secs(6);

impl Minipot {
    /// Reads the endpoints `ftp`, `http`, `smtp` and `telnet`, and the settings `late_ms` and of [`Timeouts`], which are
    /// optional.
    pub(crate) fn read(profile: &Profile) -> Result<Self, ProfileError> {
        let late_ms = profile.optional_number("late_ms")?.map_or(reports::LATE_MS, |ms| ms as u64);
        Ok(Self {
            ftp: profile.endpoint("ftp")?,
            http: profile.endpoint("http")?,
            smtp: profile.endpoint("smtp")?,
            telnet: profile.endpoint("telnet")?,
            timeouts: Timeouts::read(profile)?,
            late_ms,
        })
    }

    /// Where the minipot with this `type` listens.
    pub(crate) fn endpoint(&self, minipot: &str) -> Endpoint {
        match minipot {
            "ftp" => self.ftp,
            "http" => self.http,
            "smtp" => self.smtp,
            _ => self.telnet,
        }
    }

    /// A dialogue with its minipot; times of it that follow from the timeouts are as the profile has those.
    pub(crate) fn scenario(&self, dialogue: &Dialogue) -> Scenario {
        let scenario = Scenario::dialogue(dialogue, self.endpoint(&dialogue.minipot));
        let Some(timeouts) = &self.timeouts else { return scenario };
        let known = timeouts.variables();
        let wanted = dialogue.variable_names().filter_map(|name| known.iter().find(|(known, _)| *known == name));
        wanted.fold(scenario, |scenario, (name, ms)| scenario.with(name, ms.to_string()))
    }

    /// A random conversation with a minipot.
    pub(crate) fn random(&self, kind: &str) -> Scenario {
        Scenario::coded(&format!("{kind}-conversation"), kind, self.endpoint(kind))
    }
}

/// What is done beside the conversations.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// Nothing.
    Converse,
    /// The conversations take place twice: before the proxy goes away, and while it is away, for so long after their end;
    /// where it is away for no time at all, after it has come back.
    Rebind { away: Duration },
    /// After the last reply a process is sent a signal, by which the whole system ends.
    End { whom: Whom, signal: Signal, within_ms: u64 },
    /// No proxy is there: the conversations make as many messages as are `kept`, and it comes so long after.
    Come { kept: usize, after: Duration },
    /// No proxy is there: all conversations but the last make as many messages as are `kept`. So long after, the last makes
    /// one more, by which the whole system ends.
    Overflow { kept: usize, after: Duration, within_ms: u64 },
    /// A proxy is there that never reads, by which the whole system ends.
    Unread { within_ms: u64 },
}

/// A case that consists of scenarios, carried out all at once.
pub(crate) struct Draft {
    pub(crate) number: String,
    pub(crate) title: String,
    /// The section of the facts.
    pub(crate) spec: String,
    pub(crate) scenarios: Vec<Scenario>,
    /// So many connections are closed by the system; the kernel tells.
    pub(crate) closes: u64,
    /// Beside those that judge every case.
    pub(crate) checks: Vec<Check>,
    pub(crate) act: Act,
    /// Where reports may come later than the profile says.
    pub(crate) late_ms: Option<u64>,
}

impl Draft {
    /// A case of conversations alone.
    pub(crate) fn new(number: &str, title: &str, spec: &str, scenarios: Vec<Scenario>) -> Self {
        Self {
            number: number.into(),
            title: title.into(),
            spec: spec.into(),
            scenarios,
            closes: 0,
            checks: Vec::new(),
            act: Act::Converse,
            late_ms: None,
        }
    }

    pub(crate) fn case(self, minipot: &Arc<Minipot>) -> Case {
        let Self { number, title, spec, scenarios, act, .. } = self;
        let rounds = if matches!(act, Act::Rebind { .. }) { 2 } else { 1 };
        let at_least = rounds * scenarios.len() as u64;
        let mut checks = vec![Check::Conversations(Conversations { at_least })];
        // Of what nobody takes, nothing is to be judged.
        if !matches!(act, Act::Overflow { .. } | Act::Unread { .. }) {
            checks.extend(reports::all(self.late_ms.unwrap_or(minipot.late_ms)));
            checks.push(Check::ConnectionsReported(ConnectionsReported {}));
        }
        if self.closes > 0 {
            checks.push(Check::SystemCloses(SystemCloses { at_least: self.closes }));
        }
        checks.extend(self.checks);
        // Five at a time to each minipot, at the worst one after the other; then the wait for the reports.
        let longest = scenarios.iter().map(|scenario| scenario.deadline).sum::<Duration>() * rounds as u32;
        Case {
            number,
            title,
            spec,
            need: None,
            workload: step(move |context: Context| {
                let scenarios = scenarios.clone();
                async move { act.carry_out(&context, scenarios).await }
            }),
            deadline: longest + LOST + Duration::from_secs(30),
            checks,
        }
    }
}

impl Act {
    async fn carry_out(self, context: &Context, mut scenarios: Vec<Scenario>) -> anyhow::Result<()> {
        for (scenario, number) in scenarios.iter_mut().zip(1..) {
            // It depends on the run's seed and the case alone, so that the same conversation can be had again.
            scenario.seed = context.seed.wrapping_add(number);
        }
        let pace = Pace { at_once: AT_ONCE, deadline: LOST, ..Pace::default() };
        let campaign = Campaign::new(context)?.at(pace);
        match self {
            Self::Converse => campaign.run(scenarios).await.map(drop),
            Self::Rebind { away } => {
                campaign.run(scenarios.clone()).await?;
                proxy(context, ReportsHandle::unbind).await?;
                if !away.is_zero() {
                    campaign.converse(scenarios.clone()).await?;
                    tokio::time::sleep(away).await;
                }
                proxy(context, ReportsHandle::bind).await?;
                if away.is_zero() {
                    campaign.converse(scenarios).await?;
                }
                campaign.settle().await
            }
            Self::End { whom, signal, within_ms } => {
                let conversed = campaign.converse(scenarios).await?;
                ensure!(!conversed.is_empty(), "nobody conversed");
                ending::ask(&context.recorder, whom, signal)?;
                ended(context, within_ms).await;
                campaign.settle().await
            }
            Self::Come { kept, after } => {
                fill(&campaign, scenarios, kept).await?;
                tokio::time::sleep(after).await;
                proxy(context, ReportsHandle::bind).await?;
                campaign.settle().await
            }
            Self::Overflow { kept, after, within_ms } => {
                let one_more = scenarios.pop();
                fill(&campaign, scenarios, kept).await?;
                tokio::time::sleep(after).await;
                ending::provoked(&context.recorder, "one message more than are kept");
                campaign.converse(one_more.into_iter().collect()).await?;
                ended(context, within_ms).await;
                Ok(())
            }
            Self::Unread { within_ms } => {
                proxy(context, ReportsHandle::bind_unread).await?;
                ending::provoked(&context.recorder, "reports that nobody reads");
                campaign.converse(scenarios).await?;
                ended(context, within_ms).await;
                // What did arrive is kept.
                proxy(context, ReportsHandle::unbind).await?;
                ensure!(connected(context), "the system never connected: there was no proxy that it could fill");
                Ok(())
            }
        }
    }
}

/// Carries out the conversations, which must make as many messages as are `kept`, the welcome among them.
async fn fill(campaign: &Campaign<'_>, scenarios: Vec<Scenario>, kept: usize) -> anyhow::Result<()> {
    campaign.converse(scenarios).await?;
    let made = campaign.missing() + 1;
    ensure!(made == kept, "the conversations make {made} messages, not {kept}: what is kept cannot be told");
    Ok(())
}

/// Does something with the proxy's socket, which may take a moment.
async fn proxy(context: &Context, act: fn(&ReportsHandle) -> Result<(), ReportsError>) -> anyhow::Result<()> {
    let reports = context.reports.clone().ok_or_else(|| anyhow::anyhow!("the profile has no [reports]"))?;
    Ok(tokio::task::spawn_blocking(move || act(&reports)).await??)
}

/// Whether the system has connected to the proxy's socket in this case.
fn connected(context: &Context) -> bool {
    context.recorder.records(|records| {
        let mut own = records.iter().rev().take_while(|record| !matches!(record.event, Event::CaseBegin { .. }));
        own.any(|record| matches!(record.event, Event::Reports(ReportsChange::Connected)))
    })
}

/// Waits until the system has ended. Whether it does is for the check.
async fn ended(context: &Context, within_ms: u64) {
    ending::ended(&context.recorder, Duration::from_millis(within_ms + 200)).await;
}

/// The check that the four ports listen, each by a child of the master, and nothing else does.
pub(crate) fn listeners(minipot: &Minipot) -> Check {
    let endpoints = vec![minipot.ftp, minipot.http, minipot.smtp, minipot.telnet];
    Check::ListenersAre(ListenersAre { endpoints })
}

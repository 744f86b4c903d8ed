//! The system as its profile describes it, and what the cases of this suite have in common.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portwitness::case::{Case, Context, step};
use portwitness::checks::{Check, ConnectionsReported, Conversations, ListenersAre, SystemCloses, reports};
use portwitness::endpoint::Endpoint;
use portwitness::handlers::{Dialogue, Scenario};
use portwitness::runner::{Campaign, Pace};
use portwitness::sut::{Profile, ProfileError};

/// The four minipots.
#[derive(Clone, Debug)]
pub(crate) struct Minipot {
    pub(crate) ftp: Endpoint,
    pub(crate) http: Endpoint,
    pub(crate) smtp: Endpoint,
    pub(crate) telnet: Endpoint,
    late_ms: u64,
}

/// A minipot serves so many connections at once (facts, common server rules).
pub(crate) const AT_ONCE: u32 = 5;

impl Minipot {
    /// Reads the endpoints `ftp`, `http`, `smtp` and `telnet`, and the setting `late_ms`, which is optional.
    pub(crate) fn read(profile: &Profile) -> Result<Self, ProfileError> {
        let late_ms = profile.optional_number("late_ms")?.map_or(reports::LATE_MS, |ms| ms as u64);
        Ok(Self {
            ftp: profile.endpoint("ftp")?,
            http: profile.endpoint("http")?,
            smtp: profile.endpoint("smtp")?,
            telnet: profile.endpoint("telnet")?,
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

    /// A scenario of a dialogue file of this suite, by its path below `dialogues` and its text. That every file is valid is a
    /// test of this package.
    pub(crate) fn dialogue(&self, (path, text): (&str, &str)) -> Scenario {
        let dialogue = Dialogue::parse(Path::new(path), text).unwrap_or_else(|error| panic!("{error}"));
        Scenario::dialogue(&dialogue, self.endpoint(&dialogue.minipot))
    }
}

/// A dialogue file of this suite: its path below `dialogues`, and its text.
macro_rules! dialogue {
    ($path:literal) => {
        ($path, include_str!(concat!("../dialogues/", $path)))
    };
}
pub(crate) use dialogue;

/// A case that consists of scenarios, carried out all at once.
pub(crate) struct Draft {
    pub(crate) number: &'static str,
    pub(crate) title: &'static str,
    /// The section of the facts.
    pub(crate) spec: &'static str,
    pub(crate) scenarios: Vec<Scenario>,
    /// So many connections are closed by the system; the kernel tells.
    pub(crate) closes: u64,
    /// Beside those that judge every case.
    pub(crate) checks: Vec<Check>,
}

impl Draft {
    pub(crate) fn case(self, minipot: &Arc<Minipot>) -> Case {
        let at_least = self.scenarios.len() as u64;
        let mut checks = vec![Check::Conversations(Conversations { at_least })];
        checks.extend(reports::all(minipot.late_ms));
        checks.push(Check::ConnectionsReported(ConnectionsReported {}));
        if self.closes > 0 {
            checks.push(Check::SystemCloses(SystemCloses { at_least: self.closes }));
        }
        checks.extend(self.checks);
        let pace = Pace { at_once: AT_ONCE, ..Pace::default() };
        // Five at a time to each minipot, at the worst one after the other; then the wait for the reports.
        let longest = self.scenarios.iter().map(|scenario| scenario.deadline).sum::<Duration>();
        let scenarios = self.scenarios;
        Case {
            number: self.number.into(),
            title: self.title.into(),
            spec: self.spec.into(),
            need: None,
            workload: step(move |context: Context| {
                let scenarios = scenarios.clone();
                async move { Campaign::new(&context)?.at(pace).run(scenarios).await.map(drop) }
            }),
            deadline: longest + pace.deadline + Duration::from_secs(30),
            checks,
        }
    }
}

/// The check that the four ports listen, each by a child of the master, and nothing else does.
pub(crate) fn listeners(minipot: &Minipot) -> Check {
    let endpoints = vec![minipot.ftp, minipot.http, minipot.smtp, minipot.telnet];
    Check::ListenersAre(ListenersAre { endpoints })
}

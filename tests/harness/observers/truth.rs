//! The truth: an actor says what it did and when, and every observer has to have recorded that and nothing else.

#[path = "../../actor/claim.rs"]
mod claim;
mod compare;
mod expected;
mod lies;
mod play;
mod precision;
mod seen;

use std::fmt;

use portwitness::clock::Timestamp;
use portwitness::history::{Record, Recorder};
use portwitness::observers::Observer;
use portwitness::observers::ebpf::{EbpfObserver, EbpfSettings, Rung};
use portwitness::observers::sock_diag::{SockDiagObserver, SockDiagSettings};

use self::claim::{Claim, Did};
use self::compare::differences;
use self::expected::Sight;
use self::play::{Play, scenarios};
use super::stage::{alone, scope};

/// The one scenario that begins before the observer comes.
const OLDER: &str = "older";

/// An observer at one rung of the ladder; none is sock_diag.
struct Witness {
    rung: Option<Rung>,
    recorder: Recorder,
    observer: Box<dyn Observer>,
    netns: u32,
    came: u64,
}

/// How a scenario was seen.
enum Outcome {
    /// As it was, in so many records.
    True(usize),
    Skipped(String),
    Differs(Vec<String>),
}

impl Witness {
    fn start(rung: Option<Rung>) -> Self {
        let scope = scope();
        let (recorder, netns, came) = (scope.recorder.clone(), scope.netns, Timestamp::now().0);
        let observer: Box<dyn Observer> = match rung {
            Some(_) => Box::new(EbpfObserver::start(scope, EbpfSettings { rung, ..EbpfSettings::default() }).unwrap()),
            None => Box::new(SockDiagObserver::start(scope, SockDiagSettings::default()).unwrap()),
        };
        Self { rung, recorder, observer, netns, came }
    }

    fn fence(&mut self) {
        self.observer.fence().unwrap();
    }

    /// How many records there are, after all that was done.
    fn length(&mut self) -> usize {
        self.fence();
        self.recorder.records(<[Record]>::len)
    }

    /// What it can tell of an actor that it follows, and of one that was there before it.
    fn sight(&self, follows: bool) -> Sight {
        let polls = self.rung.is_none();
        Sight { only_netns: polls.then_some(self.netns), who: !polls, follows: follows && !polls, came: self.came }
    }

    /// Lets a scenario be played, and returns what was claimed and what was recorded.
    fn watch(&mut self, scenario: &str) -> (Vec<Claim>, Vec<Record>) {
        let from = self.length();
        let claims = Play::start(scenario, self.rung.is_none()).play_on(|| self.fence());
        (claims, self.since(from))
    }

    fn since(&mut self, from: usize) -> Vec<Record> {
        self.fence();
        self.recorder.records(|records| records[from..].to_vec())
    }
}

/// Compares, unless the actor could not play.
fn outcome(claims: &[Claim], records: &[Record], sight: Sight) -> Outcome {
    let skipped = claims.iter().find_map(|claim| match &claim.did {
        Did::Skipped { reason } => Some(reason.clone()),
        _ => None,
    });
    let differences = differences(claims, records, sight);
    match skipped {
        _ if !differences.is_empty() => Outcome::Differs(differences),
        Some(reason) => Outcome::Skipped(reason),
        None => Outcome::True(records.len()),
    }
}

/// Every scenario on one rung, in the order of the actor's list.
fn column(rung: Option<Rung>, scenarios: &[String]) -> Vec<Outcome> {
    let mut older = Play::start(OLDER, rung.is_none());
    assert!(older.until_pause());
    let mut witness = Witness::start(rung);
    older.go();
    let claims = older.play_on(|| witness.fence());
    let older = outcome(&claims, &witness.since(0), witness.sight(false));
    let mut older = Some(older);
    let of = |scenario: &String| match scenario.as_str() {
        OLDER => older.take().unwrap(),
        scenario => {
            let (claims, records) = witness.watch(scenario);
            outcome(&claims, &records, witness.sight(true))
        }
    };
    let column = scenarios.iter().map(of).collect();
    witness.fence();
    let open = witness.recorder.listeners(portwitness::history::Listeners::endpoints);
    assert_eq!(open, [], "every listener has ended");
    witness.observer.stop().unwrap();
    column
}

#[test]
fn every_observer_records_what_happened_and_nothing_else() {
    alone(|| {
        let rungs = Rung::ALL.map(Some).into_iter().chain([None]);
        let scenarios = scenarios();
        let columns: Vec<Vec<Outcome>> = rungs.clone().map(|rung| column(rung, &scenarios)).collect();
        let titles = rungs.map(|rung| rung.map_or("sock_diag", Rung::name));
        let row = |name: &str, cells: Vec<String>| {
            println!("{name:<16}{}", cells.iter().map(|cell| format!("{cell:<18}")).collect::<String>());
        };
        row("", titles.map(str::to_owned).collect());
        for (index, scenario) in scenarios.iter().enumerate() {
            row(scenario, columns.iter().map(|column| column[index].to_string()).collect());
        }
        let mut wrong = 0;
        for (rung, column) in Rung::ALL.map(Some).into_iter().chain([None]).zip(&columns) {
            for (scenario, outcome) in scenarios.iter().zip(column) {
                match outcome {
                    Outcome::True(_) => {}
                    Outcome::Skipped(reason) => println!("{scenario} was skipped: {reason}"),
                    Outcome::Differs(differences) => {
                        wrong += 1;
                        println!("{scenario} on {}:", rung.map_or("sock_diag", Rung::name));
                        differences.iter().take(12).for_each(|difference| println!("  {difference}"));
                    }
                }
            }
        }
        assert_eq!(wrong, 0, "what was recorded is not what happened, see above");
    });
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::True(records) => write!(f, "true ({records})"),
            Self::Skipped(_) => f.write_str("skipped"),
            Self::Differs(all) => write!(f, "DIFFERS ({})", all.len()),
        }
    }
}

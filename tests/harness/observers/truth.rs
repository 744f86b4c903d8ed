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
use portwitness::history::{Listeners, Record, Recorder};
use portwitness::observers::Observer;
use portwitness::observers::ebpf::{EbpfObserver, EbpfSettings, Rung};
use portwitness::observers::sock_diag::{SockDiagObserver, SockDiagSettings};

use self::claim::{Claim, Did};
use self::compare::differences;
use self::expected::Sight;
use self::play::{Play, scenarios};
use super::stage::{alone, alone_with, scope};

/// The one scenario that begins before the observer comes.
const OLDER: &str = "older";

/// An observer, and what it can be expected to see.
#[derive(Clone, Copy, PartialEq)]
enum View {
    /// Everything.
    Ebpf(Rung),
    /// Without system calls.
    NoCalls,
    /// Without the kernel's structures and without system calls.
    NoStructures,
    /// By polling.
    SockDiag,
}

/// What a view cannot tell, and why.
const BLIND: [(View, &str, &str); 3] = [
    (View::NoCalls, "without-bind", "the port that the kernel chooses is known at the end of listen(2)"),
    (View::NoStructures, "without-bind", "the port that the kernel chooses is known at the end of listen(2)"),
    (View::NoStructures, OLDER, "without namespaces a process that is not followed is a stranger"),
];

/// An observer at work.
struct Witness {
    view: View,
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

impl View {
    fn name(self) -> &'static str {
        match self {
            Self::Ebpf(rung) => rung.name(),
            Self::NoCalls => "no calls",
            Self::NoStructures => "no BTF",
            Self::SockDiag => "sock_diag",
        }
    }

    fn polls(self) -> bool {
        self == Self::SockDiag
    }
}

impl Witness {
    fn start(view: View) -> Self {
        let scope = scope();
        let (recorder, netns, came) = (scope.recorder.clone(), scope.netns, Timestamp::now().0);
        let settings = match view {
            View::Ebpf(rung) => Some((Some(rung), true)),
            View::NoCalls => Some((None, false)),
            View::NoStructures => Some((Some(Rung::Tracepoint), false)),
            View::SockDiag => None,
        };
        let observer: Box<dyn Observer> = match settings {
            Some((rung, causes)) => {
                let settings = EbpfSettings { rung, causes, ..EbpfSettings::default() };
                Box::new(EbpfObserver::start(scope, settings).unwrap())
            }
            None => Box::new(SockDiagObserver::start(scope, SockDiagSettings::default()).unwrap()),
        };
        Self { view, recorder, observer, netns, came }
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
        let polls = self.view.polls();
        Sight {
            only_netns: polls.then_some(self.netns),
            who: !polls,
            follows: follows && !polls,
            calls: matches!(self.view, View::Ebpf(_)),
            structures: self.view != View::NoStructures,
            came: self.came,
        }
    }

    /// Lets a scenario be played, and returns what was claimed and what was recorded.
    fn watch(&mut self, scenario: &str) -> (Vec<Claim>, Vec<Record>) {
        let from = self.length();
        let claims = Play::start(scenario, self.view.polls()).play_on(|| self.fence());
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

/// Every scenario in one view, in the order of the actor's list.
fn column(view: View, scenarios: &[String]) -> Vec<Outcome> {
    let mut older = Play::start(OLDER, view.polls());
    assert!(older.until_pause());
    let mut witness = Witness::start(view);
    older.go();
    let claims = older.play_on(|| witness.fence());
    let mut older = Some((claims, witness.since(0)));
    let of = |scenario: &String| {
        let (claims, records, follows) = match (scenario.as_str(), &mut older) {
            (OLDER, older) => older.take().map(|(claims, records)| (claims, records, false)).unwrap(),
            (scenario, _) => {
                let (claims, records) = witness.watch(scenario);
                (claims, records, true)
            }
        };
        match BLIND.iter().find(|(blind, of, _)| *blind == view && of == scenario) {
            Some((_, _, why)) => Outcome::Skipped((*why).into()),
            None => outcome(&claims, &records, witness.sight(follows)),
        }
    };
    let column = scenarios.iter().map(of).collect();
    witness.fence();
    let open = witness.recorder.listeners(Listeners::endpoints);
    // What was there before and whose end was not seen is the exception.
    let known = BLIND.iter().any(|(blind, scenario, _)| *blind == view && *scenario == OLDER);
    assert!(open.is_empty() || known, "every listener has ended: {open:?}");
    witness.observer.stop().unwrap();
    column
}

/// Prints the table, and fails unless every cell is true.
fn compared(views: &[View]) {
    let scenarios = scenarios();
    let columns: Vec<Vec<Outcome>> = views.iter().map(|view| column(*view, &scenarios)).collect();
    let row = |name: &str, cells: &mut dyn Iterator<Item = String>| {
        println!("{name:<16}{}", cells.map(|cell| format!("{cell:<16}")).collect::<String>());
    };
    println!("\nthe truth, and how many records tell it:");
    row("", &mut views.iter().map(|view| view.name().to_owned()));
    for (index, scenario) in scenarios.iter().enumerate() {
        row(scenario, &mut columns.iter().map(|column| column[index].to_string()));
    }
    let mut wrong = 0;
    for (view, column) in views.iter().zip(&columns) {
        for (scenario, outcome) in scenarios.iter().zip(column) {
            let name = view.name();
            match outcome {
                Outcome::True(_) => {}
                Outcome::Skipped(reason) => println!("{scenario} is skipped on {name}: {reason}"),
                Outcome::Differs(differences) => {
                    wrong += 1;
                    println!("{scenario} on {name}:");
                    differences.iter().take(12).for_each(|difference| println!("  {difference}"));
                }
            }
        }
    }
    assert_eq!(wrong, 0, "what was recorded is not what happened, see above");
}

#[test]
fn every_observer_records_what_happened_and_nothing_else() {
    alone(|| {
        let [first, second, third] = Rung::ALL.map(View::Ebpf);
        compared(&[first, second, third, View::NoCalls, View::SockDiag]);
    });
}

#[test]
fn without_btf_too() {
    alone_with(&[("PORTWITNESS_BTF", "/no/such/btf")], || compared(&[View::NoStructures]));
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

//! What holds of every history: it can be judged, and judged again, without a panic.
#![allow(clippy::unwrap_used)]

mod matching;
mod model;
mod world;

use proptest::prelude::*;

use super::reports::Aspect;
use super::{
    Check, ConnectionsReported, Conversations, Endings, Growth, LeavesNothing, ListenersAre, NoneLeftOpen, Pace,
    PortStays, PortWindow, Reopens, Reports, Routing, Selection, Silence, SinspCheck, StaysConnected, Storm,
    SystemCloses, SystemEnds, Traffic, Turns, judge,
};
use crate::clock::Timestamp;
use crate::history::properties::arbitrary;
use crate::history::{CaseId, Event, History, PlannedCase, Record, RunInfo, Source};
use crate::properties::{config, text};

/// Any check; a new one does not compile in [`every_check`], and then belongs here too.
pub(crate) fn check() -> impl Strategy<Value = Check> {
    // The records' own groups are any text: an empty one is the most frequent.
    let group = || prop_oneof![Just(String::new()), text()];
    let bound = || prop_oneof![0.0..2000.0, any::<f64>().prop_filter("finite", |ms| ms.is_finite())];
    let endpoint = arbitrary::endpoint;
    let reopens = (bound(), bound()).prop_map(|(after_ms, tolerance_ms)| Reopens { after_ms, tolerance_ms });
    let window = (text(), endpoint(), group(), prop::option::of(bound()), prop::option::of(reopens));
    prop_oneof![
        Just(Check::Coverage),
        Just(Check::Causality),
        Just(Check::Alive),
        Just(Check::Agreement),
        window.prop_map(|(port, endpoint, trigger, closes_within_ms, reopens)| {
            Check::PortWindow(PortWindow { port, endpoint, trigger: trigger.into(), closes_within_ms, reopens })
        }),
        (text(), endpoint()).prop_map(|(port, endpoint)| Check::PortStays(PortStays { port, endpoint })),
        (group(), any::<(u64, u64, u64)>(), any::<(Option<u64>, bool)>()).prop_map(
            |(group, (planned, at_least, sha256), (within_ms, is_trigger))| {
                Check::Traffic(Traffic { group, planned, at_least, sha256, within_ms, is_trigger })
            }
        ),
        (group(), any::<u64>()).prop_map(|(group, at_least_percent)| Check::Turns(Turns { group, at_least_percent })),
        (group(), text(), endpoint()).prop_map(|(group, backend, endpoint)| Check::Routing(Routing {
            group,
            backend,
            endpoint
        })),
        (group(), any::<bool>())
            .prop_map(|(group, closes_cleanly)| Check::StaysConnected(StaysConnected { group, closes_cleanly })),
        (group(), any::<u64>()).prop_map(|(group, at_least)| Check::Endings(Endings { group, at_least })),
        any::<u64>().prop_map(|within_ms| Check::NoneLeftOpen(NoneLeftOpen { within_ms })),
        any::<(u64, u64)>().prop_map(|(memory_bytes, sockets)| Check::Growth(Growth { memory_bytes, sockets })),
        (group(), group(), bound()).prop_map(|(group, yardstick, at_most)| Check::Pace(Pace {
            group,
            yardstick,
            at_most
        })),
        (group(), any::<u64>()).prop_map(|(group, at_most_ms)| Check::Silence(Silence { group, at_most_ms })),
        any::<u64>().prop_map(|at_least| Check::Conversations(Conversations { at_least })),
        (prop::sample::select(Aspect::ALL.to_vec()), any::<u64>())
            .prop_map(|(aspect, late_ms)| Check::Reports(Reports { aspect, late_ms })),
        Just(Check::ConnectionsReported(ConnectionsReported {})),
        any::<u64>().prop_map(|at_least| Check::SystemCloses(SystemCloses { at_least })),
        prop::collection::vec(endpoint(), 0..3).prop_map(|endpoints| Check::ListenersAre(ListenersAre { endpoints })),
        any::<(u64, u64, u8)>().prop_map(|(within_ms, not_before_ms, exit_code)| {
            Check::SystemEnds(SystemEnds { within_ms, not_before_ms, exit_code })
        }),
        sinsp().prop_map(Check::Sinsp),
    ]
}

fn sinsp() -> impl Strategy<Value = SinspCheck> {
    let words = || prop::collection::vec(text(), 0..3);
    let moment = || prop::sample::select(vec!["before".to_owned(), "during".to_owned(), "after".to_owned()]);
    prop_oneof![
        prop::sample::select(vec![
            SinspCheck::Watched,
            SinspCheck::Schema,
            SinspCheck::Events,
            SinspCheck::Parameters,
            SinspCheck::Process,
            SinspCheck::Order,
            SinspCheck::Times,
            SinspCheck::Fields,
        ]),
        words().prop_map(|calls| SinspCheck::Provoked { calls }),
        (words(), words()).prop_map(|(both, exits)| SinspCheck::Selection(Selection { both, exits })),
        (words(), any::<bool>()).prop_map(|(calls, overflows)| SinspCheck::Storm(Storm { calls, overflows })),
        (moment(), moment(), moment()).prop_map(|(before, during, after)| SinspCheck::LeavesNothing(LeavesNothing {
            before,
            during,
            after
        })),
    ]
}

/// A run of one case that these checks judge, with these records in it.
pub(crate) fn history(checks: &[Check], records: Vec<Record>) -> History {
    let case = CaseId { suite: "s".into(), number: "1.1".into() };
    let planned = PlannedCase { case: case.clone(), title: "t".into(), spec: "s".into() };
    let run = RunInfo { cases: vec![planned], ..arbitrary::plain_run() };
    let at = |at, event| Record { at: Timestamp(at), uncertainty_ns: 0, source: Source::Runner, event };
    let checks = checks.iter().map(|check| serde_json::to_value(check).unwrap()).collect();
    let mut all = vec![at(0, Event::CaseBegin { case: case.clone(), checks })];
    all.extend(records);
    all.push(at(u64::MAX, Event::CaseEnd { case, error: None }));
    History::new(run, all)
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn every_history_can_be_judged(
        checks in prop::collection::vec(check(), 1..5),
        records in prop::collection::vec(arbitrary::record(), 0..24),
    ) {
        let history = history(&checks, records);
        let judgement = judge(&history);
        prop_assert_eq!(judgement.cases[0].checks.len(), checks.len() + 1);
        prop_assert_eq!(&judgement, &judge(&history));
    }

    #[test]
    fn a_check_survives_the_history(check in check()) {
        let text = serde_json::to_string(&check).unwrap();
        prop_assert_eq!(serde_json::from_str::<Check>(&text).unwrap(), check);
    }
}

/// Every check that there is, by its number.
#[allow(dead_code, reason = "it is there to be compiled")]
fn every_check(check: &Check) -> usize {
    match check {
        Check::Coverage => 0,
        Check::Causality => 1,
        Check::Alive => 2,
        Check::PortWindow(_) => 3,
        Check::PortStays(_) => 4,
        Check::Traffic(_) => 5,
        Check::Turns(_) => 6,
        Check::Routing(_) => 7,
        Check::StaysConnected(_) => 8,
        Check::Endings(_) => 9,
        Check::NoneLeftOpen(_) => 10,
        Check::Growth(_) => 11,
        Check::Pace(_) => 12,
        Check::Silence(_) => 13,
        Check::Agreement => 14,
        Check::Conversations(_) => 15,
        Check::Reports(_) => 16,
        Check::ConnectionsReported(_) => 17,
        Check::SystemCloses(_) => 18,
        Check::ListenersAre(_) => 19,
        Check::SystemEnds(_) => 20,
        Check::Sinsp(_) => 21,
    }
}

//! The comparison of reports against a model that tries every way to pair them.

use proptest::prelude::*;

use crate::checks::reports::{Expected, Matching, Received, differences};
use crate::clock::Timestamp;
use crate::history::Report;
use crate::properties::config;

/// Few values, so that reports are often equal, or nearly so.
fn report() -> impl Strategy<Value = Report> {
    let word = |words: &'static [&'static str]| prop::sample::select(words).prop_map(String::from);
    let data = prop::option::of(prop::collection::btree_map(word(&["u", "p"]), word(&["", "x"]), 0..3));
    (word(&["ftp", "smtp"]), word(&["::1", "1.1.1.1"]), word(&["login", "connect"]), data, any::<bool>()).prop_map(
        |(kind, ip, action, data, turned)| {
            let mut data: Option<Vec<_>> = data.map(|data| data.into_iter().collect());
            // The order of keys does not tell reports apart here.
            data.iter_mut().filter(|_| turned).for_each(|data| data.reverse());
            Report { ts: None, kind, ip, action, data }
        },
    )
}

/// The most pairs of equal reports, found by trying.
fn most(expected: &[&Report], received: &[&Report]) -> usize {
    let Some((first, rest)) = expected.split_first() else { return 0 };
    let without = most(rest, received);
    let with = received.iter().position(|other| differences(first, other).is_empty()).map(|at| {
        let left: Vec<&Report> =
            received.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, it)| *it).collect();
        1 + most(rest, &left)
    });
    without.max(with.unwrap_or(0))
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn as_many_are_paired_as_can_be_and_none_twice(
        wanted in prop::collection::vec(report(), 0..7),
        found in prop::collection::vec(report(), 0..7),
    ) {
        let expected: Vec<_> = wanted.iter().enumerate().map(|(at, report)| {
            let at = Timestamp(at as u64);
            Expected { handler: 1, connection: 0, report, began: at, sent: at, answered: None, certain: None }
        }).collect();
        let received: Vec<_> = found.iter().enumerate()
            .map(|(at, report)| Received { at: Timestamp(at as u64), topic: "t", report, flaws: &[] })
            .collect();
        let matching = Matching::of(&expected, &received);
        let most = most(&wanted.iter().collect::<Vec<_>>(), &found.iter().collect::<Vec<_>>());
        prop_assert_eq!(matching.pairs.len(), most);
        for (index, at) in &matching.pairs {
            prop_assert_eq!(differences(&wanted[*index], &found[*at]), Vec::<String>::new());
        }
        for (index, at) in &matching.near {
            prop_assert!(!differences(&wanted[*index], &found[*at]).is_empty());
        }
        let both = matching.pairs.iter().chain(&matching.near);
        let mut ours: Vec<_> = both.clone().map(|(index, _)| *index).chain(matching.lost.iter().copied()).collect();
        let mut theirs: Vec<_> = both.map(|(_, at)| *at).chain(matching.surplus.iter().map(|(at, _)| *at)).collect();
        ours.sort_unstable();
        theirs.sort_unstable();
        prop_assert_eq!(ours, (0..wanted.len()).collect::<Vec<_>>(), "each that is expected is somewhere, once");
        prop_assert_eq!(theirs, (0..found.len()).collect::<Vec<_>>(), "each that came is somewhere, once");
    }
}

//! Pairs what was expected with what came: equal ones first, then what differs least.

use std::collections::{HashMap, VecDeque};

use super::exchange::{Expected, Received};
use crate::history::{Report, shortened};

/// Which belongs to which; numbers are positions in the two lists.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Matching {
    /// Expected, received: they say the same.
    pub pairs: Vec<(usize, usize)>,
    /// Expected, received: they differ, but nothing fits either of them better.
    pub near: Vec<(usize, usize)>,
    /// Expected, and never came.
    pub lost: Vec<usize>,
    /// Came, and was not expected.
    pub surplus: Vec<(usize, Surplus)>,
}

/// What a report is that nobody expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surplus {
    /// It says what another said that was expected, right after it in the same minipot.
    Duplicate {
        /// The other's position.
        of: usize,
    },
    /// It says what another said that was expected, after something else had come from the same minipot.
    Repeated {
        /// The other's position.
        of: usize,
    },
    /// Nothing like it was expected.
    Extra,
}

/// What differs is compared between so many reports at the most.
const COMPARED: usize = 400;
/// Reports that differ in more fields have nothing to do with each other, unless they tell of one action of one peer.
const NEAR: usize = 2;

impl Matching {
    /// `received` stands in the order of arrival.
    pub fn of(expected: &[Expected<'_>], received: &[Received<'_>]) -> Self {
        let mut waiting: HashMap<Key<'_>, VecDeque<usize>> = HashMap::new();
        let mut order: Vec<usize> = (0..expected.len()).collect();
        order.sort_by_key(|index| expected[*index].began);
        for index in order {
            waiting.entry(key(expected[index].report)).or_default().push_back(index);
        }
        let mut matching = Self::default();
        let mut seen: HashMap<Key<'_>, usize> = HashMap::new();
        let mut left = Vec::new();
        for (at, report) in received.iter().enumerate() {
            let key = key(report.report);
            match waiting.get_mut(&key).and_then(VecDeque::pop_front) {
                Some(index) => {
                    matching.pairs.push((index, at));
                    seen.insert(key, at);
                }
                None => match seen.get(&key) {
                    Some(of) => {
                        let same = |other: &Received<'_>| other.report.kind == report.report.kind;
                        let between =
                            received[of + 1..at].iter().any(|other| same(other) && self::key(other.report) != key);
                        let surplus =
                            if between { Surplus::Repeated { of: *of } } else { Surplus::Duplicate { of: *of } };
                        matching.surplus.push((at, surplus));
                    }
                    None => left.push(at),
                },
            }
        }
        let mut lost: Vec<usize> = waiting.into_values().flatten().collect();
        lost.sort_unstable();
        matching.bring_together(expected, received, lost, left);
        matching.surplus.sort_unstable_by_key(|(at, _)| *at);
        matching
    }

    fn bring_together(
        &mut self,
        expected: &[Expected<'_>],
        received: &[Received<'_>],
        lost: Vec<usize>,
        left: Vec<usize>,
    ) {
        let mut candidates = Vec::new();
        for index in lost.iter().take(COMPARED) {
            for at in left.iter().take(COMPARED) {
                let (wanted, found) = (expected[*index].report, received[*at].report);
                let distance = differences(wanted, found).len();
                let told = |report: &Report| (report.kind.clone(), report.ip.clone(), report.action.clone());
                if distance <= NEAR || told(wanted) == told(found) {
                    candidates.push((distance, *index, *at));
                }
            }
        }
        candidates.sort_unstable();
        for (_, index, at) in candidates {
            let taken = |(one, other): &(usize, usize)| *one == index || *other == at;
            if !self.near.iter().any(taken) {
                self.near.push((index, at));
            }
        }
        self.near.sort_unstable();
        self.lost = lost.into_iter().filter(|index| !self.near.iter().any(|(one, _)| one == index)).collect();
        let extra = left.into_iter().filter(|at| !self.near.iter().any(|(_, other)| other == at));
        self.surplus.extend(extra.collect::<Vec<_>>().into_iter().map(|at| (at, Surplus::Extra)));
    }
}

/// What makes reports equal: all but `ts`, and the order of the keys in `data`.
type Key<'a> = (&'a str, &'a str, &'a str, Option<Vec<(&'a str, &'a str)>>);

fn key(report: &Report) -> Key<'_> {
    let data = report.data.as_ref().map(|data| {
        let mut data: Vec<_> = data.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        data.sort_unstable();
        data
    });
    (&report.kind, &report.ip, &report.action, data)
}

/// The fields in which two reports differ, `ts` and order aside, each in words. Where one of them has no data at all, that is
/// one difference.
pub fn differences(wanted: &Report, found: &Report) -> Vec<String> {
    let mut differences = Vec::new();
    let fields =
        [("type", &wanted.kind, &found.kind), ("ip", &wanted.ip, &found.ip), ("action", &wanted.action, &found.action)];
    for (name, wanted, found) in fields {
        if wanted != found {
            differences.push(format!("`{name}` is {}, not {}", shortened(found), shortened(wanted)));
        }
    }
    match (&wanted.data, &found.data) {
        (Some(wanted), Some(found)) => {
            let value = |data: &[(String, String)], key: &str| {
                data.iter().find(|(other, _)| other == key).map(|(_, value)| value.clone())
            };
            for (key, wanted) in wanted {
                match value(found, key) {
                    Some(found) if found == *wanted => {}
                    Some(found) => {
                        differences.push(format!("`data.{key}` is {}, not {}", shortened(&found), shortened(wanted)))
                    }
                    None => differences.push(format!("`data.{key}` is missing")),
                }
            }
            let stranger = |(key, _): &&(String, String)| value(wanted, key).is_none();
            differences
                .extend(found.iter().filter(stranger).map(|(key, _)| format!("`data.{key}` should not be there")));
            if differences.is_empty() && wanted.len() != found.len() {
                differences.push("a key of `data` stands there twice".into());
            }
        }
        (Some(_), None) => differences.push("`data` is missing".into()),
        (None, Some(_)) => differences.push("`data` should not be there".into()),
        (None, None) => {}
    }
    differences
}

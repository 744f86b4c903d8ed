//! The ways in which reports can be wrong.

use serde::{Deserialize, Serialize};

use super::exchange::{Exchange, Expected, Received};
use super::matching::{Matching, Surplus, differences};
use super::{order, welcome};
use crate::checks::slice::Slice;
use crate::checks::verdict::Finding;
use crate::clock::Timestamp;
use crate::history::{Event, Flaw, ReportsChange};

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// Every report that is expected comes.
    Lost,
    /// None comes that is not.
    Extra,
    /// None comes twice in a row.
    Duplicate,
    /// None comes again later, and none from before the case.
    Stale,
    /// Fields say what they should, and none is missing or too many.
    Fields,
    /// Values and keys have their types.
    Types,
    /// Keys stand in their order.
    KeyOrder,
    /// Reports of one minipot come in the order in which they were brought about.
    Order,
    /// `ts` lies within [sent - 1 s, received + 1 s].
    Time,
    /// Reports come soon after the reply.
    Late,
    /// The welcome comes once a start.
    Welcome,
    /// Messages are of the frames that they should be, and can be read.
    Readable,
    /// Reports have the topic.
    Topic,
}

impl Aspect {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Lost,
        Self::Extra,
        Self::Duplicate,
        Self::Stale,
        Self::Fields,
        Self::Types,
        Self::KeyOrder,
        Self::Order,
        Self::Time,
        Self::Late,
        Self::Welcome,
        Self::Readable,
        Self::Topic,
    ];

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Lost => "none lost",
            Self::Extra => "none extra",
            Self::Duplicate => "none twice",
            Self::Stale => "none stale",
            Self::Fields => "fields",
            Self::Types => "types",
            Self::KeyOrder => "order of keys",
            Self::Order => "order",
            Self::Time => "ts",
            Self::Late => "none late",
            Self::Welcome => "welcome",
            Self::Readable => "readable",
            Self::Topic => "topic",
        }
    }

    /// Whether a finding counts only when everything that came and all that was expected is known.
    pub(super) fn needs_everything(self) -> bool {
        matches!(self, Self::Lost | Self::Extra | Self::Fields | Self::Late)
    }

    /// What is wrong; an error is what is not known.
    pub(super) fn findings(
        self,
        exchange: &Exchange<'_>,
        slice: &Slice<'_>,
        late_ms: u64,
    ) -> Result<Vec<Finding>, String> {
        let look = || Look { matching: Matching::of(&exchange.expected, &exchange.received), exchange, slice };
        Ok(match self {
            Self::Lost => look().lost(),
            Self::Extra => look().extra(),
            Self::Duplicate => look().duplicates(),
            Self::Stale => look().stale(),
            Self::Fields => look().fields(),
            Self::Types => flaws(exchange, |flaw| matches!(flaw, Flaw::WrongType { .. } | Flaw::Trailing { .. })),
            Self::KeyOrder => {
                let mut found = flaws(exchange, |flaw| matches!(flaw, Flaw::KeyOrder { .. }));
                found.extend(look().data_order());
                found
            }
            Self::Order => order::findings(exchange, &look().matching),
            Self::Time => look().time(),
            Self::Late => look().late(late_ms),
            Self::Welcome => welcome::findings(slice)?,
            Self::Readable => {
                let unreadable = |(at, reason): &(Timestamp, &str)| Finding {
                    expected: "messages of a topic alone, or of a topic and a MessagePack map".into(),
                    seen: format!("one came {:.3} ms into the case that is not: {reason}", at.ms_after(slice.begin)),
                    around: Vec::new(),
                };
                exchange.undecodable.iter().map(unreadable).collect()
            }
            Self::Topic => {
                let topic = welcome::topic(slice)?;
                let wrong = exchange.received.iter().filter(|received| received.topic != topic);
                let finding = |received: &Received<'_>| {
                    finding(
                        format!("the topic `{topic}` for {}", received.report),
                        format!("it is `{}`", received.topic),
                    )
                };
                wrong.map(finding).collect()
            }
        })
    }
}

struct Look<'a, 'h> {
    exchange: &'a Exchange<'h>,
    slice: &'a Slice<'h>,
    matching: Matching,
}

impl Look<'_, '_> {
    fn expected(&self, index: usize) -> &Expected<'_> {
        &self.exchange.expected[index]
    }

    fn received(&self, at: usize) -> &Received<'_> {
        &self.exchange.received[at]
    }

    fn when(&self, at: Timestamp) -> String {
        format!("{:.3} ms into the case", at.ms_after(self.slice.begin))
    }

    fn wanted(&self, index: usize) -> String {
        let expected = self.expected(index);
        format!("{} (of `{}`)", expected.report, self.exchange.talker(expected))
    }

    fn lost(&self) -> Vec<Finding> {
        let finding = |index: &usize| {
            let wanted = self.expected(*index).report;
            let others = self.exchange.received.iter().map(|other| (differences(wanted, other.report), other));
            let nearest = others.min_by_key(|(differences, _)| differences.len()).map(|(differences, other)| {
                let differing = if differences.is_empty() { "of another".into() } else { differences.join(", ") };
                format!("; the nearest is {}: {differing}", other.report)
            });
            let seen = format!("it never came{}", nearest.unwrap_or_else(|| "; no report came at all".into()));
            finding(self.wanted(*index), seen)
        };
        self.matching.lost.iter().map(finding).collect()
    }

    /// A report from before the case: by its own word, or by the address of a handler that is no longer there.
    fn is_old(&self, received: &Received<'_>) -> bool {
        self.has_old_time(received) || self.exchange.is_of_earlier_handler(&received.report.ip)
    }

    fn has_old_time(&self, received: &Received<'_>) -> bool {
        let begin = unix_ns(self.slice, self.slice.begin);
        received.report.ts.is_some_and(|ts| i128::from(ts) * 1_000_000_000 < begin - 2_000_000_000)
    }

    fn extra(&self) -> Vec<Finding> {
        let extra = self.matching.surplus.iter().filter(|(_, surplus)| *surplus == Surplus::Extra).map(|(at, _)| *at);
        let extra = extra.filter(|at| !self.is_old(self.received(*at)));
        let finding = |at: usize| {
            let found = self.received(at);
            let nearest = self.exchange.expected.iter().map(|other| (differences(other.report, found.report), other));
            let nearest = nearest.min_by_key(|(differences, _)| differences.len()).map(|(differences, other)| {
                format!("; the nearest that is expected is {}: {}", other.report, differences.join(", "))
            });
            let seen = format!("{} came {}{}", found.report, self.when(found.at), nearest.unwrap_or_default());
            finding("no report that nobody brought about", seen)
        };
        extra.map(finding).collect()
    }

    fn duplicates(&self) -> Vec<Finding> {
        let twice = self.matching.surplus.iter().filter_map(|(at, surplus)| match surplus {
            Surplus::Duplicate { of } => Some((*at, *of)),
            _ => None,
        });
        let finding = |(at, of): (usize, usize)| {
            let (first, again) = (self.received(of), self.received(at));
            let after = again.at.ms_after(first.at);
            finding(
                format!("{} once", first.report),
                format!("it came again {after:.3} ms later, {}", self.when(again.at)),
            )
        };
        twice.map(finding).collect()
    }

    fn stale(&self) -> Vec<Finding> {
        let old = self.matching.surplus.iter().filter_map(|(at, surplus)| {
            let found = self.received(*at);
            match surplus {
                Surplus::Repeated { of } => {
                    let after = found.at.ms_after(self.received(*of).at);
                    Some((found, format!("came again {after:.3} ms later, after others of its minipot")))
                }
                Surplus::Extra if self.is_old(found) && !self.has_old_time(found) => Some((
                    found,
                    format!("came {}, from the address of a handler of an earlier case", self.when(found.at)),
                )),
                Surplus::Extra if self.is_old(found) => {
                    let ts = found.report.ts.unwrap_or_default();
                    Some((found, format!("came {} with the `ts` {ts}, from before the case", self.when(found.at))))
                }
                _ => None,
            }
        });
        let finding = |(found, what): (&Received<'_>, String)| {
            finding("no report of what is past", format!("{} {what}", found.report))
        };
        old.map(finding).collect()
    }

    fn fields(&self) -> Vec<Finding> {
        let near = self.matching.near.iter().map(|(index, at)| {
            let differing = differences(self.expected(*index).report, self.received(*at).report);
            finding(self.wanted(*index), format!("{} came: {}", self.received(*at).report, differing.join(", ")))
        });
        let mut found: Vec<Finding> = near.collect();
        found.extend(flaws(self.exchange, |flaw| matches!(flaw, Flaw::Missing { .. } | Flaw::Unexpected { .. })));
        found
    }

    fn data_order(&self) -> Vec<Finding> {
        let keys = |data: &Option<Vec<(String, String)>>| -> Vec<String> {
            data.iter().flatten().map(|(key, _)| key.clone()).collect()
        };
        let differing = self.matching.pairs.iter().filter_map(|(index, at)| {
            let (wanted, found) = (keys(&self.expected(*index).report.data), keys(&self.received(*at).report.data));
            (wanted != found).then(|| {
                finding(
                    format!("the keys {} in the data of {}", wanted.join(", "), self.wanted(*index)),
                    format!("they stand as {}", found.join(", ")),
                )
            })
        });
        differing.collect()
    }

    fn time(&self) -> Vec<Finding> {
        let pairs = self.matching.pairs.iter().chain(&self.matching.near);
        let wrong = pairs.filter_map(|(index, at)| {
            let (wanted, found) = (self.expected(*index), self.received(*at));
            let ts = i128::from(found.report.ts?) * 1_000_000_000;
            let from = unix_ns(self.slice, wanted.began) - 1_000_000_000;
            let to = unix_ns(self.slice, found.at) + 1_000_000_000;
            (ts < from || ts > to).then(|| {
                let off = if ts < from { (ts - from) as f64 / 1e9 } else { (ts - to) as f64 / 1e9 };
                let seen = format!(
                    "it is {}, {:.3} s {} that",
                    ts / 1_000_000_000,
                    off.abs(),
                    if off < 0.0 { "before" } else { "after" }
                );
                finding(format!("the `ts` of {} within [sent - 1 s, received + 1 s]", self.wanted(*index)), seen)
            })
        });
        wrong.collect()
    }

    fn late(&self, late_ms: u64) -> Vec<Finding> {
        let pairs = self.matching.pairs.iter().chain(&self.matching.near);
        let late = pairs.filter_map(|(index, at)| {
            let (wanted, found) = (self.expected(*index), self.received(*at));
            let due = wanted.answered.unwrap_or(wanted.sent).max(self.reachable(found.at));
            let after = found.at.ms_after(due);
            (after > late_ms as f64).then(|| {
                finding(
                    format!("{} within {late_ms} ms of the reply", self.wanted(*index)),
                    format!("it came after {after:.0} ms"),
                )
            })
        });
        late.collect()
    }

    /// When the system could last begin to send, before `at`: we bound our socket, or it connected to that.
    fn reachable(&self, at: Timestamp) -> Timestamp {
        let before = self.slice.records.iter().filter(|record| record.at <= at);
        let begin = before.rev().find(|record| {
            matches!(record.event, Event::Reports(ReportsChange::Bound { .. } | ReportsChange::Connected))
        });
        begin.map_or(Timestamp(0), |record| record.at)
    }
}

fn finding(expected: impl Into<String>, seen: impl Into<String>) -> Finding {
    Finding { expected: expected.into(), seen: seen.into(), around: Vec::new() }
}

/// Departures from the wire format of one kind, a finding a report.
fn flaws(exchange: &Exchange<'_>, kind: impl Fn(&Flaw) -> bool) -> Vec<Finding> {
    let flawed = exchange.received.iter().filter_map(|received| {
        let flaws: Vec<String> = received.flaws.iter().filter(|flaw| kind(flaw)).map(ToString::to_string).collect();
        (!flaws.is_empty()).then(|| finding(format!("{} in the wire format", received.report), flaws.join(", ")))
    });
    flawed.collect()
}

/// A moment of the run as ns since 1970.
fn unix_ns(slice: &Slice<'_>, at: Timestamp) -> i128 {
    i128::from(at.0) + i128::from(slice.run.realtime.offset_ns)
}

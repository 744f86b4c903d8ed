//! Did every byte come back, once, in order, unchanged?

use serde::{Deserialize, Serialize};

use super::slice::{Op, Slice};
use super::verdict::Verdict;
use crate::clock::Timestamp;
use crate::history::{Anomaly, AnomalyKind, Outcome};

/// Of a group of operations, enough brought everything back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Which operations.
    pub group: String,
    /// How many there must be.
    pub planned: u64,
    /// How many must be right.
    pub at_least: u64,
    /// How many must carry SHA-256 digests of both directions.
    #[serde(default)]
    pub sha256: u64,
    /// An operation that ends later than this after the first of its group began, in ms, is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_ms: Option<u64>,
    /// These operations trigger what the case is about: one that could not write a byte leaves it undecided.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_trigger: bool,
}

/// Of the turns that the operations of a group took, enough were answered with the right content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turns {
    /// Which operations.
    pub group: String,
    /// How many of 100 turns must be right.
    pub at_least_percent: u64,
}

impl Traffic {
    /// Judges length, digest, content, order and duplicates of each operation, and counts.
    pub fn judge(&self, slice: &Slice<'_>) -> Verdict {
        let ops = slice.group(&self.group);
        if self.planned == 0 || ops.is_empty() {
            return Verdict::unknown(format!("no operation of `{}` began", self.group));
        }
        let began = ops[0].start;
        let wrong: Vec<(&Op<'_>, String)> =
            ops.iter().filter_map(|op| Some((op, self.too_slow(op, began).or_else(|| fault(op))?))).collect();
        let right = (ops.len() - wrong.len()) as u64;
        let hashed = ops.iter().filter(|op| has_digests(op)).count() as u64;
        if hashed < self.sha256 && right >= self.at_least {
            return Verdict::unknown(format!("{hashed} of {} digests were taken", self.sha256));
        }
        if right >= self.at_least {
            return Verdict::Pass;
        }
        // What the harness itself could not carry out says nothing about the system.
        let not_done = self.planned.saturating_sub(ops.len() as u64);
        let kept_from_it = wrong.iter().filter(|(op, _)| self.undecided(op, began)).count() as u64;
        let undecided = not_done.saturating_add(kept_from_it);
        if right.saturating_add(undecided) >= self.at_least {
            return Verdict::unknown(format!(
                "{right} of {} operations of `{}` are right, and {undecided} could not be carried out: {}",
                self.planned,
                self.group,
                wrong.first().map_or("they never began", |(_, why)| why.as_str())
            ));
        }
        let seen = match wrong.as_slice() {
            [(_, only)] if self.planned == 1 => only.clone(),
            all => format!("{right} were right; first: {}", all.first().map_or("none began", |(_, why)| why.as_str())),
        };
        let around = wrong.iter().take(8).map(|(_, why)| why.clone()).collect();
        Verdict::fail(
            format!(
                "at least {} of {} operations of `{}` to bring every byte back",
                self.at_least, self.planned, self.group
            ),
            seen,
        )
        .with_records(around)
    }
}

impl Traffic {
    fn undecided(&self, op: &Op<'_>, began: Timestamp) -> bool {
        (undecided(op) && self.too_slow(op, began).is_none()) || (self.is_trigger && op.first_byte.is_none())
    }

    /// Says so when an operation ended too late, whether by itself or because it was ended.
    fn too_slow(&self, op: &Op<'_>, began: Timestamp) -> Option<String> {
        let limit = self.within_ms?;
        let took = op.end.as_ref()?.at.since(began).as_millis() as u64;
        (took > limit).then(|| format!("{}: it took {took} ms, more than {limit} ms", op.ending()))
    }
}

impl Turns {
    /// Counts the turns.
    pub fn judge(&self, slice: &Slice<'_>) -> Verdict {
        let ops = slice.group(&self.group);
        // Sums in 128 bits: a damaged history may name any number.
        let (mut planned, mut ok) = (0u128, 0u128);
        for op in &ops {
            match op.end.as_ref().and_then(|end| end.iterations) {
                _ if undecided(op) => return Verdict::unknown(op.ending()),
                Some(turns) => {
                    (planned, ok) = (planned + u128::from(turns.planned), ok + u128::from(turns.ok));
                }
                None => {
                    let expected =
                        format!("at least {} % of the turns of `{}` to be answered", self.at_least_percent, self.group);
                    return Verdict::fail(expected, format!("none was taken: {}", op.ending()));
                }
            }
        }
        if planned == 0 {
            return Verdict::unknown(format!("no turn of `{}` was planned", self.group));
        }
        if ok * 100 >= planned * u128::from(self.at_least_percent) {
            return Verdict::Pass;
        }
        let endings: Vec<String> = ops.iter().map(Op::ending).collect();
        Verdict::fail(
            format!("at least {} % of the turns of `{}` to be answered", self.at_least_percent, self.group),
            format!("{ok} of {planned} were ({:.1} %); {}", ok as f64 * 100.0 / planned as f64, endings.join("; ")),
        )
    }
}

/// What is wrong with an operation; `None` when everything is right.
pub(super) fn fault(op: &Op<'_>) -> Option<String> {
    let Some(end) = &op.end else { return Some(op.ending()) };
    if !end.anomalies.is_empty() || matches!(end.outcome, Outcome::Corrupt { .. }) {
        let anomalies: Vec<String> = end.anomalies.iter().map(describe).collect();
        return Some(format!("{}: {}{}", op.ending(), anomalies.join(", "), reordered(end.anomalies)));
    }
    if *end.outcome != Outcome::Ok {
        return Some(op.ending());
    }
    if end.sent != op.planned || end.received != op.planned {
        return Some(format!("{}: the length is wrong", op.ending()));
    }
    (end.sent_sha256 != end.received_sha256).then(|| {
        let shown = |digest: Option<&str>| digest.unwrap_or("none").to_string();
        let (sent, received) = (shown(end.sent_sha256), shown(end.received_sha256));
        format!("{}: SHA-256 sent {sent}, received {received}", op.ending())
    })
}

/// Whether an operation was kept from being carried out by something other than the system under test.
pub(super) fn undecided(op: &Op<'_>) -> bool {
    op.end.as_ref().is_none_or(|end| matches!(end.outcome, Outcome::Failed { .. } | Outcome::Cancelled))
}

fn has_digests(op: &Op<'_>) -> bool {
    op.end.as_ref().is_some_and(|end| end.sent_sha256.is_some() && end.received_sha256.is_some())
}

fn describe(anomaly: &Anomaly) -> String {
    let at = anomaly.offset;
    match anomaly.kind {
        AnomalyKind::Changed { bytes } => format!("{bytes} bytes changed at offset {at}"),
        AnomalyKind::Ahead { of } => format!("{} bytes missing at offset {at}", of.saturating_sub(at)),
        AnomalyKind::Back { of } => format!("at offset {at} comes again what was sent at {of}"),
        AnomalyKind::Foreign => format!("from offset {at} on nothing is what was sent"),
        AnomalyKind::Extra => format!("more than was sent from offset {at} on"),
    }
}

/// Bytes that were missing and came after all are not lost: they came in another order.
fn reordered(anomalies: &[Anomaly]) -> &'static str {
    let ahead = anomalies.iter().position(|anomaly| matches!(anomaly.kind, AnomalyKind::Ahead { .. }));
    let back = anomalies.iter().rposition(|anomaly| matches!(anomaly.kind, AnomalyKind::Back { .. }));
    match (ahead, back) {
        (Some(ahead), Some(back)) if ahead < back => " (reordered)",
        _ => "",
    }
}

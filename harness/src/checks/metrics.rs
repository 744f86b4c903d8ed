//! Figures of a case, a suite and a run: bytes, throughput, round-trip times, success rates.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::slice::Slice;
use super::traffic;
use crate::history::YARDSTICK;

/// Clients whose connections are held through an event: that such a one ends is no error, so it is classified, not counted.
const HELD: [&str; 5] = ["idle", "busy", "half_closed", "backpressured", "connecting"];

/// What was done and how fast.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// From the first case's begin to the last one's end, the time between cases left out, in ms.
    pub duration_ms: f64,
    /// Operations that began, those of [`HELD`] clients left out.
    pub operations: u64,
    /// Of these, with every byte right.
    pub operations_ok: u64,
    /// Bytes written by clients.
    pub bytes_sent: u64,
    /// Bytes read by clients.
    pub bytes_received: u64,
    /// Time in which at least one transfer was under way, in ms.
    pub transfer_ms: f64,
    /// Bytes that these transfers brought back.
    pub transfer_bytes: u64,
    /// Round-trip times; `None` when none was measured.
    pub rtt: Option<Rtt>,
    /// What went wrong with operations, the first eight.
    pub errors: Vec<String>,
    #[serde(skip)]
    buckets: BTreeMap<u64, u64>,
}

/// Round-trip times in ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Rtt {
    pub count: u64,
    pub p50_ns: u64,
    pub p90_ns: u64,
    pub p99_ns: u64,
    pub max_ns: u64,
}

impl Metrics {
    /// The figures of one case.
    pub fn of(slice: &Slice<'_>) -> Self {
        let mut metrics = Self { duration_ms: slice.end.ms_after(slice.begin), ..Self::default() };
        let mut transfers = Vec::new();
        for op in slice.operations().into_iter().filter(|op| op.group != YARDSTICK) {
            if !HELD.contains(&op.client) {
                metrics.operations += 1;
                match traffic::fault(&op) {
                    None => metrics.operations_ok += 1,
                    Some(why) if metrics.errors.len() < 8 => metrics.errors.push(why),
                    Some(_) => {}
                }
            }
            let Some(end) = &op.end else { continue };
            metrics.bytes_sent = metrics.bytes_sent.saturating_add(end.sent);
            metrics.bytes_received = metrics.bytes_received.saturating_add(end.received);
            for (bucket, count) in &end.rtt.0 {
                add(&mut metrics.buckets, *bucket, *count);
            }
            if let (true, Some(first)) = (op.client == "transfer", op.first_byte) {
                transfers.push((first, end.at));
                metrics.transfer_bytes = metrics.transfer_bytes.saturating_add(end.received);
            }
        }
        transfers.sort();
        let mut covered = None;
        for (from, to) in transfers {
            let from = covered.map_or(from, |until| from.max(until));
            metrics.transfer_ms += to.ms_after(from).max(0.0);
            covered = Some(covered.map_or(to, |until| to.max(until)));
        }
        metrics.rtt = summarise(&metrics.buckets);
        metrics
    }

    /// The figures of several cases together.
    pub fn sum<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        for part in parts {
            sum.duration_ms += part.duration_ms;
            sum.operations = sum.operations.saturating_add(part.operations);
            sum.operations_ok = sum.operations_ok.saturating_add(part.operations_ok);
            sum.bytes_sent = sum.bytes_sent.saturating_add(part.bytes_sent);
            sum.bytes_received = sum.bytes_received.saturating_add(part.bytes_received);
            sum.transfer_ms += part.transfer_ms;
            sum.transfer_bytes = sum.transfer_bytes.saturating_add(part.transfer_bytes);
            for (bucket, count) in &part.buckets {
                add(&mut sum.buckets, *bucket, *count);
            }
            let room = 8usize.saturating_sub(sum.errors.len());
            sum.errors.extend(part.errors.iter().take(room).cloned());
        }
        sum.rtt = summarise(&sum.buckets);
        sum
    }

    /// Bytes that transfers brought back each second while any was under way, in MB/s (10^6).
    pub fn throughput_mb_per_s(&self) -> Option<f64> {
        (self.transfer_ms > 0.0).then(|| self.transfer_bytes as f64 / 1e3 / self.transfer_ms)
    }
}

fn add(buckets: &mut BTreeMap<u64, u64>, bucket: u64, count: u64) {
    let sum = buckets.entry(bucket).or_default();
    *sum = sum.saturating_add(count);
}

/// Percentiles by the nearest rank, each the upper bound of its bucket.
fn summarise(buckets: &BTreeMap<u64, u64>) -> Option<Rtt> {
    let all: u128 = buckets.values().map(|count| u128::from(*count)).sum();
    let rank = |percent: u128| {
        let wanted = (all * percent).div_ceil(100).max(1);
        let mut below = 0;
        buckets
            .iter()
            .find(|(_, in_bucket)| {
                below += u128::from(**in_bucket);
                below >= wanted
            })
            .map_or(0, |(bound, _)| *bound)
    };
    let max_ns = *buckets.keys().next_back()?;
    let count = u64::try_from(all).unwrap_or(u64::MAX);
    Some(Rtt { count, p50_ns: rank(50), p90_ns: rank(90), p99_ns: rank(99), max_ns })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks_over_all_parts() {
        let part =
            |buckets: &[(u64, u64)]| Metrics { buckets: buckets.iter().copied().collect(), ..Metrics::default() };
        let sum = Metrics::sum([&part(&[(10, 50), (20, 39)]), &part(&[(20, 1), (30, 9), (900, 1)])]);
        assert_eq!(sum.rtt.unwrap(), Rtt { count: 100, p50_ns: 10, p90_ns: 20, p99_ns: 30, max_ns: 900 });
        assert_eq!(Metrics::sum([]).rtt, None);
    }
}

//! Is the system about as fast as it should be, measured against a yardstick beside it, and does it never stand still?

use serde::{Deserialize, Serialize};

use super::slice::{Op, Slice};
use super::verdict::Verdict;
use crate::history::Outcome;

/// Round trips of a group take at most so many times as long as those of another, which went through a bare relay at the
/// same time. What keeps the machine busy slows both, so it cancels out. The quicker tenth of each is compared: on a busy
/// machine the others say more of the scheduler than of the system, and a system that is slow is so in every round trip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pace {
    /// The operations that are judged.
    pub group: String,
    /// Those that they are measured against.
    pub yardstick: String,
    /// How many times as long they may take.
    pub at_most: f64,
}

/// While a client of a group waits for bytes, some move at least this often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// The operations that are judged.
    pub group: String,
    /// The longest silence, in ms: a second or more, for shorter ones are not recorded.
    pub at_most_ms: u64,
}

/// Fewer round trips than these say nothing.
const ENOUGH: u64 = 50;

impl Pace {
    /// Compares the first deciles of the round-trip times.
    pub fn judge(&self, slice: &Slice<'_>) -> Verdict {
        let (ours, theirs) = (slice.group(&self.group), slice.group(&self.yardstick));
        let (measured, yardstick) = match (first_decile(&ours), first_decile(&theirs)) {
            (Ok(measured), Ok(yardstick)) => (measured, yardstick),
            (Err(few), _) => return few_round_trips(few, &self.group),
            (_, Err(few)) => return few_round_trips(few, &self.yardstick),
        };
        let ratio = measured as f64 / yardstick as f64;
        if ratio <= self.at_most {
            return Verdict::Pass;
        }
        let ms = |ns: u64| ns as f64 / 1e6;
        Verdict::fail(
            format!(
                "round trips of `{}` to take at most {} times as long as through a bare relay beside it",
                self.group, self.at_most
            ),
            format!(
                "the quicker tenth of them took {ratio:.1} times as long: {:.3} ms, the relay's {:.3} ms, allowed {:.3} ms",
                ms(measured),
                ms(yardstick),
                ms(yardstick) * self.at_most
            ),
        )
    }
}

impl Silence {
    /// Judges the longest silence of each operation.
    pub fn judge(&self, slice: &Slice<'_>) -> Verdict {
        let ops = slice.group(&self.group);
        let longest = ops.iter().filter_map(|op| Some((op, op.silence?))).max_by_key(|(_, (lasted, _))| *lasted);
        if let Some((op, (lasted, until))) = longest.filter(|(_, (lasted, _))| *lasted > self.at_most_ms) {
            let zero = op.first_byte.unwrap_or(op.start);
            return Verdict::fail(
                format!("`{}` to stand still for at most {} ms", self.group, self.at_most_ms),
                format!(
                    "operation {} to {} stood still for {lasted} ms and went on {:.0} ms after its first byte",
                    op.op.0,
                    op.target,
                    until.ms_after(zero)
                ),
            );
        }
        match ops.iter().all(|op| op.end.is_some()) {
            true if !ops.is_empty() => Verdict::Pass,
            true => Verdict::unknown(format!("no operation of `{}` began", self.group)),
            false => Verdict::unknown(format!("an operation of `{}` never ended", self.group)),
        }
    }
}

fn few_round_trips(count: u64, group: &str) -> Verdict {
    Verdict::unknown(format!("{count} round trips of `{group}` are too few"))
}

/// The round-trip time that a tenth of them stays below, in ns; else how many there were, too few.
fn first_decile(ops: &[Op<'_>]) -> Result<u64, u64> {
    let right = ops.iter().filter_map(|op| op.end.as_ref()).filter(|end| *end.outcome == Outcome::Ok);
    let mut buckets: Vec<(u64, u64)> = right.flat_map(|end| end.rtt.0.iter().copied()).collect();
    buckets.sort_unstable();
    let count: u64 = buckets.iter().map(|(_, count)| count).sum();
    if count < ENOUGH {
        return Err(count);
    }
    let mut below = 0;
    let found = buckets.iter().find(|(_, in_bucket)| {
        below += in_bucket;
        below * 10 >= count
    });
    Ok(found.map_or(1, |(bound, _)| (*bound).max(1)))
}

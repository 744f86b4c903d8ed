//! Do the reports of a system say what really happened? What handlers expect is compared with what came, as multisets; each
//! way in which they can differ is a check of its own.

mod aspect;
mod exchange;
mod matching;
mod order;
mod welcome;

use serde::{Deserialize, Serialize};

pub use aspect::Aspect;
pub use exchange::{Exchange, Expected, Received, Talker};
pub use matching::{Matching, Surplus, differences};

use super::Check;
use super::slice::Slice;
use super::verdict::Verdict;
use crate::history::Record;

/// One way in which reports can be wrong, and what that is judged by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reports {
    /// Which.
    pub aspect: Aspect,
    /// A report that comes this long after the reply to what brought it about is late, in ms. It is written before the
    /// reply; what it takes from there is the system's forwarding.
    pub late_ms: u64,
}

/// How late a report may come where a suite says nothing else, in ms: the second that `ts` is given too, and half a one.
pub const LATE_MS: u64 = 1500;

/// Every aspect, each as a check.
pub fn all(late_ms: u64) -> Vec<Check> {
    Aspect::ALL.map(|aspect| Check::Reports(Reports { aspect, late_ms })).into()
}

/// How many reports that handlers expect have not come, of records in the order of arrival from the beginning of a case on.
/// For who waits for them; the verdict is the checks'.
pub fn missing(records: &[Record]) -> usize {
    let exchange = Exchange::of_records(records);
    Matching::of(&exchange.expected, &exchange.received).lost.len()
}

impl Reports {
    /// What is checked, in a few words.
    pub fn name(&self) -> String {
        format!("reports: {}", self.aspect.words())
    }

    /// Judges a case.
    pub fn judge(&self, slice: &Slice<'_>) -> Verdict {
        let exchange = Exchange::of(slice);
        let found = match self.aspect.findings(&exchange, slice, self.late_ms) {
            Ok(found) => found,
            Err(reason) => return Verdict::unknown(reason),
        };
        let hole = exchange.hole(slice);
        let mut findings = found.into_iter();
        match (findings.next(), hole) {
            (Some(first), hole) => match hole.filter(|_| self.aspect.needs_everything()) {
                Some(reason) => Verdict::unknown(format!("{}; but {reason}", Verdict::Fail(first))),
                None => {
                    let mut first = first;
                    let more: Vec<String> = findings.map(|finding| Verdict::Fail(finding).to_string()).collect();
                    let left = more.len().saturating_sub(SHOWN);
                    first.around.extend(more.into_iter().take(SHOWN).map(|text| format!("also: {text}")));
                    if left > 0 {
                        first.around.push(format!("and {left} more"));
                    }
                    Verdict::Fail(first)
                }
            },
            (None, Some(reason)) => Verdict::unknown(reason),
            (None, None) => Verdict::Pass,
        }
    }
}

/// A finding shows so many others of its kind.
const SHOWN: usize = 8;

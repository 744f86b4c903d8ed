//! Many calls as fast as they can be made: each is in the stream, or counted as lost.

use serde::{Deserialize, Serialize};

use super::calls::Generation;
use super::story::{capture, statements, stream};
use super::watched::{losses, said};
use crate::checks::slice::Slice;
use crate::checks::verdict::Verdict;
use crate::history::{Record, SinspSaid};

/// Events that the library has read during the case.
fn read(slice: &Slice<'_>) -> u64 {
    let told = |record: &Record| match said(record) {
        Some(SinspSaid::Sentinel { read, .. } | SinspSaid::Ended { read, .. }) => *read,
        _ => None,
    };
    let started = slice.records.iter().rposition(|record| matches!(said(record), Some(SinspSaid::Started(_))));
    let since = &slice.records[started.unwrap_or(0)..];
    let before = since.iter().filter(|record| record.at < slice.begin).filter_map(told).max().unwrap_or(0);
    slice.own().iter().filter_map(told).max().unwrap_or(0).saturating_sub(before)
}

/// The events of so many calls of each of these names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storm {
    /// Calls that the traffic program makes each time.
    pub calls: Vec<String>,
    /// Whether events have to be lost: the reader rests meanwhile.
    pub overflows: bool,
}

impl Storm {
    pub(super) fn judge(&self, slice: &Slice<'_>) -> Verdict {
        let Some(capture) = capture(slice) else { return Verdict::unknown("no events were being captured") };
        let Some(generation) = Generation::of(capture) else {
            return Verdict::unknown("which events the driver gives is not known");
        };
        let times: u64 = statements(slice).iter().filter_map(|statement| statement.with.times).sum();
        if times == 0 {
            return Verdict::unknown("the traffic program stated no storm");
        }
        let fenced = slice.own().iter().rev().find_map(|record| match said(record) {
            Some(SinspSaid::Fenced { cpus, seen, .. }) => Some(cpus == seen && *cpus > 0),
            _ => None,
        });
        if fenced != Some(true) {
            return Verdict::unknown("no fence closed the case: events may be missing");
        }
        let each = if generation == Generation::ExitOnly { 1 } else { 2 };
        let wanted = times * self.calls.len() as u64 * each;
        let seen = match self.overflows {
            // They are too many to be printed: what the library read is counted, whoever caused it.
            true => read(slice),
            false => {
                stream(slice, capture).iter().filter(|seen| self.calls.iter().any(|call| call == seen.name)).count()
                    as u64
            }
        };
        if !self.overflows && seen == wanted {
            return Verdict::Pass;
        }
        let Some(lost) = losses(slice) else {
            return Verdict::unknown("the program does not tell how many events the driver lost");
        };
        match (seen, lost) {
            _ if self.overflows && lost == 0 => {
                Verdict::unknown(format!("nothing was lost of {wanted} events: the rings are too large for this storm"))
            }
            // Whose events were lost the driver does not tell: others make calls too.
            (seen, lost) if seen < wanted && seen + lost < wanted => Verdict::fail(
                format!("{wanted} events of {times} x {}", self.calls.join(", ")),
                format!("{seen} events, and {lost} counted as lost: {} are nowhere", wanted - seen - lost),
            ),
            (seen, _) if seen > wanted && !self.overflows => Verdict::fail(
                format!("{wanted} events of {times} x {}", self.calls.join(", ")),
                format!("{seen} events"),
            ),
            _ => Verdict::Pass,
        }
    }
}

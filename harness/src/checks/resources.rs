//! Does the system give back what it takes? Memory and sockets of its processes, since they were started.

use serde::{Deserialize, Serialize};

use super::slice::Slice;
use super::verdict::Verdict;
use crate::history::{Event, Record, Resources};

/// No process of the system holds much more when a case ends than when the first case since its start began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Growth {
    /// Resident memory that a process may have gained, its descendants' included, in bytes.
    pub memory_bytes: u64,
    /// Open sockets that it may have gained.
    pub sockets: u64,
}

impl Growth {
    /// Judges every process that was sampled when the case began.
    pub fn judge(&self, slice: &Slice<'_>) -> Verdict {
        let own: Vec<&Resources> = slice.own().iter().filter_map(sample).collect();
        let mut processes: Vec<&str> = own.iter().map(|sample| sample.process.as_str()).collect();
        processes.sort_unstable();
        processes.dedup();
        if processes.is_empty() {
            return Verdict::unknown("what the system holds was not sampled: /proc could not be read");
        }
        let verdicts: Vec<Verdict> = processes.iter().map(|process| self.judge_one(slice, &own, process)).collect();
        Verdict::worst(&verdicts)
    }

    fn judge_one(&self, slice: &Slice<'_>, own: &[&Resources], process: &str) -> Verdict {
        let samples: Vec<&&Resources> = own.iter().filter(|sample| sample.process == process).collect();
        let (Some(begin), Some(now)) = (samples.first(), samples.last()) else { return Verdict::Pass };
        // The first one of this start: what was sampled of an earlier one has another pid.
        let all = slice.records.iter().filter_map(sample);
        let first = all.into_iter().find(|sample| sample.process == process && sample.tgid == now.tgid);
        let Some(first) = first.filter(|_| samples.len() > 1 && begin.tgid == now.tgid) else {
            return Verdict::unknown(format!("what `{process}` holds was not sampled at both ends of the case"));
        };
        let gained = now.resident_bytes.saturating_sub(first.resident_bytes);
        if gained > self.memory_bytes {
            let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
            let change = (now.resident_bytes as f64 - begin.resident_bytes as f64) / 1e6;
            return Verdict::fail(
                format!("the memory of `{process}` to grow by at most {} in a group", megabytes(self.memory_bytes)),
                format!(
                    "it grew by {} since the first case, from {} to {} ({change:+.1} MB in this case)",
                    megabytes(gained),
                    megabytes(first.resident_bytes),
                    megabytes(now.resident_bytes)
                ),
            );
        }
        self.judge_sockets([first, begin, now].map(|sample| sample.sockets), process)
    }

    /// `held` before the group, when the case began, and when it ended.
    fn judge_sockets(&self, held: [Option<u64>; 3], process: &str) -> Verdict {
        let [Some(first), Some(begin), Some(now)] = held else {
            return Verdict::unknown(format!(
                "how many sockets `{process}` holds was not counted: only eBPF with BTF can without touching them"
            ));
        };
        let gained = now.saturating_sub(first);
        if gained <= self.sockets {
            return Verdict::Pass;
        }
        let change = now as i64 - begin as i64;
        Verdict::fail(
            format!("`{process}` to hold at most {} sockets more than before the group", self.sockets),
            format!(
                "it holds {gained} more: {first} then, {now} now ({change:+} in this case), though every client has ended"
            ),
        )
    }
}

fn sample(record: &Record) -> Option<&Resources> {
    match &record.event {
        Event::Resources(resources) => Some(resources),
        _ => None,
    }
}

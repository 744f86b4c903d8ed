//! Did the whole system end in order, once a case had asked it to, or had taken one of its processes away?

use serde::{Deserialize, Serialize};

use super::coverage::witness;
use super::slice::Slice;
use super::verdict::Verdict;
use super::witnessed::children_until;
use crate::clock::Timestamp;
use crate::endpoint::Tgid;
use crate::history::{Event, ProcessChange, SutChange};

/// The system's first process and all its children ended, as the kernel saw it, and the first one with exit code 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemEnds {
    /// From when it was asked on, in ms.
    pub within_ms: u64,
}

impl SystemEnds {
    /// Judges the end.
    pub fn judge(&self, slice: &Slice<'_>) -> Verdict {
        if let Err(reason) = witness(slice) {
            return Verdict::unknown(reason);
        }
        let asked = slice.own().iter().find_map(|record| match &record.event {
            Event::Sut(SutChange::Asked { signal, .. }) => Some((record.at, *signal)),
            _ => None,
        });
        let Some((asked, signal)) = asked else { return Verdict::unknown("nobody asked the system to end") };
        let launched = slice.records.iter().rev().find_map(|record| match &record.event {
            Event::Sut(SutChange::Launched { process, tgid }) if record.at <= asked => Some((process, Tgid(*tgid))),
            _ => None,
        });
        let Some((name, master)) = launched else { return Verdict::unknown("the system was not started in this run") };
        let children = children_until(slice, master, asked);
        if children.is_empty() {
            return Verdict::unknown(format!(
                "the observer told of no child of `{name}`: who else should end is not known"
            ));
        }
        let expected = format!("the whole system to end within {} ms of signal {signal}", self.within_ms);
        for process in std::iter::once(master).chain(children) {
            let ended = slice.own().iter().find_map(|record| match &record.event {
                Event::Process(ProcessChange::Exit { process: gone, .. }) if gone.tgid == process => Some(record.at),
                _ => None,
            });
            let who = if process == master { format!("`{name}`") } else { format!("its child {process}") };
            match ended {
                Some(at) if at.ms_after(asked) <= self.within_ms as f64 => {}
                Some(at) => return Verdict::fail(expected, format!("{who} ended after {:.0} ms", at.ms_after(asked))),
                None if slice.end.ms_after(asked) < self.within_ms as f64 => {
                    return Verdict::unknown(format!("{who} was watched for {:.0} ms", slice.end.ms_after(asked)));
                }
                None => return Verdict::fail(expected, format!("{who} lives on")),
            }
        }
        self.status(slice, asked, name)
    }

    /// What wait(2) said of the first process.
    fn status(&self, slice: &Slice<'_>, asked: Timestamp, name: &str) -> Verdict {
        let status = slice.own().iter().find_map(|record| match &record.event {
            Event::Sut(SutChange::Died { process, status }) if process == name && record.at >= asked => Some(status),
            _ => None,
        });
        match status.map(String::as_str) {
            Some("exit code 0") => Verdict::Pass,
            Some(other) => Verdict::fail(format!("`{name}` to end with exit code 0"), format!("it ended with {other}")),
            None => Verdict::unknown(format!("how `{name}` ended is not recorded")),
        }
    }
}

//! Did the whole system end as it should, once a case had asked it to, had taken one of its processes away, or had brought
//! about what it ends by?

use serde::{Deserialize, Serialize};

use super::coverage::witness;
use super::slice::Slice;
use super::verdict::Verdict;
use super::witnessed::children_until;
use crate::clock::Timestamp;
use crate::endpoint::Tgid;
use crate::history::{Event, ProcessChange, SutChange};

/// The system's first process and all its children ended, as the kernel saw it, and the first one in time and with its exit
/// code, by the kernel's word and by wait(2)'s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemEnds {
    /// From when it was asked on, in ms.
    pub within_ms: u64,
    /// The first process lives on for at least so long, in ms.
    #[serde(default)]
    pub not_before_ms: u64,
    /// The exit code of the first process.
    #[serde(default)]
    pub exit_code: u8,
}

impl SystemEnds {
    /// In order, with exit code 0.
    pub fn in_order(within_ms: u64) -> Self {
        Self { within_ms, not_before_ms: 0, exit_code: 0 }
    }

    /// Judges the end.
    pub fn judge(&self, slice: &Slice<'_>) -> Verdict {
        if let Err(reason) = witness(slice) {
            return Verdict::unknown(reason);
        }
        let asked = slice.own().iter().find_map(|record| match &record.event {
            Event::Sut(SutChange::Asked { signal, .. }) => Some((record.at, format!("signal {signal}"))),
            Event::Sut(SutChange::Provoked { by }) => Some((record.at, by.clone())),
            _ => None,
        });
        let Some((asked, by)) = asked else { return Verdict::unknown("nobody asked the system to end") };
        let launched = slice.records.iter().rev().find_map(|record| match &record.event {
            Event::Sut(SutChange::Launched { process, tgid }) if record.at <= asked => Some((process, Tgid(*tgid))),
            _ => None,
        });
        let Some((name, master)) = launched else { return Verdict::unknown("the system was not started in this run") };
        let expected = format!("the whole system to end within {} ms of {by}", self.within_ms);
        let ended_of = |process: Tgid| {
            slice.own().iter().find_map(|record| match &record.event {
                Event::Process(ProcessChange::Exit { process: gone, status }) if gone.tgid == process => {
                    Some((record.at, *status))
                }
                _ => None,
            })
        };
        if let Some((at, _)) = ended_of(master).filter(|(at, _)| *at < asked) {
            return Verdict::fail(expected, format!("`{name}` had ended {:.0} ms before", asked.ms_after(at)));
        }
        let children = children_until(slice, master, asked);
        if children.is_empty() {
            return Verdict::unknown(format!(
                "the observer told of no child of `{name}`: who else should end is not known"
            ));
        }
        for process in std::iter::once(master).chain(children) {
            let ended = ended_of(process);
            let who = if process == master { format!("`{name}`") } else { format!("its child {process}") };
            if let Some((at, status)) = ended.filter(|_| process == master) {
                let after = at.ms_after(asked);
                if after < self.not_before_ms as f64 {
                    let expected = format!("`{name}` to live for {} ms from {by} on", self.not_before_ms);
                    return Verdict::fail(expected, format!("it ended after {after:.0} ms"));
                }
                // Without BTF the kernel does not tell it: then there is what wait(2) says.
                if let Some(status) = status.filter(|status| *status != i32::from(self.exit_code) << 8) {
                    return Verdict::fail(self.exit(name), format!("the kernel saw it end with {}", in_words(status)));
                }
            }
            match ended.map(|(at, _)| at) {
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
        match status {
            Some(status) if *status == format!("exit code {}", self.exit_code) => Verdict::Pass,
            Some(other) => Verdict::fail(self.exit(name), format!("it ended with {other}")),
            None => Verdict::unknown(format!("how `{name}` ended is not recorded")),
        }
    }

    fn exit(&self, name: &str) -> String {
        format!("`{name}` to end with exit code {}", self.exit_code)
    }
}

/// A status of wait(2): exit code << 8, or the signal, with 128 for a core dump.
fn in_words(status: i32) -> String {
    match status & 0x7f {
        0 => format!("exit code {}", status >> 8),
        signal => format!("signal {signal}"),
    }
}

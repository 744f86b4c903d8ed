//! Ends a running system on a case's behalf: by a signal to its first process, or to the one that listens somewhere.

use std::time::Duration;

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

use super::wait;
use crate::clock::Timestamp;
use crate::endpoint::Endpoint;
use crate::history::{Event, ProcessChange, Record, Recorder, Source, SutChange};

/// Whom a signal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// The process that the profile starts first.
    First,
    /// The one that listens there.
    Listener(Endpoint),
}

/// Why nobody was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// No process of the system is known.
    #[error("the system is not running")]
    NotRunning,
    /// It is not known who listens.
    #[error("who listens at {0} is not known: nobody does, or the observer does not tell")]
    NoListener(Endpoint),
    /// The kernel refused.
    #[error("could not send signal {signal} to process {tgid}: {why}")]
    Signal {
        /// To whom.
        tgid: u32,
        /// Which.
        signal: i32,
        /// Why not.
        why: String,
    },
}

/// Sends a signal to one process of the system, and records it. The system is then no longer expected to live.
pub fn ask(recorder: &Recorder, whom: Whom, signal: Signal) -> Result<(), AskError> {
    let tgid = match whom {
        Whom::First => first(recorder).ok_or(AskError::NotRunning)?,
        Whom::Listener(endpoint) => {
            let netns = recorder.run().netns;
            let holder = recorder.listeners(|all| all.holder(endpoint, netns).map(|process| process.tgid.0));
            holder.filter(|tgid| *tgid != 0).ok_or(AskError::NoListener(endpoint))?
        }
    };
    let failed = |why: String| AskError::Signal { tgid, signal: signal.as_raw(), why };
    let pid = i32::try_from(tgid).ok().and_then(Pid::from_raw).ok_or_else(|| failed("it is no pid".into()))?;
    // Before it: whatever follows from the signal comes later.
    recorder.record(Source::Runner, Event::Sut(SutChange::Asked { tgid, signal: signal.as_raw() }));
    kill_process(pid, signal).map_err(|error| failed(error.to_string()))
}

/// Records that a case begins to bring about, by what stands here, that the system ends. It is then no longer expected to live.
pub fn provoked(recorder: &Recorder, by: &str) {
    recorder.record(Source::Runner, Event::Sut(SutChange::Provoked { by: by.into() }));
}

/// Waits until the system's first process and all its children have ended, as the observer sees it, and wait(2) has said how the
/// first did, which may come a moment later; false on expiry.
pub async fn ended(recorder: &Recorder, within: Duration) -> bool {
    let Some(first) = first(recorder) else { return true };
    let over = |records: &[Record]| living(records, first) == 0 && is_told(records, first);
    wait::until(recorder, Timestamp::now() + within, over).await
}

fn first(recorder: &Recorder) -> Option<u32> {
    recorder.records(|records| {
        records.iter().rev().find_map(|record| match &record.event {
            Event::Sut(SutChange::Launched { tgid, .. }) => Some(*tgid),
            _ => None,
        })
    })
}

/// Whether it is recorded how a process that was launched ended.
fn is_told(records: &[Record], first: u32) -> bool {
    let launched = records
        .iter()
        .rposition(|record| matches!(&record.event, Event::Sut(SutChange::Launched { tgid, .. }) if *tgid == first));
    let Some(after) = launched.map(|at| &records[at..]) else { return false };
    let Event::Sut(SutChange::Launched { process: name, .. }) = &after[0].event else { return false };
    after.iter().any(|record| matches!(&record.event, Event::Sut(SutChange::Died { process, .. }) if process == name))
}

/// How many of a process and its children live.
fn living(records: &[Record], first: u32) -> usize {
    let mut living = std::collections::BTreeSet::from([first]);
    for record in records {
        match &record.event {
            Event::Process(ProcessChange::Fork { parent, child }) if parent.tgid.0 == first => {
                living.insert(child.0);
            }
            Event::Process(ProcessChange::Exit { process, .. }) => drop(living.remove(&process.tgid.0)),
            _ => {}
        }
    }
    living.len()
}

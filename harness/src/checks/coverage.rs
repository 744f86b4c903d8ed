//! Was the kernel watched for the whole of the case, without a gap, and to its end?

use std::collections::HashSet;

use super::reports::Exchange;
use super::slice::Slice;
use super::verdict::Verdict;
use crate::clock::Timestamp;
use crate::endpoint::Endpoint;
use crate::history::{Event, ObserverChange, Record, Source, SutChange};

/// Probes of the causes: which port is open does not depend on them.
const CAUSES: [&str; 2] = ["syscall", "map of calls in progress"];

/// What the observer of a case can tell.
#[derive(Clone, Copy, Debug)]
pub struct Witness<'a> {
    /// The rung of the capability ladder.
    pub rung: &'a str,
    /// Whether it sees connections, not only listeners.
    pub sees_connections: bool,
}

/// The witness of a case, or why there is none: no observer, a dead one, lost records, no fence at the end.
pub fn witness<'a>(slice: &Slice<'a>) -> Result<Witness<'a>, String> {
    let mut witness = None;
    for record in slice.records.iter().filter(|record| record.source.witnesses_ports()) {
        match &record.event {
            Event::Observer(ObserverChange::Started { rung, sees_connections, .. }) if record.at <= slice.begin => {
                witness = Some(Witness { rung, sees_connections: *sees_connections });
            }
            Event::Observer(ObserverChange::Died { reason }) => return Err(format!("the observer died: {reason}")),
            Event::Observer(ObserverChange::Stopped) => return Err("the observer was stopped before the end".into()),
            // What was lost of listeners before the case makes the state in which it begins uncertain.
            Event::Loss { probe, count, .. } if record.at >= slice.begin || !CAUSES.contains(&probe.as_str()) => {
                return Err(format!("{count} records of {probe} were lost: a larger ring buffer would have kept them"));
            }
            _ => {}
        }
    }
    let witness = witness.ok_or("no observer was watching when the case began")?;
    fence(slice, Source::witnesses_ports).map(|_| witness)
}

/// When the last fence of the case began, of the observers that `of` picks; an error says what it lacks.
pub(super) fn fence(slice: &Slice<'_>, of: impl Fn(Source) -> bool) -> Result<Timestamp, String> {
    let fence = slice.own().iter().rev().find_map(|record| match record.event {
        Event::Fence { began, cpus, seen } if of(record.source) => Some((began, cpus, seen)),
        _ => None,
    });
    match fence {
        Some((began, cpus, seen)) if cpus > 0 && seen == cpus && began >= slice.begin => Ok(began),
        Some((_, cpus, seen)) if seen != cpus => {
            Err(format!("only {seen} of {cpus} sentinels came back: records may be missing"))
        }
        _ => Err("no fence closed the case: records may be missing".into()),
    }
}

/// The witness of a case in which connections are judged, or why there is none: the reasons of [`witness`], or one that
/// sees listeners alone.
pub fn connection_witness<'a>(slice: &Slice<'a>) -> Result<Witness<'a>, String> {
    match witness(slice)? {
        witness if witness.sees_connections => Ok(witness),
        witness => Err(format!("{} sees no connections: the ebpf observer would settle it", witness.rung)),
    }
}

/// Pass when the case has a witness that saw something of what was done in it.
pub fn judge(slice: &Slice<'_>) -> Verdict {
    let witness = match witness(slice) {
        Ok(witness) => witness,
        Err(reason) => return Verdict::unknown(reason),
    };
    let operations = slice.operations();
    let mut connected: HashSet<(u16, Endpoint)> =
        operations.iter().filter_map(|op| Some((op.target.port(), op.connect.as_ref()?.local?))).collect();
    for handler in Exchange::of(slice).talkers.values() {
        connected.extend(handler.locals.values().map(|local| (handler.target.port(), *local)));
    }
    if connected.is_empty() {
        return Verdict::unknown("no client connected: nothing was there to be seen");
    }
    let seen = |record: &Record| match &record.event {
        Event::SocketState(change) => {
            change.remote.is_some_and(|remote| connected.contains(&(change.local.port(), remote)))
        }
        _ => false,
    };
    if witness.sees_connections && !slice.own().iter().any(seen) {
        return Verdict::unknown(format!(
            "{} clients connected, and the observer saw the other end of none: it looks elsewhere",
            connected.len()
        ));
    }
    Verdict::Pass
}

/// Fails when a process of the system under test died by itself during the case.
pub fn alive(slice: &Slice<'_>) -> Verdict {
    // How a system ends that a case has asked to, or brought to it, is for the check of that.
    let asked =
        |record: &Record| matches!(record.event, Event::Sut(SutChange::Asked { .. } | SutChange::Provoked { .. }));
    if slice.own().iter().any(asked) {
        return Verdict::Pass;
    }
    let death = slice.own().iter().find_map(|record| match &record.event {
        Event::Sut(SutChange::Died { process, status }) => Some((record.at, process, status)),
        _ => None,
    });
    match death {
        Some((at, process, status)) => Verdict::fail(
            "every process of the system to live",
            format!("`{process}` died {:.0} ms into the case: {status}", at.ms_after(slice.begin)),
        ),
        None => Verdict::Pass,
    }
}

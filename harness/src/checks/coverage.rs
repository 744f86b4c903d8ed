//! Was the kernel watched for the whole of the case, without a gap, and to its end?

use super::slice::Slice;
use super::verdict::Verdict;
use crate::history::{Event, ObserverChange, Outcome, Source, SutChange};

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
    for record in slice.records {
        match &record.event {
            Event::Observer(ObserverChange::Started { rung, sees_connections, .. }) if record.at <= slice.begin => {
                witness = Some(Witness { rung, sees_connections: *sees_connections });
            }
            Event::Observer(ObserverChange::Died { reason }) => return Err(format!("the observer died: {reason}")),
            Event::Observer(ObserverChange::Stopped) => return Err("the observer was stopped before the end".into()),
            Event::Loss { probe, count, .. } if record.at >= slice.begin => {
                return Err(format!("{count} records of {probe} were lost: a larger ring buffer would have kept them"));
            }
            _ => {}
        }
    }
    let witness = witness.ok_or("no observer was watching when the case began")?;
    let fence = slice.own().iter().rev().find_map(|record| match record.event {
        Event::Fence { cpus, seen, .. } => Some((cpus, seen)),
        _ => None,
    });
    match fence {
        Some((cpus, seen)) if cpus > 0 && seen == cpus => Ok(witness),
        Some((cpus, seen)) => Err(format!("only {seen} of {cpus} sentinels came back: records may be missing")),
        None => Err("no fence closed the case: records may be missing".into()),
    }
}

/// Pass when the case has a witness that saw something of what was done in it.
pub fn judge(slice: &Slice<'_>) -> Verdict {
    let witness = match witness(slice) {
        Ok(witness) => witness,
        Err(reason) => return Verdict::unknown(reason),
    };
    let connected = slice
        .operations()
        .iter()
        .filter(|op| op.connect.as_ref().is_some_and(|connect| *connect.outcome == Outcome::Ok))
        .count();
    if connected == 0 {
        return Verdict::unknown("no client connected: nothing was there to be seen");
    }
    let seen = |record: &&crate::history::Record| {
        matches!(record.source, Source::Ebpf | Source::SockDiag) && matches!(record.event, Event::SocketState(_))
    };
    if witness.sees_connections && !slice.own().iter().any(|record| seen(&record)) {
        return Verdict::unknown(format!(
            "{connected} clients connected, and the observer saw no socket change its state: it looks elsewhere"
        ));
    }
    Verdict::Pass
}

/// Fails when a process of the system under test died by itself during the case.
pub fn alive(slice: &Slice<'_>) -> Verdict {
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

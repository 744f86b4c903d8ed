//! Who holds a port, and what became of those who did: the clauses that save the reader of a finding a guess.

use std::collections::BTreeMap;

use super::slice::Slice;
use crate::clock::Timestamp;
use crate::endpoint::{Endpoint, SocketId, Tgid};
use crate::history::{Edge, EdgeKind, Event, PortTimeline, Process, ProcessChange, TcpState};

/// An exit this long before or after a close of the same process belongs to it, in ms: the kernel closes descriptors on a
/// process's way out, and a busy machine takes its time.
const TOGETHER_MS: f64 = 1000.0;

/// Which sockets listen at `endpoint` when the case ends, who opened them, and which closed there since `since`, as clauses.
pub(super) fn listens_still(slice: &Slice<'_>, endpoint: Endpoint, since: Timestamp) -> String {
    let mut open: BTreeMap<SocketId, (Timestamp, &Process)> = BTreeMap::new();
    let mut closed = Vec::new();
    for record in slice.records {
        let Event::SocketState(change) = &record.event else { continue };
        if !change.local.covers(endpoint, change.ipv6_only) {
            continue;
        }
        if (change.from, change.to) == (TcpState::Close, TcpState::Listen) {
            open.insert(change.socket, (record.at, &change.process));
        } else if (change.from, change.to) == (TcpState::Listen, TcpState::Close) {
            open.remove(&change.socket);
            if record.at >= since {
                closed.push((record.at, &change.process));
            }
        }
    }
    let mut clauses = String::new();
    for (at, process) in closed.iter().take(2) {
        clauses.push_str(&format!("; a socket there closed {:.3} ms after it, by {process}", at.ms_after(since)));
    }
    for (at, process) in open.values().take(4) {
        let when = since.ms_after(*at);
        let when = if when >= 0.0 { format!("{when:.0} ms before it") } else { format!("{:.0} ms after it", -when) };
        clauses.push_str(&format!("; the one that listens was opened by {process} {when}"));
        let children = living_children(slice, process.tgid);
        if let Some(first) = children.first() {
            let more = if children.len() > 1 { format!(" and {} more", children.len() - 1) } else { String::new() };
            clauses.push_str(&format!(", whose child {first}{more} lives and may hold it too"));
        }
    }
    clauses
}

/// What became of a port and of the process that closed it, after an edge, as clauses.
pub(super) fn afterwards(slice: &Slice<'_>, timeline: &PortTimeline, closed: &Edge) -> String {
    let mut clauses = String::new();
    if let Some(ending) = ending(slice, closed) {
        clauses.push_str(&format!(", which ended then ({ending})"));
    }
    let opened = timeline.edges.iter().find(|edge| edge.kind == EdgeKind::Opened && edge.at >= closed.at);
    match opened {
        Some(opened) => clauses.push_str(&format!(
            "; it listened again after {:.3} ms, by {}{}",
            opened.at.ms_after(closed.at),
            opened.process,
            another(closed, opened)
        )),
        None => clauses.push_str("; it did not listen again before the case ended"),
    }
    clauses
}

/// Says so when a port was opened by another process than had closed it.
pub(super) fn another(closed: &Edge, opened: &Edge) -> String {
    match closed.process.tgid == opened.process.tgid {
        true => String::new(),
        false => format!(", another process than {}", closed.process),
    }
}

/// How the process that closed a port ended, when it did at that moment.
pub(super) fn ending(slice: &Slice<'_>, closed: &Edge) -> Option<String> {
    slice.own().iter().find_map(|record| match &record.event {
        Event::Process(ProcessChange::Exit { process, status })
            if process.tgid == closed.process.tgid && record.at.ms_after(closed.at).abs() <= TOGETHER_MS =>
        {
            Some(match status {
                Some(status) if status & 0x7f != 0 => format!("signal {}", status & 0x7f),
                Some(status) => format!("exit code {}", status >> 8),
                None => "how is not known".into(),
            })
        }
        _ => None,
    })
}

fn living_children(slice: &Slice<'_>, of: Tgid) -> Vec<Tgid> {
    let mut living = Vec::new();
    for record in slice.records {
        match &record.event {
            Event::Process(ProcessChange::Fork { parent, child }) if parent.tgid == of => living.push(*child),
            Event::Process(ProcessChange::Exit { process, .. }) => living.retain(|child| *child != process.tgid),
            _ => {}
        }
    }
    living
}

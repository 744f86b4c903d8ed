//! The kernel's word on conversations and reports: which connections there really were, who closed them, who listens.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::coverage::{connection_witness, witness};
use super::reports::Exchange;
use super::slice::Slice;
use super::verdict::Verdict;
use crate::clock::Timestamp;
use crate::endpoint::{Endpoint, Tgid};
use crate::history::{ConnectionEnd, Event, HandlerStep, ProcessChange, SocketState, SutChange, TcpState};

/// Every connection that the kernel accepted for the system has its `connect` report, and every report a connection of its
/// peer: not by a handler's word, but by the kernel's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionsReported {}

/// The system closed first, as the kernel saw it, each connection that came to its end for a handler by EOF or reset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemCloses {
    /// How many such connections there must be.
    pub at_least: u64,
}

/// These ports listen when the case ends, each by one socket of a process of its own, a child of the system's first process;
/// and no other process of the system listens anywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenersAre {
    /// Addresses that a client could connect to; a wildcard that covers one will do.
    pub endpoints: Vec<Endpoint>,
}

impl ConnectionsReported {
    /// Judges both directions.
    pub fn judge(&self, slice: &Slice<'_>) -> Verdict {
        if let Err(reason) = connection_witness(slice) {
            return Verdict::unknown(reason);
        }
        let exchange = Exchange::of(slice);
        if let Some(reason) = exchange.hole(slice) {
            return Verdict::unknown(reason);
        }
        let ports: BTreeMap<u16, &str> =
            exchange.talkers.values().map(|talker| (talker.target.port(), talker.minipot)).collect();
        // Connections of handlers that do not ask for a report: in the queue, or refused by the system in another way.
        let mut unreported: BTreeSet<(u16, Endpoint)> = BTreeSet::new();
        for talker in exchange.talkers.values() {
            unreported.extend(talker.locals.values().map(|local| (talker.target.port(), *local)));
        }
        for expected in exchange.expected.iter().filter(|expected| expected.report.action == "connect") {
            let talker = exchange.talkers.get(&expected.handler);
            let local =
                talker.and_then(|talker| Some((talker.target.port(), *talker.locals.get(&expected.connection)?)));
            local.map(|local| unreported.remove(&local));
        }
        let mut accepted: BTreeMap<(&str, String), Vec<(Timestamp, Endpoint)>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (at, change) in accepts(slice) {
            let (Some(minipot), Some(remote)) = (ports.get(&change.local.port()), change.remote) else { continue };
            seen.insert((change.local.port(), remote));
            accepted.entry((minipot, remote.ip().to_string())).or_default().push((at, remote));
        }
        if let Some(verdict) = unseen(&exchange, &seen) {
            return verdict;
        }
        let count = |minipot: &str, ip: &str, action: Option<&str>| {
            let same = |report: &&crate::history::Report| {
                report.kind == minipot && report.ip == ip && action.is_none_or(|action| report.action == action)
            };
            exchange.received.iter().map(|received| received.report).filter(same).count()
        };
        for ((minipot, ip), connections) in &accepted {
            let silent = connections.iter().filter(|(_, remote)| {
                ports.iter().any(|(port, name)| name == minipot && unreported.contains(&(*port, *remote)))
            });
            let (silent, reports) = (silent.count(), count(minipot, ip, Some("connect")));
            if reports + silent < connections.len() || reports > connections.len() {
                let around = connections.iter().take(8);
                let around =
                    around.map(|(at, remote)| format!("{:+.3} ms {remote} established", at.ms_after(slice.begin)));
                return Verdict::fail(
                    format!("a connect report of {minipot} for each connection from {ip} that the kernel accepted"),
                    format!("{} connections were accepted, and {reports} reports came", connections.len()),
                )
                .with_records(around.collect());
            }
        }
        for received in &exchange.received {
            let (kind, ip) = (received.report.kind.as_str(), received.report.ip.clone());
            if received.at >= slice.begin && !accepted.contains_key(&(kind, ip)) {
                return Verdict::fail(
                    format!("a connection that the kernel accepted for {}", received.report),
                    "there is none from that address to that minipot",
                );
            }
        }
        Verdict::Pass
    }
}

/// Where a handler connected and the kernel's record has no such connection, it looks elsewhere.
fn unseen(exchange: &Exchange<'_>, seen: &BTreeSet<(u16, Endpoint)>) -> Option<Verdict> {
    let connected = exchange.talkers.values();
    let mut connected = connected.flat_map(|talker| talker.locals.values().map(|local| (talker.target.port(), *local)));
    let missing = connected.find(|connection| !seen.contains(connection))?;
    Some(Verdict::unknown(format!(
        "a handler connected from {} to port {}, and the kernel reported no ESTABLISHED for it: the connection was \
         accepted elsewhere, or still waited to be",
        missing.1, missing.0
    )))
}

/// Every socket of the system's side that came to be ESTABLISHED in the case.
fn accepts<'a>(slice: &Slice<'a>) -> impl Iterator<Item = (Timestamp, &'a SocketState)> {
    slice.own().iter().filter_map(|record| match &record.event {
        Event::SocketState(change) if change.to == TcpState::Established && change.from == TcpState::SynRecv => {
            Some((record.at, change))
        }
        _ => None,
    })
}

impl SystemCloses {
    /// Judges every connection that a handler saw end.
    pub fn judge(&self, slice: &Slice<'_>) -> Verdict {
        if let Err(reason) = connection_witness(slice) {
            return Verdict::unknown(reason);
        }
        let exchange = Exchange::of(slice);
        let mut judged = 0;
        for record in slice.own() {
            let Event::Handler(handling) = &record.event else { continue };
            let HandlerStep::Over { connection, how: how @ (ConnectionEnd::Eof | ConnectionEnd::Reset) } =
                &handling.step
            else {
                continue;
            };
            let Some(talker) = exchange.talkers.get(&handling.handler) else { continue };
            let Some(local) = talker.locals.get(connection) else { continue };
            let of_it = |change: &SocketState| {
                change.local.port() == talker.target.port()
                    && change.remote == Some(*local)
                    && change.from == TcpState::Established
            };
            let left = slice.own().iter().find_map(|record| match &record.event {
                Event::SocketState(change) if of_it(change) => Some((record.at, change)),
                _ => None,
            });
            let (at, change) = match left {
                Some(left) => left,
                None => {
                    let reason = format!("the kernel reported no end of the connection {local} -> {}", talker.target);
                    return Verdict::unknown(reason);
                }
            };
            // FIN of one's own first (RFC 9293, active close), or a reset.
            if !matches!(change.to, TcpState::FinWait1 | TcpState::Close) {
                let seen = format!(
                    "the kernel saw its client close first, {:.3} ms into the case ({:?} -> {:?}); the handler was told {how:?}",
                    at.ms_after(slice.begin),
                    change.from,
                    change.to
                );
                return Verdict::fail(
                    format!("the system to close {local} -> {} (`{}`)", talker.target, talker.name),
                    seen,
                );
            }
            judged += 1;
        }
        match judged {
            count if count >= self.at_least.max(1) => Verdict::Pass,
            count => Verdict::unknown(format!("{count} of {} connections were closed by the system", self.at_least)),
        }
    }
}

impl ListenersAre {
    /// Judges the listeners at the end of the case.
    pub fn judge(&self, slice: &Slice<'_>) -> Verdict {
        if let Err(reason) = witness(slice) {
            return Verdict::unknown(reason);
        }
        let launched = slice.records.iter().rev().find_map(|record| match &record.event {
            Event::Sut(SutChange::Launched { tgid, .. }) => Some(Tgid(*tgid)),
            _ => None,
        });
        let Some(master) = launched else { return Verdict::unknown("the system was not started in this run") };
        let listening = listening(slice);
        if listening.values().any(|(_, _, process)| process.0 == 0) {
            return Verdict::unknown("the observer does not tell whose the listening sockets are: ebpf would");
        }
        let children = children(slice, master);
        let all = || listening.values().map(|(local, _, process)| format!("{local} by {process}")).collect::<Vec<_>>();
        let mut owners = BTreeSet::new();
        for endpoint in &self.endpoints {
            let there: Vec<_> = listening.values().filter(|(local, v6, _)| local.covers(*endpoint, *v6)).collect();
            let [(_, _, process)] = there[..] else {
                let expected = format!("one socket to listen at {endpoint}");
                return Verdict::fail(expected, format!("{} do", there.len())).with_records(all());
            };
            if !children.contains(process) {
                let expected = format!("a child of the system's process {master} to listen at {endpoint}");
                return Verdict::fail(expected, format!("process {process} does")).with_records(all());
            }
            if !owners.insert(*process) {
                let expected = format!("a process of its own to listen at {endpoint}");
                return Verdict::fail(expected, format!("process {process} listens elsewhere too")).with_records(all());
            }
        }
        let own = |process: &Tgid| *process == master || children.contains(process);
        let stranger = listening.values().find(|(local, v6, process)| {
            own(process) && !self.endpoints.iter().any(|endpoint| local.covers(*endpoint, *v6))
        });
        match stranger {
            Some((local, _, process)) => {
                Verdict::fail("the system to listen nowhere else", format!("process {process} listens at {local}"))
            }
            None => Verdict::Pass,
        }
    }
}

/// The sockets that listen at the end: where, IPv6 only or not, and who made them listen.
fn listening(slice: &Slice<'_>) -> BTreeMap<crate::endpoint::SocketId, (Endpoint, bool, Tgid)> {
    let mut listening = BTreeMap::new();
    for record in slice.records.iter().filter(|record| record.at <= slice.end) {
        let Event::SocketState(change) = &record.event else { continue };
        if change.netns != slice.run.netns {
            continue;
        }
        match (change.from, change.to) {
            (_, TcpState::Listen) => {
                listening.insert(change.socket, (change.local, change.ipv6_only, change.process.tgid));
            }
            (TcpState::Listen, _) => drop(listening.remove(&change.socket)),
            _ => {}
        }
    }
    listening
}

/// The children of a process that live.
fn children(slice: &Slice<'_>, parent: Tgid) -> BTreeSet<Tgid> {
    children_until(slice, parent, slice.end)
}

/// The children of a process that lived at a moment.
pub(super) fn children_until(slice: &Slice<'_>, parent: Tgid, until: Timestamp) -> BTreeSet<Tgid> {
    let mut children = BTreeSet::new();
    for record in slice.records.iter().filter(|record| record.at <= until) {
        match &record.event {
            Event::Process(ProcessChange::Fork { parent: forking, child }) if forking.tgid == parent => {
                children.insert(*child);
            }
            Event::Process(ProcessChange::Exit { process, .. }) => drop(children.remove(&process.tgid)),
            _ => {}
        }
    }
    children
}

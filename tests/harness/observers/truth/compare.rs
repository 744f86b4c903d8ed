//! Compares what an actor claims with what an observer recorded, one by one.

use std::collections::{BTreeMap, HashMap};

use portwitness::endpoint::SocketId;
use portwitness::history::{Event, Record, SocketState, TcpState};

use super::super::stage::learns_the_peer_later;
use super::claim::{By, Claim};
use super::expected::{Expected, Sight, What, expectations};
use super::seen::{Seen, seen};

/// Every difference, in words: none when the record is the truth, the whole truth and nothing but the truth.
pub(super) fn differences(claims: &[Claim], records: &[Record], sight: Sight) -> Vec<String> {
    let mut found = Vec::new();
    let expected = expectations(claims, sight);
    let mut by_what: BTreeMap<What, (Vec<Expected>, Vec<Seen>)> = BTreeMap::new();
    for record in records {
        match seen(record, &expected) {
            _ if !sight.structures && is_strange(record, &expected) => {}
            Ok(Some(seen)) => by_what.entry(seen.what.clone()).or_default().1.push(seen),
            Ok(None) => {}
            Err(why) => found.push(why),
        }
    }
    for expected in expected {
        by_what.entry(expected.what.clone()).or_default().0.push(expected);
    }
    let mut sockets = Sockets::default();
    for (mut expected, mut seen) in by_what.into_values() {
        expected.sort_by_key(|expected| expected.from);
        seen.sort_by_key(|seen| seen.at);
        // What fits goes together first, so that one difference does not shift all that comes after it.
        expected.retain(|expected| {
            let fits = |seen: &Seen| faults(expected, seen, sight).is_empty();
            let Some(index) = seen.iter().position(fits) else { return true };
            sockets.note(expected, &seen.remove(index));
            false
        });
        let mut rest = seen.into_iter();
        for expected in expected {
            found.push(match rest.next() {
                Some(seen) => format!("{expected}: recorded {seen}: {}", faults(&expected, &seen, sight).join(", ")),
                None => format!("{expected}: not recorded"),
            });
        }
        found.extend(rest.map(|seen| format!("nobody did: {seen}")));
    }
    found.extend(sockets.differences());
    found
}

/// A connection that nobody claims. Where namespaces cannot be told, those to the same port of another one are recorded.
fn is_strange(record: &Record, expected: &[Expected]) -> bool {
    let Event::SocketState(SocketState { local, remote, from, to, .. }) = &record.event else { return false };
    let begins = (*from, *to) == (TcpState::Listen, TcpState::SynRecv) && learns_the_peer_later();
    if remote.is_none() && !begins {
        return false;
    }
    !expected.iter().any(|it| match (&it.what, remote) {
        (What::Connected(own, peer), Some(remote)) => peer == remote && (own == local || local.port() == 0),
        (What::Accepted(at, peer), remote) => at == local && remote.is_none_or(|remote| remote == *peer),
        _ => false,
    })
}

/// In what a record of the same thing differs from the claim.
fn faults(expected: &Expected, seen: &Seen, sight: Sight) -> Vec<String> {
    let mut faults = Vec::new();
    // By the record it happened between `at` less the uncertainty and `at`.
    let (earliest, latest) = (seen.at.saturating_sub(seen.uncertainty), seen.at);
    if latest < expected.from {
        faults.push(format!("{} ns too early", expected.from - latest));
    }
    if earliest > expected.to {
        faults.push(format!("{} ns too late", earliest - expected.to));
    }
    if sight.who && seen.uncertainty != 0 {
        faults.push(format!("uncertain by {} ns", seen.uncertainty));
    }
    // The namespace is 0 for unknown.
    if seen.netns.is_some_and(|netns| netns != expected.netns && (netns != 0 || sight.structures)) {
        faults.push("another network namespace".into());
    }
    if let (Some(one), Some(other)) = (expected.ipv6_only, seen.ipv6_only)
        && one != other
        && (sight.structures || seen.socket.is_none())
    {
        faults.push(format!("IPv6 only: {other}, not {one}"));
    }
    if sight.who {
        let process = seen.process.clone().unwrap_or_default();
        let By { tgid, tid, comm } = &expected.by;
        // The other end's segment is received by whoever is at hand, on a busy CPU by the kernel's own thread for that.
        if matches!(seen.what, What::Connected(..) | What::Accepted(..)) && process.comm.starts_with("ksoftirqd/") {
            return faults;
        }
        if tgid.is_some_and(|tgid| tgid != process.tgid.0) {
            faults.push("another process".into());
        }
        if tid.is_some_and(|tid| tid != process.tid) {
            faults.push("another thread".into());
        }
        if comm.as_ref().is_some_and(|comm| *comm != process.comm) {
            faults.push("another name".into());
        }
    }
    faults
}

/// Which socket of the kernel each listener was, at its beginning and at its end.
#[derive(Default)]
struct Sockets {
    opened: HashMap<u32, (SocketId, u64)>,
    closed: HashMap<u32, (SocketId, u64)>,
}

impl Sockets {
    fn note(&mut self, expected: &Expected, seen: &Seen) {
        let (Some(listener), Some(socket)) = (expected.listener, seen.socket) else { return };
        let list = if matches!(expected.what, What::Opened(_)) { &mut self.opened } else { &mut self.closed };
        list.insert(listener, (socket, seen.at));
    }

    fn differences(self) -> Vec<String> {
        let mut found = Vec::new();
        let mut lives: Vec<(SocketId, u64, u64)> = Vec::new();
        for (listener, (socket, from)) in self.opened {
            match self.closed.get(&listener) {
                Some((other, _)) if *other != socket => {
                    found.push(format!("listener {listener} opened as socket {socket} and closed as {other}"));
                }
                end => lives.push((socket, from, end.map_or(u64::MAX, |(_, at)| *at))),
            }
        }
        lives.sort();
        for pair in lives.windows(2) {
            if pair[0].0 == pair[1].0 && pair[0].2 > pair[1].1 {
                found.push(format!("socket {} is two listeners at once", pair[0].0));
            }
        }
        found
    }
}

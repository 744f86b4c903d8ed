//! Compares what an actor claims with what an observer recorded, one by one.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use portwitness::endpoint::{Endpoint, SocketId};
use portwitness::history::{Event, Process, ProcessChange, Record, SyscallPhase, TcpState};

use super::claim::{By, Claim, Did, Name};

/// What an observer is able to tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    /// It sees this network namespace alone.
    pub(super) only_netns: Option<u32>,
    /// It names who did it.
    pub(super) who: bool,
    /// It follows the actor: calls, processes, connections.
    pub(super) follows: bool,
    /// It came at this moment, in ns: what listened then it found listening.
    pub(super) came: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Listening(Endpoint),
    Opened(Endpoint),
    Closed(Endpoint),
    Entered(String, i32),
    Left(String, i32, i64),
    Connected(Endpoint, Endpoint),
    Accepted(Endpoint, Endpoint),
    Forked(u32),
    Executed,
    Exited(i32),
}

#[derive(Clone, Debug)]
struct Expected {
    what: What,
    from: u64,
    to: u64,
    netns: u32,
    by: By,
    ipv6_only: Option<bool>,
    listener: Option<u32>,
}

#[derive(Clone, Debug)]
struct Seen {
    what: What,
    at: u64,
    uncertainty: u64,
    netns: Option<u32>,
    process: Option<Process>,
    ipv6_only: Option<bool>,
    socket: Option<SocketId>,
}

/// Every difference, in words: none when the record is the truth, the whole truth and nothing but the truth.
pub(super) fn differences(claims: &[Claim], records: &[Record], sight: Sight) -> Vec<String> {
    let mut found = Vec::new();
    let expected = expectations(claims, sight);
    let mut by_what: BTreeMap<What, (Vec<Expected>, Vec<Seen>)> = BTreeMap::new();
    for record in records {
        match seen(record, &expected) {
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

/// What the claims let an observer of this sight record.
fn expectations(claims: &[Claim], sight: Sight) -> Vec<Expected> {
    let mut expected: Vec<Expected> = claims.iter().flat_map(of_claim).collect();
    // What came and went before the observer is none of its business; what stayed it found.
    let gone: Vec<_> = (expected.iter().filter(|it| matches!(it.what, What::Closed(_)) && it.to < sight.came))
        .map(|it| it.listener)
        .collect();
    expected.retain(|it| it.to >= sight.came || !gone.contains(&it.listener) || it.listener.is_none());
    for it in &mut expected {
        if let What::Opened(at) = it.what
            && it.to < sight.came
        {
            *it = Expected { what: What::Listening(at), from: sight.came, to: u64::MAX, ..it.clone() };
        }
    }
    expected.retain(|it| {
        let listener = matches!(it.what, What::Listening(_) | What::Opened(_) | What::Closed(_));
        it.to >= sight.came
            && (sight.follows || listener)
            && (!listener || sight.only_netns.is_none_or(|netns| netns == it.netns))
    });
    expected
}

fn of_claim(claim: &Claim) -> Vec<Expected> {
    let of_name = |name: &Name| (Some(name.ipv6_only), Some(name.listener));
    let (what, (ipv6_only, listener)) = match &claim.did {
        Did::Opened(name) => (vec![What::Opened(name.at.into())], of_name(name)),
        Did::Closed(name) => (vec![What::Closed(name.at.into())], of_name(name)),
        Did::Called { name, fd, result } => {
            (vec![What::Entered(name.clone(), *fd), What::Left(name.clone(), *fd, *result)], (None, None))
        }
        Did::Connected { local, remote } => (vec![What::Connected((*local).into(), (*remote).into())], (None, None)),
        Did::Accepted { local, remote } => (vec![What::Accepted((*local).into(), (*remote).into())], (None, None)),
        Did::Forked { child } => (vec![What::Forked(*child)], (None, None)),
        Did::Executed => (vec![What::Executed], (None, None)),
        Did::Exited { status } => (vec![What::Exited(*status)], (None, None)),
        Did::Paused | Did::Skipped { .. } => return Vec::new(),
    };
    let to = claim.after_ns.unwrap_or(u64::MAX);
    what.into_iter()
        .map(|what| {
            let (from, netns, by) = (claim.before_ns, claim.netns, claim.by.clone());
            Expected { what, from, to, netns, by, ipv6_only, listener }
        })
        .collect()
}

/// What a record says, if it is something that is claimed; an error for what must not be in a history at all.
fn seen(record: &Record, expected: &[Expected]) -> Result<Option<Seen>, String> {
    let mut seen = Seen {
        what: What::Executed,
        at: record.at.0,
        uncertainty: record.uncertainty_ns,
        netns: None,
        process: None,
        ipv6_only: None,
        socket: None,
    };
    match &record.event {
        Event::Listening(seed) => {
            seen.what = What::Listening(seed.local);
            seen.netns = Some(seed.netns);
            seen.process = seed.process.clone();
            seen.ipv6_only = Some(seed.ipv6_only);
        }
        Event::SocketState(change) => {
            let ends = (change.local, change.remote);
            seen.what = match (change.from, change.to, ends) {
                (TcpState::Close, TcpState::Listen, (local, None)) => What::Opened(local),
                (TcpState::Listen, TcpState::Close, (local, None)) => What::Closed(local),
                (TcpState::SynSent, TcpState::Established, (local, Some(remote))) => What::Connected(local, remote),
                (TcpState::SynRecv, TcpState::Established, (local, Some(remote))) => What::Accepted(local, remote),
                (from, to, (local, remote)) => {
                    // The other states of a connection that is known.
                    let known = |it: &Expected| match (&it.what, remote) {
                        (What::Connected(from, to) | What::Accepted(from, to), Some(remote)) => {
                            // A client has no port of its own yet when it begins.
                            *to == remote && (*from == local || (change.from, local.port()) == (TcpState::Close, 0))
                        }
                        _ => false,
                    };
                    if expected.iter().any(known) {
                        return Ok(None);
                    }
                    return Err(format!("nobody did: {local} <-> {remote:?} {from:?} -> {to:?} by {}", change.process));
                }
            };
            seen.netns = Some(change.netns);
            seen.process = Some(change.process.clone());
            seen.ipv6_only = Some(change.ipv6_only);
            seen.socket = Some(change.socket);
        }
        Event::Syscall(call) => {
            seen.what = match call.phase {
                SyscallPhase::Enter => What::Entered(call.name.to_string(), call.fd),
                SyscallPhase::Exit(result) => What::Left(call.name.to_string(), call.fd, result),
            };
            seen.process = Some(call.process.clone());
        }
        Event::Process(change) => {
            let (what, process) = match change {
                ProcessChange::Fork { parent, child } => (What::Forked(child.0), parent),
                ProcessChange::Exec { process } => (What::Executed, process),
                ProcessChange::Exit { process, status } => (What::Exited(status.unwrap_or(-1)), process),
            };
            (seen.what, seen.process) = (what, Some(process.clone()));
        }
        Event::Loss { probe, count, .. } => return Err(format!("{count} records of {probe} were lost")),
        _ => return Ok(None),
    }
    Ok(Some(seen))
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
    if seen.netns.is_some_and(|netns| netns != expected.netns) {
        faults.push("another network namespace".into());
    }
    if let (Some(one), Some(other)) = (expected.ipv6_only, seen.ipv6_only)
        && one != other
    {
        faults.push(format!("IPv6 only: {other}, not {one}"));
    }
    if sight.who {
        let process = seen.process.clone().unwrap_or_default();
        let By { tgid, tid, comm } = &expected.by;
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

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let By { tgid, tid, comm } = &self.by;
        let number = |number: &Option<u32>| number.map_or("?".into(), |number| number.to_string());
        let (comm, width) = (comm.as_deref().unwrap_or("?"), self.to.saturating_sub(self.from));
        let (tgid, tid) = (number(tgid), number(tid));
        write!(f, "{:?} by {comm}[{tgid}/{tid}] in {} at {} +{width} ns", self.what, self.netns, self.from)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let process = self.process.clone().unwrap_or_default();
        let (comm, tgid, tid) = (process.comm, process.tgid, process.tid);
        write!(f, "{:?} by {comm}[{tgid}/{tid}] in {:?} at {}", self.what, self.netns, self.at)
    }
}

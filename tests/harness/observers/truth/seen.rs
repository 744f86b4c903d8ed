//! What a record of the history says, in the words of the claims.

use std::fmt;

use portwitness::endpoint::SocketId;
use portwitness::history::{Event, Process, ProcessChange, Record, SyscallPhase, TcpState};

use super::super::stage::learns_the_peer_later;
use super::expected::{Expected, UNKNOWN_STATUS, What};

/// A thing that was recorded.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) what: What,
    pub(super) at: u64,
    pub(super) uncertainty: u64,
    pub(super) netns: Option<u32>,
    pub(super) process: Option<Process>,
    pub(super) ipv6_only: Option<bool>,
    pub(super) socket: Option<SocketId>,
}

/// What a record says, if it is something that is claimed; an error for what must not be in a history at all.
pub(super) fn seen(record: &Record, expected: &[Expected]) -> Result<Option<Seen>, String> {
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
                (TcpState::Listen, TcpState::Close, (local, None)) if change.refused => What::Refused(local),
                (TcpState::Listen, TcpState::Close, (local, None)) => What::Closed(local),
                (TcpState::SynSent, TcpState::Established, (local, Some(remote))) => What::Connected(local, remote),
                (TcpState::SynRecv, TcpState::Established, (local, Some(remote))) => What::Accepted(local, remote),
                (from, to, (local, remote)) => {
                    // The other states of a connection that is known.
                    let known = |it: &Expected| match (&it.what, remote) {
                        (What::Connected(own, peer) | What::Accepted(own, peer), Some(remote)) => {
                            // A client has no port of its own yet when it begins.
                            *peer == remote && (*own == local || (change.from, local.port()) == (TcpState::Close, 0))
                        }
                        (What::Accepted(at, _), None) => {
                            *at == local
                                && (from, to) == (TcpState::Listen, TcpState::SynRecv)
                                && learns_the_peer_later()
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
                ProcessChange::Exit { process, status } => (What::Exited(status.unwrap_or(UNKNOWN_STATUS)), process),
            };
            (seen.what, seen.process) = (what, Some(process.clone()));
        }
        Event::Loss { probe, count, .. } => return Err(format!("{count} records of {probe} were lost")),
        _ => return Ok(None),
    }
    Ok(Some(seen))
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let process = self.process.clone().unwrap_or_default();
        let (comm, tgid, tid) = (process.comm, process.tgid, process.tid);
        write!(f, "{:?} by {comm}[{tgid}/{tid}] in {:?} at {}", self.what, self.netns, self.at)
    }
}

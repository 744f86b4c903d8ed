//! What parameters of events have to say, by what a call was given and returned.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Generation;
use crate::checks::sinsp::expect::Expect;
use crate::history::{Address, Arguments};

/// Linux gives this to a tracer for a call that a signal interrupted, and EINTR to the caller (include/linux/errno.h).
const ERESTARTSYS: i64 = 512;

/// ENOTSOCK and EBADF: there is no socket to be told of.
const NO_SOCKET: [i64; 2] = [-9, -88];
const EFAULT: i64 = -14;
const EINPROGRESS: i64 = -115;
/// The families that the newest driver knows end with AF_MCTP.
const LAST_FAMILY: i64 = 45;

pub(super) fn optional(number: Option<i64>) -> Expect {
    number.map_or(Expect::Anything, Expect::number)
}

pub(super) fn returned(result: i64) -> Expect {
    const EINTR: i64 = -4;
    if result == EINTR { Expect::Number(vec![EINTR, -ERESTARTSYS]) } else { Expect::number(result) }
}

pub(super) fn kind(with: &Arguments, generation: Generation) -> Vec<(&'static str, Expect)> {
    let domain = with.domain.map(|domain| match generation {
        Generation::ExitOnly if domain > LAST_FAMILY => 0,
        _ => domain,
    });
    vec![("domain", optional(domain)), ("type", optional(with.kind)), ("proto", optional(with.protocol))]
}

pub(super) fn pair(with: &Arguments, result: i64, generation: Generation) -> Vec<(&'static str, Expect)> {
    let none = if generation == Generation::EnterAndExit { 0 } else { -1 };
    let (one, other) = with.pair.unwrap_or((none, none));
    let ends = [("source", Expect::Anything), ("peer", Expect::Anything)];
    let fds = [("fd1", Expect::number(one)), ("fd2", Expect::number(other))];
    [vec![("res", returned(result))], fds.to_vec(), ends.to_vec()].concat()
}

pub(super) fn address(with: &Arguments) -> (&'static str, Expect) {
    ("addr", with.address.clone().map_or(Expect::Anything, Expect::Address))
}

/// The tuple of a connect. Older drivers tell it as far as there is a socket, the newest of connections alone.
pub(super) fn connected(with: &Arguments, result: i64, generation: Generation) -> Expect {
    let has_tuple = match generation {
        Generation::EnterAndExit | Generation::Overlapping => !NO_SOCKET.contains(&result) && result != EFAULT,
        Generation::ExitOnly => result == 0 || result == EINPROGRESS,
    };
    match (&with.local, &with.address) {
        _ if !has_tuple => Expect::Null,
        (Some(from), Some(to)) => tuple(from, to),
        _ => Expect::Anything,
    }
}

/// What an accept tells: who came, and of the queue from which it was taken.
pub(super) fn accepted(
    with: &Arguments,
    result: i64,
    backlog: Option<i64>,
    generation: Generation,
) -> Vec<(&'static str, Expect)> {
    let tuple = match (&with.peer, &with.local) {
        (Some(peer), Some(local)) => tuple(peer, local),
        _ => Expect::Null,
    };
    let failed = result < 0;
    let (length, most) = match generation {
        Generation::EnterAndExit if failed => (None, None),
        _ if failed => (Some(0), Some(0)),
        _ => (with.waiting, backlog),
    };
    let percent = match (length, most) {
        (Some(0), _) => Some(0),
        (Some(length), Some(most)) if most > 0 => Some(length * 100 / most),
        _ => None,
    };
    vec![
        ("fd", returned(result)),
        ("tuple", tuple),
        ("queuepct", optional(percent)),
        ("queuelen", optional(length)),
        ("queuemax", optional(most)),
    ]
}

pub(super) fn executed(with: &Arguments, result: i64) -> Vec<(&'static str, Expect)> {
    let arguments = match with.arguments.as_deref() {
        None => Expect::Anything,
        Some([]) => Expect::Null,
        // The zeros between them are shown as dots.
        Some(words) => Expect::Text(words.iter().map(|word| format!("{word}.")).collect()),
    };
    let program = with.program.clone().map_or(Expect::Anything, Expect::Text);
    vec![("res", returned(result)), ("exe", program), ("args", arguments)]
}

fn tuple(from: &Address, to: &Address) -> Expect {
    match (from, to) {
        (Address::Inet(from), Address::Inet(to)) => Expect::Tuple(canonical(*from), canonical(*to)),
        // One of the two has a path, and that is told.
        (Address::Unix(one), Address::Unix(other)) => {
            Expect::UnixTuple(if one.is_empty() { other.clone() } else { one.clone() })
        }
        _ => Expect::Anything,
    }
}

/// Tuples of connections that are IPv4 in truth are told as such.
fn canonical(at: SocketAddr) -> SocketAddr {
    SocketAddr::new(at.ip().to_canonical(), at.port())
}

/// Which way a shutdown goes: SHUT_RD, SHUT_WR, SHUT_RDWR; newer drivers tell anything else as 255.
pub(super) fn way(with: &Arguments, generation: Generation) -> Expect {
    let told = |how| if generation == Generation::EnterAndExit || (0..=2).contains(&how) { how } else { 255 };
    optional(with.how.map(told))
}

/// The tuple of a sendto: as it is entered, from where and to whom it was asked to send; as it is left, between whom it sent.
pub(super) fn sent(with: &Arguments, result: i64, generation: Generation) -> Expect {
    let (from, to) = match generation {
        Generation::EnterAndExit | Generation::Overlapping => (&with.local_before, with.address.as_ref()),
        Generation::ExitOnly if result < 0 => return Expect::Null,
        Generation::ExitOnly => (&with.local, with.address.as_ref().or(with.peer.as_ref())),
    };
    match (from, to) {
        (Some(from), Some(to)) => tuple(from, to),
        _ => Expect::Null,
    }
}

/// The tuple of a recvfrom, whose traffic program asks for no address: older drivers have none then.
pub(super) fn received(with: &Arguments, result: i64, generation: Generation) -> Expect {
    let nobody = Address::Inet(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));
    match &with.local {
        Some(to) if result >= 0 && generation != Generation::EnterAndExit => {
            tuple(with.peer.as_ref().unwrap_or(&nobody), to)
        }
        _ => Expect::Null,
    }
}

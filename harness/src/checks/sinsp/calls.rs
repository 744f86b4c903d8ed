//! Which events a call has to give, with which parameters, in each generation of the driver's interface.
//!
//! What stands here was compared with the drivers' own tables (`driver/event_table.c` of falcosecurity/libs) and with what both
//! drivers of Debian print: 0.1.1dev of 2022 (API 1.0) and 0.23 (API 8).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::expect::Expect;
use crate::history::{Address, Arguments, Statement};

/// Which events a driver gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    /// One as a call is entered and one as it is left (API 1).
    EnterAndExit,
    /// One as a call is left, with all parameters (API 8 and later).
    ExitOnly,
}

/// An event that has to come.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expected {
    /// Whether the call is entered.
    pub(super) enters: bool,
    /// Its name.
    pub(super) name: &'static str,
    /// Its parameters, in their order.
    pub(super) params: Vec<(&'static str, Expect)>,
    /// Whether it has no others: events of processes have more than a traffic program can know of.
    pub(super) complete: bool,
}

impl Generation {
    /// Of a driver's interface.
    pub(super) fn of(api: &str) -> Option<Self> {
        match api.split('.').next()?.parse().ok()? {
            1 => Some(Self::EnterAndExit),
            8..=10 => Some(Self::ExitOnly),
            _ => None,
        }
    }
}

/// Names of events that a traffic program states whenever it causes one.
pub(super) const WATCHED: [&str; 18] = [
    "accept",
    "accept4",
    "bind",
    "clone",
    "close",
    "connect",
    "dup",
    "dup2",
    "dup3",
    "execve",
    "fork",
    "listen",
    "recvfrom",
    "sendto",
    "shutdown",
    "socket",
    "socketpair",
    "vfork",
];

/// Linux gives this to a tracer for a call that a signal interrupted, and EINTR to the caller (include/linux/errno.h).
const ERESTARTSYS: i64 = 512;

/// ENOTSOCK and EBADF: there is no socket to be told of.
const NO_SOCKET: [i64; 2] = [-9, -88];
const EFAULT: i64 = -14;
const EINPROGRESS: i64 = -115;
/// The families that the newer drivers know end with AF_MCTP.
const LAST_FAMILY: i64 = 45;

/// The events of a call; none for one that is not known. `backlog` is that of the listener, where it is known.
pub(super) fn expected(statement: &Statement, backlog: Option<i64>, generation: Generation) -> Option<Vec<Expected>> {
    use Generation::{EnterAndExit, ExitOnly};
    let with = &statement.with;
    let result = statement.result.unwrap_or(0);
    let res = || ("res", returned(result));
    let fd = || ("fd", optional(with.fd));
    let events = match (&*statement.call, generation) {
        ("close", EnterAndExit) => vec![enter("close", vec![fd()]), exit("close", vec![res()])],
        ("close", ExitOnly) => vec![exit("close", vec![res(), fd()])],
        ("socket", EnterAndExit) => {
            vec![enter("socket", kind(with, generation)), exit("socket", vec![("fd", returned(result))])]
        }
        ("socket", ExitOnly) => {
            vec![exit("socket", [vec![("fd", returned(result))], kind(with, generation)].concat())]
        }
        ("socketpair", EnterAndExit) => {
            vec![enter("socketpair", kind(with, generation)), exit("socketpair", pair(with, result, 0))]
        }
        ("socketpair", ExitOnly) => {
            vec![exit("socketpair", [pair(with, result, -1), kind(with, generation)].concat())]
        }
        ("bind", EnterAndExit) => vec![enter("bind", vec![fd()]), exit("bind", vec![res(), given(with)])],
        ("bind", ExitOnly) => vec![exit("bind", vec![res(), given(with), fd()])],
        ("listen", EnterAndExit) => {
            vec![enter("listen", vec![fd(), ("backlog", optional(with.backlog))]), exit("listen", vec![res()])]
        }
        ("listen", ExitOnly) => vec![exit("listen", vec![res(), fd(), ("backlog", optional(with.backlog))])],
        ("connect", EnterAndExit) => vec![
            enter("connect", vec![fd(), given(with)]),
            exit("connect", vec![res(), ("tuple", connected(with, result, generation))]),
        ],
        ("connect", ExitOnly) => {
            vec![exit("connect", vec![res(), ("tuple", connected(with, result, generation)), fd(), given(with)])]
        }
        ("accept", EnterAndExit) => {
            vec![enter("accept", vec![]), exit("accept", accepted(with, result, backlog, generation))]
        }
        ("accept", ExitOnly) => vec![exit("accept", accepted(with, result, backlog, generation))],
        // The flags are not told by any driver.
        ("accept4", EnterAndExit) => vec![
            enter("accept", vec![("flags", Expect::number(0))]),
            exit("accept", accepted(with, result, backlog, generation)),
        ],
        ("accept4", ExitOnly) => {
            let params = accepted(with, result, backlog, generation);
            vec![exit("accept4", [params, vec![("flags", Expect::number(0))]].concat())]
        }
        ("shutdown", EnterAndExit) => {
            vec![enter("shutdown", vec![fd(), ("how", optional(with.how))]), exit("shutdown", vec![res()])]
        }
        ("shutdown", ExitOnly) => {
            // SHUT_RD, SHUT_WR, SHUT_RDWR; anything else is told as 255.
            let how = with.how.map(|how| if (0..=2).contains(&how) { how } else { 255 });
            vec![exit("shutdown", vec![res(), fd(), ("how", optional(how))])]
        }
        ("sendto", EnterAndExit) => {
            let tuple = match (&with.address, &with.local_before) {
                (Some(to), Some(from)) => tuple(from, to),
                _ => Expect::Null,
            };
            let entered = vec![fd(), ("size", optional(with.size)), ("tuple", tuple)];
            vec![enter("sendto", entered), exit("sendto", vec![res(), ("data", Expect::Anything)])]
        }
        ("sendto", ExitOnly) => {
            let tuple = match (&with.local, with.address.as_ref().or(with.peer.as_ref())) {
                (Some(from), Some(to)) if result >= 0 => tuple(from, to),
                _ => Expect::Null,
            };
            let data = ("data", Expect::Anything);
            vec![exit("sendto", vec![res(), data, fd(), ("size", optional(with.size)), ("tuple", tuple)])]
        }
        ("recvfrom", EnterAndExit) => {
            let entered = vec![fd(), ("size", optional(with.size))];
            // The traffic program asks for no address.
            let left = vec![res(), ("data", Expect::Anything), ("tuple", Expect::Null)];
            vec![enter("recvfrom", entered), exit("recvfrom", left)]
        }
        ("recvfrom", ExitOnly) => {
            let nobody = Address::Inet(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));
            let tuple = match &with.local {
                Some(to) if result >= 0 => tuple(with.peer.as_ref().unwrap_or(&nobody), to),
                _ => Expect::Null,
            };
            let (data, size) = (("data", Expect::Anything), ("size", optional(with.size)));
            vec![exit("recvfrom", vec![res(), data, ("tuple", tuple), fd(), size])]
        }
        ("dup2" | "dup3", EnterAndExit) => vec![enter("dup", vec![fd()]), exit("dup", vec![res()])],
        ("dup2", ExitOnly) => {
            vec![exit("dup2", vec![res(), ("oldfd", optional(with.fd)), ("newfd", optional(with.new_fd))])]
        }
        ("dup3", ExitOnly) => {
            let fds = [("oldfd", optional(with.fd)), ("newfd", optional(with.new_fd))];
            vec![exit("dup3", [vec![res()], fds.to_vec(), vec![("flags", Expect::Anything)]].concat())]
        }
        ("clone", EnterAndExit) => vec![enter("clone", vec![]), partly(exit("clone", vec![res()]))],
        ("clone", ExitOnly) => vec![partly(exit("clone", vec![res()]))],
        ("execve", EnterAndExit) => {
            let program = with.program.clone().map_or(Expect::Anything, Expect::Text);
            vec![enter("execve", vec![("filename", program)]), partly(exit("execve", executed(with, result)))]
        }
        ("execve", ExitOnly) => vec![partly(exit("execve", executed(with, result)))],
        ("procexit", _) => {
            let status = with.status.unwrap_or(0);
            let params = vec![
                ("status", Expect::number(status)),
                ("ret", Expect::Number(vec![status >> 8 & 0xff, status & 0x7f])),
                ("sig", Expect::number(status & 0x7f)),
            ];
            vec![partly(enter("procexit", params))]
        }
        _ => return None,
    };
    Some(events)
}

fn enter(name: &'static str, params: Vec<(&'static str, Expect)>) -> Expected {
    Expected { enters: true, name, params, complete: true }
}

fn exit(name: &'static str, params: Vec<(&'static str, Expect)>) -> Expected {
    Expected { enters: false, ..enter(name, params) }
}

fn partly(event: Expected) -> Expected {
    Expected { complete: false, ..event }
}

fn optional(number: Option<i64>) -> Expect {
    number.map_or(Expect::Anything, Expect::number)
}

fn returned(result: i64) -> Expect {
    const EINTR: i64 = -4;
    if result == EINTR { Expect::Number(vec![EINTR, -ERESTARTSYS]) } else { Expect::number(result) }
}

fn kind(with: &Arguments, generation: Generation) -> Vec<(&'static str, Expect)> {
    let domain = with.domain.map(|domain| match generation {
        Generation::ExitOnly if domain > LAST_FAMILY => 0,
        _ => domain,
    });
    vec![("domain", optional(domain)), ("type", optional(with.kind)), ("proto", optional(with.protocol))]
}

fn pair(with: &Arguments, result: i64, none: i64) -> Vec<(&'static str, Expect)> {
    let (one, other) = with.pair.unwrap_or((none, none));
    let ends = [("source", Expect::Anything), ("peer", Expect::Anything)];
    let fds = [("fd1", Expect::number(one)), ("fd2", Expect::number(other))];
    [vec![("res", returned(result))], fds.to_vec(), ends.to_vec()].concat()
}

fn given(with: &Arguments) -> (&'static str, Expect) {
    ("addr", with.address.clone().map_or(Expect::Anything, Expect::Address))
}

/// The tuple of a connect. The older driver tells it as far as there is a socket, the newer one of connections alone.
fn connected(with: &Arguments, result: i64, generation: Generation) -> Expect {
    let has_tuple = match generation {
        Generation::EnterAndExit => !NO_SOCKET.contains(&result) && result != EFAULT,
        Generation::ExitOnly => result == 0 || result == EINPROGRESS,
    };
    match (&with.local, &with.address) {
        _ if !has_tuple => Expect::Null,
        (Some(from), Some(to)) => tuple(from, to),
        _ => Expect::Anything,
    }
}

/// What an accept tells: who came, and of the queue from which it was taken.
fn accepted(
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
        Generation::ExitOnly if failed => (Some(0), Some(0)),
        Generation::EnterAndExit if failed => (None, None),
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

fn executed(with: &Arguments, result: i64) -> Vec<(&'static str, Expect)> {
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

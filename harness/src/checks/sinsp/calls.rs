//! Which events a call has to give, with which parameters, in each generation of the driver's interface.
//!
//! What stands here was compared with the drivers' own tables (`driver/event_table.c` of falcosecurity/libs) and with what the
//! drivers of Debian print: 0.1.1dev of 2022 (API 1.0), 0.20 (API 8, schema 3) and 0.23 (API 8, schema 4).

mod values;

use portwitness_kmod::{Protocol, Versions};

use super::expect::Expect;
use crate::history::{Capture, Statement};
use values::{accepted, address, connected, executed, kind, optional, pair, received, returned, sent, way};

/// Which events a driver gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    /// One as a call is entered and one as it is left (API 1).
    EnterAndExit,
    /// The same, but that the second tells some of the first again (API 8, schema 3).
    Overlapping,
    /// One as a call is left, with all parameters (API 8 and later, schema 4).
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
    /// Of the driver of a capture.
    pub(super) fn of(capture: &Capture) -> Option<Self> {
        // Where no schema was recorded, the API told all.
        let (api, schema) = match (capture.api.as_deref()?, capture.schema.as_deref()) {
            (api, Some(schema)) => (api, schema),
            (api, None) if api.starts_with("1.") => (api, "1.0.0"),
            (api, None) => (api, "4.0.0"),
        };
        Some(match (Versions { api: api.parse().ok()?, schema: schema.parse().ok()? }).protocol()? {
            Protocol::Events => Self::EnterAndExit,
            Protocol::CallsInPairs => Self::Overlapping,
            Protocol::Calls => Self::ExitOnly,
        })
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

/// The events of a call; none for one that is not known. `backlog` is that of the listener, where it is known.
pub(super) fn expected(statement: &Statement, backlog: Option<i64>, generation: Generation) -> Option<Vec<Expected>> {
    let with = &statement.with;
    let result = statement.result.unwrap_or(0);
    if let Some(events) = of_processes(statement, result, generation) {
        return Some(events);
    }
    let name = match &*statement.call {
        "accept4" if generation == Generation::EnterAndExit => "accept",
        name => WATCHED.into_iter().find(|known| *known == name)?,
    };
    let (fd, res) = (("fd", optional(with.fd)), ("res", returned(result)));
    let data = ("data", Expect::Anything);
    let size = ("size", optional(with.size));
    // What a call is given, what it returns, and how much of the former `Overlapping` tells again.
    let (given, left, again) = match &*statement.call {
        "close" => (vec![fd], vec![res], 0),
        "socket" => (kind(with, generation), vec![("fd", returned(result))], 3),
        "socketpair" => (kind(with, generation), pair(with, result, generation), 0),
        "bind" => (vec![fd], vec![res, address(with)], 1),
        "listen" => (vec![fd, ("backlog", optional(with.backlog))], vec![res], 2),
        "connect" => (vec![fd, address(with)], vec![res, ("tuple", connected(with, result, generation))], 1),
        "accept" => (vec![], accepted(with, result, backlog, generation), 0),
        // The flags are not told by any driver.
        "accept4" => (vec![("flags", Expect::number(0))], accepted(with, result, backlog, generation), 0),
        "shutdown" => (vec![fd, ("how", way(with, generation))], vec![res], 0),
        "sendto" => (vec![fd, size, ("tuple", sent(with, result, generation))], vec![res, data], 0),
        "recvfrom" => (vec![fd, size], vec![res, data, ("tuple", received(with, result, generation))], 0),
        _ => return None,
    };
    Some(match generation {
        Generation::EnterAndExit => vec![enter(name, given), exit(name, left)],
        Generation::Overlapping => {
            let told_again = given[..again].to_vec();
            vec![enter(name, given), exit(name, [left, told_again].concat())]
        }
        Generation::ExitOnly => vec![exit(name, [left, given].concat())],
    })
}

/// The events of processes and descriptors, of which each generation tells in its own way.
fn of_processes(statement: &Statement, result: i64, generation: Generation) -> Option<Vec<Expected>> {
    let with = &statement.with;
    let res = ("res", returned(result));
    let (entered, left) = match &*statement.call {
        "dup2" | "dup3" if generation == Generation::EnterAndExit => {
            (enter("dup", vec![("fd", optional(with.fd))]), exit("dup", vec![res]))
        }
        name @ ("dup2" | "dup3") => {
            let fds = [("oldfd", optional(with.fd)), ("newfd", optional(with.new_fd))];
            let name = if name == "dup2" { "dup2" } else { "dup3" };
            let flags = (name == "dup3").then_some(("flags", Expect::Anything));
            let left = [res].into_iter().chain(fds).chain(flags).collect();
            (enter(name, vec![("fd", optional(with.fd))]), exit(name, left))
        }
        "clone" => (enter("clone", vec![]), partly(exit("clone", vec![res]))),
        "execve" => {
            let program = with.program.clone().map_or(Expect::Anything, Expect::Text);
            (enter("execve", vec![("filename", program)]), partly(exit("execve", executed(with, result))))
        }
        "procexit" => {
            let status = with.status.unwrap_or(0);
            let params = vec![
                ("status", Expect::number(status)),
                ("ret", Expect::Number(vec![status >> 8 & 0xff, status & 0x7f])),
                ("sig", Expect::number(status & 0x7f)),
            ];
            return Some(vec![partly(enter("procexit", params))]);
        }
        _ => return None,
    };
    Some(if generation == Generation::ExitOnly { vec![left] } else { vec![entered, left] })
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

//! The checks that the cases share.

use std::time::Duration;

use portwitness::checks::{
    Check, Endings, Growth, NoneLeftOpen, Pace, PortStays, PortWindow, Reopens, Routing, Silence, StaysConnected,
    Traffic, Turns,
};
use portwitness::history::YARDSTICK;

use super::config::{Client, Limits, Port, PortConfig};
use super::system::Tunnel;

/// 'Verify listening sockets close within 1 second' (specification, suite 2).
const CLOSES_WITHIN: Duration = Duration::from_secs(1);
/// 'Verify sockets reopen at configured timeout ±1 second' (specification, suite 2).
const TOLERANCE: Duration = Duration::from_secs(1);
/// The system closes its end of a connection within this time of its client's: the specification limits only closes at a
/// failover, so this is long.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

/// The port closes within 1 s of the trigger and reopens the timeout ± 1 s after its own close.
pub(crate) fn window(ports: &PortConfig, port: &Port, trigger: &str) -> Check {
    Check::PortWindow(PortWindow {
        port: port.name.clone(),
        endpoint: port.endpoint,
        trigger: trigger.into(),
        closes_within_ms: Some(CLOSES_WITHIN.as_secs_f64() * 1e3),
        reopens: Some(Reopens {
            after_ms: ports.reconnect_timeout.as_secs_f64() * 1e3,
            tolerance_ms: TOLERANCE.as_secs_f64() * 1e3,
        }),
    })
}

/// A failover happened: each of the four ports closed after the trigger and reopened, whenever; the others did not move.
pub(crate) fn failed_over(ports: &PortConfig, to: Client, trigger: &str) -> Vec<Check> {
    let moved = ports.closing(to).map(|port| {
        Check::PortWindow(PortWindow {
            port: port.name.clone(),
            endpoint: port.endpoint,
            trigger: trigger.into(),
            closes_within_ms: None,
            reopens: None,
        })
    });
    moved.chain(stays(ports.staying(to))).collect()
}

/// These ports listen throughout.
pub(crate) fn stays<'a>(ports: impl Iterator<Item = &'a Port>) -> impl Iterator<Item = Check> {
    ports.map(|port| Check::PortStays(PortStays { port: port.name.clone(), endpoint: port.endpoint }))
}

/// No port of the system moves.
pub(crate) fn nothing_moves(ports: &PortConfig) -> Vec<Check> {
    stays(ports.listening()).collect()
}

/// Every operation of a group brings every byte back.
pub(crate) fn all_right(group: &str, planned: u64) -> Check {
    at_least(group, planned, planned)
}

/// The trigger comes back whole; when it could not be sent at all, nothing was triggered and nothing can be judged.
pub(crate) fn triggered(group: &str) -> Check {
    let traffic = Traffic { group: group.into(), planned: 1, at_least: 1, is_trigger: true, ..Traffic::default() };
    Check::Traffic(traffic)
}

/// So many operations of a group bring every byte back.
pub(crate) fn at_least(group: &str, planned: u64, at_least: u64) -> Check {
    Check::Traffic(Traffic { group: group.into(), planned, at_least, ..Traffic::default() })
}

/// Bulk transfers: so many bring every byte back within the budget, so many of them with SHA-256 digests.
pub(crate) fn transfers(group: &str, planned: u64, at_least: u64, sha256: u64, budget: Duration) -> Check {
    let within_ms = Some(budget.as_millis() as u64);
    Check::Traffic(Traffic { group: group.into(), planned, at_least, sha256, within_ms, ..Traffic::default() })
}

/// So many percent of the turns of a group are answered.
pub(crate) fn turns(group: &str, at_least_percent: u64) -> Check {
    Check::Turns(Turns { group: group.into(), at_least_percent })
}

/// The operations of a group reach this backend.
pub(crate) fn reaches(group: &str, backend: &Port) -> Check {
    Check::Routing(Routing { group: group.into(), backend: backend.name.clone(), endpoint: backend.endpoint })
}

/// The system does not close the connections of a group.
pub(crate) fn stays_connected(group: &str) -> Check {
    Check::StaysConnected(StaysConnected { group: group.into(), closes_cleanly: false })
}

/// The system does not close the connections of a group, and answers their close in order.
pub(crate) fn stays_connected_and_closes(group: &str) -> Check {
    Check::StaysConnected(StaysConnected { group: group.into(), closes_cleanly: true })
}

/// The connections of a group end in a way that can be told.
pub(crate) fn ends_well(group: &str, at_least: u64) -> Check {
    Check::Endings(Endings { group: group.into(), at_least })
}

/// The system closes every connection whose client has ended.
fn none_left_open() -> Check {
    Check::NoneLeftOpen(NoneLeftOpen { within_ms: CLOSED_WITHIN.as_millis() as u64 })
}

/// No process of the system keeps much more memory, or many more sockets, than it had before its group of cases.
fn gives_back(limits: Limits) -> Check {
    Check::Growth(Growth { memory_bytes: limits.memory_bytes, sockets: limits.sockets })
}

/// Round trips of a group are about as fast as the profile says, where it says so.
pub(crate) fn keeps_pace(tunnel: &Tunnel, group: &str) -> Option<Check> {
    let at_most = tunnel.limits.relay_times?;
    Some(Check::Pace(Pace { group: group.into(), yardstick: YARDSTICK.into(), at_most }))
}

/// Connections of a group never stand still for longer than the profile says, where it says so.
pub(crate) fn never_stands_still(tunnel: &Tunnel, group: &str) -> Option<Check> {
    let at_most_ms = tunnel.limits.silence?.as_millis() as u64;
    Some(Check::Silence(Silence { group: group.into(), at_most_ms }))
}

/// What a case leaves behind when its clients have gone: no connection, not much memory, few sockets.
pub(crate) fn leaves_nothing(tunnel: &Tunnel) -> [Check; 2] {
    [none_left_open(), gives_back(tunnel.limits)]
}

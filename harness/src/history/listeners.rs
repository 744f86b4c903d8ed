//! Which sockets listen, and when a port opened and closed: folded from records, for live waits and for checks alike.

use std::collections::HashMap;
use std::time::Duration;

use super::kernel::{Process, TcpState};
use super::record::{Event, Record};
use crate::clock::Timestamp;
use crate::endpoint::{Endpoint, SocketId};

/// The set of listening sockets at one moment.
#[derive(Clone, Debug, Default)]
pub struct Listeners {
    sockets: HashMap<SocketId, Listener>,
    /// Sockets that listened before observation began: their kernel addresses are not known, so they are counted.
    seeded: Vec<Listener>,
}

#[derive(Clone, Debug)]
struct Listener {
    local: Endpoint,
    netns: u32,
    ipv6_only: bool,
    process: Option<Process>,
}

impl Listeners {
    /// Takes a record into account; records that say nothing of listeners change nothing.
    pub fn apply(&mut self, record: &Record) {
        match &record.event {
            Event::Listening(seed) => {
                self.seeded.push(Listener {
                    local: seed.local,
                    netns: seed.netns,
                    ipv6_only: seed.ipv6_only,
                    process: seed.process.clone(),
                });
            }
            Event::SocketState(change) if change.from == TcpState::Close && change.to == TcpState::Listen => {
                let listener = Listener {
                    local: change.local,
                    netns: change.netns,
                    ipv6_only: change.ipv6_only,
                    process: Some(change.process.clone()),
                };
                self.sockets.insert(change.socket, listener);
            }
            Event::SocketState(change) if change.from == TcpState::Listen && change.to == TcpState::Close => {
                if self.sockets.remove(&change.socket).is_none()
                    && let Some(known) = self
                        .seeded
                        .iter()
                        .position(|seed| seed.local == change.local && same_netns(seed.netns, change.netns))
                {
                    self.seeded.swap_remove(known);
                }
            }
            _ => {}
        }
    }

    /// How many sockets a connect to `target` could reach, in the network namespace with this inode number.
    pub fn count(&self, target: Endpoint, netns: u32) -> usize {
        self.covering(target, netns).count()
    }

    /// Who holds a socket that a connect to `target` could reach, where that is known.
    pub fn holder(&self, target: Endpoint, netns: u32) -> Option<&Process> {
        self.covering(target, netns).find_map(|listener| listener.process.as_ref())
    }

    fn covering(&self, target: Endpoint, netns: u32) -> impl Iterator<Item = &Listener> {
        self.sockets
            .values()
            .chain(&self.seeded)
            .filter(move |known| same_netns(known.netns, netns) && known.local.covers(target, known.ipv6_only))
    }

    /// Every listening endpoint, sorted; an endpoint stands once for each of its sockets.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let mut all: Vec<_> = self.sockets.values().chain(&self.seeded).map(|listener| listener.local).collect();
        all.sort();
        all
    }
}

/// Zero stands for a namespace that the observer cannot tell.
pub(super) fn same_netns(one: u32, other: u32) -> bool {
    one == other || one == 0 || other == 0
}

/// When one port opened and closed over a stretch of records.
#[derive(Clone, Debug)]
pub struct PortTimeline {
    /// How many listeners covered it before the stretch.
    pub listeners_before: usize,
    /// The first listener appeared, or the last one went; in the order of time.
    pub edges: Vec<Edge>,
    /// How many listeners cover it after the stretch.
    pub listeners_after: usize,
    /// The largest uncertainty of an edge, in ns.
    widest_ns: u64,
}

/// A port opened or closed.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge {
    /// When, at the latest.
    pub at: Timestamp,
    /// When at the earliest: `at` less this, in ns.
    pub uncertainty_ns: u64,
    /// Which.
    pub kind: EdgeKind,
    /// Who did it.
    pub process: Process,
}

/// Opened or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeKind {
    /// The first listener appeared.
    Opened,
    /// The last listener went.
    Closed,
}

impl PortTimeline {
    /// Follows `target` through `records`, which stand in the order of time: everything before `from` makes the
    /// state at the beginning, everything from `from` to `to` the edges.
    pub fn of(target: Endpoint, netns: u32, records: &[Record], from: Timestamp, to: Timestamp) -> Self {
        let mut listeners = Listeners::default();
        let mut edges = Vec::new();
        let mut listeners_before = 0;
        let mut open = 0;
        for record in records.iter().take_while(|record| record.at <= to) {
            let change = match &record.event {
                Event::SocketState(change) => change,
                Event::Listening(_) => {
                    listeners.apply(record);
                    open = listeners.count(target, netns);
                    if record.at < from {
                        listeners_before = open;
                    }
                    continue;
                }
                _ => continue,
            };
            listeners.apply(record);
            if change.local.port() != target.port() {
                continue;
            }
            let now_open = listeners.count(target, netns);
            if record.at < from {
                listeners_before = now_open;
            } else if (open == 0) != (now_open == 0) {
                let kind = if now_open == 0 { EdgeKind::Closed } else { EdgeKind::Opened };
                let process = change.process.clone();
                edges.push(Edge { at: record.at, uncertainty_ns: record.uncertainty_ns, kind, process });
            }
            open = now_open;
        }
        let widest_ns = edges.iter().map(|edge: &Edge| edge.uncertainty_ns).max().unwrap_or(0);
        Self { listeners_before, edges, listeners_after: open, widest_ns }
    }

    /// Whether the port was open (`Some(true)`) or closed (`Some(false)`) over the whole of [from, to], with
    /// uncertain edges counted as uncertain; `None` when it changed in between. Only within the stretch.
    pub fn steady(&self, from: Timestamp, to: Timestamp) -> Option<bool> {
        let (before, after) = self.edges.split_at(self.edges.partition_point(|edge| edge.at < from));
        // No edge reaches further back than the widest, so most need not be looked at.
        let reach = to + Duration::from_nanos(self.widest_ns);
        let mut near = after.iter().take_while(|edge| edge.at <= reach);
        if near.any(|edge| edge.at - Duration::from_nanos(edge.uncertainty_ns) <= to) {
            return None;
        }
        Some(before.last().map_or(self.listeners_before > 0, |edge| edge.kind == EdgeKind::Opened))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::history::tests::{at, edge, opened_at as change, seed};

    fn kinds(timeline: &PortTimeline) -> Vec<(u64, EdgeKind)> {
        timeline.edges.iter().map(|edge| (edge.at.0, edge.kind)).collect()
    }

    #[test]
    fn a_port_with_two_listeners_closes_with_the_last() {
        let records = [
            change(1, 1, "127.0.0.1:80", true),
            change(2, 2, "127.0.0.1:80", true),
            change(3, 1, "127.0.0.1:80", false),
            change(4, 2, "127.0.0.1:80", false),
            change(5, 3, "0.0.0.0:80", true),
        ];
        let timeline = PortTimeline::of(at("127.0.0.1:80"), 1, &records, Timestamp(3), Timestamp(9));
        assert_eq!(timeline.listeners_before, 2);
        assert_eq!(kinds(&timeline), [(4, EdgeKind::Closed), (5, EdgeKind::Opened)]);
        assert_eq!(timeline.listeners_after, 1);
        assert_eq!(timeline.steady(Timestamp(3), Timestamp(3)), Some(true));
        assert_eq!(timeline.steady(Timestamp(3), Timestamp(4)), None);
        assert_eq!(timeline.steady(Timestamp(6), Timestamp(9)), Some(true));
    }

    #[test]
    fn an_uncertain_edge_reaches_back() {
        let uncertain = |ns, open, uncertainty_ns| Record { uncertainty_ns, ..edge(ns, 1, open) };
        let records = [uncertain(100, true, 10), uncertain(200, false, 90), uncertain(300, true, 10)];
        let timeline = PortTimeline::of(at("127.0.0.1:80"), 1, &records, Timestamp(0), Timestamp(999));
        let steady = |from, to| timeline.steady(Timestamp(from), Timestamp(to));
        assert_eq!((steady(0, 89), steady(0, 90)), (Some(false), None));
        assert_eq!((steady(101, 109), steady(101, 110)), (Some(true), None));
        assert_eq!((steady(201, 289), steady(201, 290)), (Some(false), None));
        assert_eq!(steady(301, 999), Some(true));
    }

    #[test]
    fn another_namespace_is_another_port() {
        let records = [change(1, 1, "127.0.0.1:80", true)];
        let timeline = PortTimeline::of(at("127.0.0.1:80"), 2, &records, Timestamp(0), Timestamp(9));
        assert_eq!(timeline.listeners_after, 0);
        assert!(timeline.edges.is_empty());
    }

    #[test]
    fn a_seeded_listener_closes_once() {
        let records =
            [seed(1, "127.0.0.1:80"), change(5, 7, "127.0.0.1:80", false), change(6, 8, "127.0.0.1:80", false)];
        let timeline = PortTimeline::of(at("127.0.0.1:80"), 1, &records, Timestamp(2), Timestamp(9));
        assert_eq!(timeline.listeners_before, 1);
        assert_eq!(kinds(&timeline), [(5, EdgeKind::Closed)]);
    }
}

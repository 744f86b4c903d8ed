//! When a port was open and when it was closed, as surely as its records tell.

use super::kernel::{Process, TcpState};
use super::listeners::Listeners;
use super::record::{Event, Record};
use crate::clock::Timestamp;
use crate::endpoint::{Endpoint, SocketId};

/// When one port opened and closed over a stretch of records.
#[derive(Clone, Debug)]
pub struct PortTimeline {
    /// How many listeners covered it before the stretch.
    pub listeners_before: usize,
    /// The first listener appeared, or the last one went; in the order of time, each the opposite of the one before. What
    /// happened within one ns, or in an order that cannot be told, is one edge or none.
    pub edges: Vec<Edge>,
    /// Where the port may have opened and closed beside these edges, or before the stretch already.
    pub doubts: Vec<Doubt>,
    /// How many listeners cover it after the stretch.
    pub listeners_after: usize,
    /// What was known of it before the first of these edges and doubts: whether it was open.
    open_before: bool,
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

/// A time in which listeners of a port came and went in an order that cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Not before.
    pub from: Timestamp,
    /// Not after.
    pub to: Timestamp,
}

impl Edge {
    /// When, at the earliest.
    pub fn earliest(&self) -> Timestamp {
        Timestamp(self.at.0.saturating_sub(self.uncertainty_ns))
    }
}

impl PortTimeline {
    /// Follows `target` through `records`, which stand in the order of time: everything before `from` makes the
    /// state at the beginning, everything that happened from `from` to `to`, or may have, the edges.
    pub fn of(target: Endpoint, netns: u32, records: &[Record], from: Timestamp, to: Timestamp) -> Self {
        let changes = changes(target, netns, records, to);
        let count = |until: &dyn Fn(&Change) -> bool| {
            changes.iter().filter(|change| until(change)).map(|change| change.by).sum::<isize>().max(0) as usize
        };
        let mut timeline = Self {
            listeners_before: count(&|change| change.latest < from),
            edges: Vec::new(),
            doubts: Vec::new(),
            listeners_after: count(&|_| true),
            open_before: false,
        };
        let mut known = State::Closed;
        let mut blurred_since = None;
        for (at, state) in states(&changes) {
            if state == State::Blurred {
                blurred_since = blurred_since.or(Some(at));
                continue;
            }
            let since = blurred_since.take().unwrap_or(at);
            let edge =
                (state != known).then_some(if state == State::Open { EdgeKind::Opened } else { EdgeKind::Closed });
            if at < from || (timeline.edges.is_empty() && timeline.doubts.is_empty()) {
                timeline.open_before = if at < from { state } else { known } == State::Open;
            }
            known = state;
            if at >= from {
                timeline.add(&changes, since, at, edge, from);
            }
        }
        timeline
    }

    /// Adds what happened between two moments: an edge, or nothing that is left of it.
    fn add(&mut self, changes: &[Change], since: Timestamp, at: Timestamp, kind: Option<EdgeKind>, from: Timestamp) {
        let within = || changes.iter().filter(|change| change.latest > since && change.earliest < at);
        let both_ways = || within().any(|change| change.by > 0) && within().any(|change| change.by < 0);
        if since < at && (kind.is_none() || both_ways() || since < from) {
            self.doubts.push(Doubt { from: since, to: at });
        }
        let Some(kind) = kind else { return };
        let sign = if kind == EdgeKind::Opened { 1 } else { -1 };
        let until = changes.partition_point(|change| change.latest <= at);
        let who = changes[..until].iter().rfind(|change| change.by == sign);
        let process = who.and_then(|change| change.process).cloned().unwrap_or_default();
        self.edges.push(Edge { at, uncertainty_ns: at.0 - since.0, kind, process });
    }

    /// Whether the port was open (`Some(true)`) or closed (`Some(false)`) over the whole of [from, to], with
    /// uncertain edges counted as uncertain; `None` when it changed in between, or may have. Only within the stretch.
    pub fn steady(&self, from: Timestamp, to: Timestamp) -> Option<bool> {
        // Neither doubts nor edges overlap one another.
        let doubt = self.doubts.get(self.doubts.partition_point(|doubt| doubt.to < from));
        let (before, after) = self.edges.split_at(self.edges.partition_point(|edge| edge.at < from));
        if doubt.is_some_and(|doubt| doubt.from <= to) || after.first().is_some_and(|edge| edge.earliest() <= to) {
            return None;
        }
        Some(before.last().map_or(self.open_before, |edge| edge.kind == EdgeKind::Opened))
    }
}

/// A listener of the port appeared or went, at some moment from `earliest` to `latest`.
struct Change<'a> {
    earliest: Timestamp,
    latest: Timestamp,
    by: isize,
    socket: Option<SocketId>,
    process: Option<&'a Process>,
}

/// What is known of a port at a moment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Closed,
    Blurred,
}

/// What came and went at the port, in the order of the records. A socket whose listen(2) was refused did neither: the kernel
/// shows it in LISTEN for some microseconds, but no connect finds it there.
fn changes<'a>(target: Endpoint, netns: u32, records: &'a [Record], to: Timestamp) -> Vec<Change<'a>> {
    let mut listeners = Listeners::default();
    let mut changes: Vec<Change<'a>> = Vec::new();
    let mut count = 0;
    for record in records {
        let earliest = Timestamp(record.at.0.saturating_sub(record.uncertainty_ns));
        let (local, socket, process, refused) = match &record.event {
            Event::SocketState(change) if touches_listen(change.from, change.to) => {
                (change.local, Some(change.socket), Some(&change.process), change.refused)
            }
            Event::Listening(seed) => (seed.local, None, seed.process.as_ref(), false),
            _ => continue,
        };
        if local.port() != target.port() || earliest > to {
            continue;
        }
        listeners.apply(record);
        let now = listeners.count(target, netns);
        let by = now as isize - count as isize;
        count = now;
        if by < 0 && refused {
            changes.extract_if(.., |it| it.by > 0 && it.socket == socket).for_each(drop);
        } else if by != 0 {
            changes.push(Change { earliest, latest: record.at, by, socket, process });
        }
    }
    changes
}

fn touches_listen(from: TcpState, to: TcpState) -> bool {
    matches!((from, to), (TcpState::Close, TcpState::Listen) | (TcpState::Listen, TcpState::Close))
}

/// Each moment at which it is known anew whether some socket listens: for sure, at the most, or neither.
fn states(changes: &[Change<'_>]) -> Vec<(Timestamp, State)> {
    // At a moment: sockets that listen for sure from then on, and sockets that may; more or fewer.
    let mut steps: Vec<(Timestamp, isize, isize)> = Vec::new();
    for (at, change) in changes.iter().enumerate() {
        let opens = change.by > 0;
        steps.push((if opens { change.earliest } else { change.latest }, 0, change.by));
        // A socket that may have closed before it opened for sure listens at no moment for sure.
        let of_same = |other: &&Change<'_>| change.socket.is_some() && other.socket == change.socket;
        let (opened, closed) = if opens {
            (Some(change), changes[at + 1..].iter().find(of_same))
        } else {
            (changes[..at].iter().rfind(of_same), Some(change))
        };
        let never_sure = opened.zip(closed).is_some_and(|(opened, closed)| opened.latest >= closed.earliest);
        if !never_sure {
            steps.push((if opens { change.latest } else { change.earliest }, change.by, 0));
        }
    }
    steps.sort_by_key(|(at, ..)| *at);
    let (mut surely, mut maybe) = (0, 0);
    let moments = steps.chunk_by(|one, next| one.0 == next.0).map(|moment| {
        for (_, sure, possible) in moment {
            (surely, maybe) = (surely + sure, maybe + possible);
        }
        let state = match (surely > 0, maybe > 0) {
            (true, _) => State::Open,
            (false, true) => State::Blurred,
            (false, false) => State::Closed,
        };
        (moment[0].0, state)
    });
    moments.collect()
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
    fn a_handover_as_the_stretch_begins_leaves_the_port_open() {
        let uncertain = Record { uncertainty_ns: 3, ..change(10, 2, "127.0.0.1:80", true) };
        let records = [seed(1, "127.0.0.1:80"), change(7, 1, "127.0.0.1:80", false), uncertain];
        let timeline = PortTimeline::of(at("127.0.0.1:80"), 1, &records, Timestamp(10), Timestamp(99));
        assert_eq!(timeline.steady(Timestamp(10), Timestamp(20)), None);
        assert_eq!(timeline.steady(Timestamp(11), Timestamp(20)), Some(true));
    }

    #[test]
    fn a_listen_that_is_refused_opens_nothing() {
        let refused = |ns, socket| {
            let mut record = change(ns, socket, "0.0.0.0:80", false);
            if let Event::SocketState(change) = &mut record.event {
                change.refused = true;
            }
            record
        };
        let records = [
            change(1, 1, "127.0.0.1:80", true),
            change(3, 2, "0.0.0.0:80", true),
            refused(4, 2),
            change(6, 3, "0.0.0.0:80", true),
            change(7, 1, "127.0.0.1:80", false),
            refused(8, 3),
            change(9, 2, "0.0.0.0:80", true),
        ];
        let seen = |target| {
            let timeline = PortTimeline::of(at(target), 1, &records, Timestamp(2), Timestamp(20));
            (timeline.listeners_before, kinds(&timeline), timeline.listeners_after)
        };
        // The second socket listens in the end, when it is let to.
        assert_eq!(seen("127.0.0.2:80"), (0, vec![(9, EdgeKind::Opened)], 1));
        assert_eq!(seen("127.0.0.1:80"), (1, vec![(7, EdgeKind::Closed), (9, EdgeKind::Opened)], 1));
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

    #[test]
    fn of_two_seeds_of_an_address_the_one_closes_that_is_like_the_record() {
        let seeded = |ipv6_only| {
            let mut seed = seed(1, "[::]:80");
            if let Event::Listening(listening) = &mut seed.event {
                listening.ipv6_only = ipv6_only;
            }
            seed
        };
        // The one that takes IPv4 connections too goes.
        let records = [seeded(true), seeded(false), change(5, 7, "[::]:80", false)];
        let timeline = PortTimeline::of(at("127.0.0.1:80"), 1, &records, Timestamp(2), Timestamp(9));
        assert_eq!((timeline.listeners_before, kinds(&timeline)), (1, vec![(5, EdgeKind::Closed)]));
    }

    #[test]
    fn a_handover_within_the_uncertainty_is_a_doubt() {
        let blurred = |record: Record| Record { uncertainty_ns: 4, ..record };
        let records = [
            change(1, 1, "127.0.0.1:80", true),
            blurred(change(10, 2, "127.0.0.1:80", true)),
            blurred(change(10, 1, "127.0.0.1:80", false)),
        ];
        let timeline = PortTimeline::of(at("127.0.0.1:80"), 1, &records, Timestamp(2), Timestamp(20));
        assert_eq!(timeline.edges, []);
        assert_eq!(timeline.doubts, [Doubt { from: Timestamp(6), to: Timestamp(10) }]);
        assert_eq!(timeline.steady(Timestamp(2), Timestamp(5)), Some(true));
        assert_eq!(timeline.steady(Timestamp(2), Timestamp(7)), None);
        assert_eq!(timeline.steady(Timestamp(11), Timestamp(20)), Some(true));
    }
}

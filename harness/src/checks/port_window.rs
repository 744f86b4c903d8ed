//! Ports that must close and reopen inside their windows, and ports that must not move.

use serde::{Deserialize, Serialize};

use super::coverage::witness;
use super::slice::Slice;
use super::verdict::Verdict;
use super::who;
use crate::clock::Timestamp;
use crate::endpoint::Endpoint;
use crate::history::{Doubt, Edge, EdgeKind, Event, OpStep, Operation, PortTimeline, Record, TcpState};

/// A port leaves LISTEN after a trigger, stays closed for a time, and listens again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PortWindow {
    /// Its name, for people.
    pub port: String,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// What the time of its close counts from.
    pub trigger: Trigger,
    /// It is closed at most this long after the trigger, in ms; at any time when there is none.
    pub closes_within_ms: Option<f64>,
    /// It reopens this long after its own close; at any time when there is none.
    pub reopens: Option<Reopens>,
}

/// A moment that windows count from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Trigger {
    /// The first byte that any operation of this group wrote.
    Group(String),
    /// A moment that was recorded by this name.
    Moment {
        /// The name.
        moment: String,
    },
}

impl From<String> for Trigger {
    fn from(group: String) -> Self {
        Self::Group(group)
    }
}

impl From<&str> for Trigger {
    fn from(group: &str) -> Self {
        Self::Group(group.into())
    }
}

impl Trigger {
    /// When it happened in a case; an error says that it did not.
    fn moment(&self, slice: &Slice<'_>) -> Result<Timestamp, String> {
        let (happened, why) = match self {
            Self::Group(group) => (slice.first_byte(group), format!("`{group}` wrote no byte")),
            Self::Moment { moment } => (slice.moment(moment), format!("`{moment}` is not recorded")),
        };
        happened.ok_or(format!("the trigger never happened: {why}"))
    }
}

/// When a port reopens, counted from its own close.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reopens {
    /// The middle of the window, in ms.
    pub after_ms: f64,
    /// Half its width, in ms.
    pub tolerance_ms: f64,
}

/// Both edges of a port, as they were measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The port's name.
    pub port: String,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Trigger to close, in ms; the latest moment when there is an uncertainty.
    pub closed_after_trigger_ms: Option<f64>,
    /// Close to reopening, in ms.
    pub reopened_after_close_ms: Option<f64>,
    /// Trigger to reopening, in ms.
    pub reopened_after_trigger_ms: Option<f64>,
    /// By how much the edges can be too late, in ms.
    pub uncertainty_ms: f64,
    /// Who closed it.
    pub closed_by: Option<String>,
    /// Who reopened it.
    #[serde(default)]
    pub reopened_by: Option<String>,
}

impl PortWindow {
    /// Judges both edges; the port must listen when the case begins.
    pub fn judge(&self, slice: &Slice<'_>) -> Verdict {
        let rung = match witness(slice) {
            Ok(witness) => witness.rung,
            Err(reason) => return Verdict::unknown(reason),
        };
        let trigger = match self.trigger.moment(slice) {
            Ok(trigger) => trigger,
            Err(reason) => return Verdict::unknown(reason),
        };
        let timeline = slice.timeline(self.endpoint);
        if timeline.listeners_before == 0 {
            return Verdict::unknown(format!("{} did not listen when the case began", self.endpoint));
        }
        let verdict = match timeline.edges.split_first() {
            Some((first, _)) if doubted(&timeline, first.at).is_some() => disordered(&timeline, rung),
            None if !timeline.doubts.is_empty() => disordered(&timeline, rung),
            Some((first, _)) if first.at < trigger => Verdict::fail(
                format!("{} to listen until the trigger", self.endpoint),
                format!("it closed {:.3} ms before it, by {}", trigger.ms_after(first.at), first.process),
            ),
            Some((first, _)) if first.earliest() < trigger => {
                blurred("closed", first.earliest().ns_after(trigger), first.at.ns_after(trigger), rung)
            }
            Some((closed, later)) => Verdict::worst([
                &self.judge_close(trigger, closed, rung),
                &self.judge_reopen(slice, closed, later, &timeline, rung),
            ]),
            None => self.never_closed(slice, trigger, timeline.listeners_after),
        };
        let port = self.endpoint.port();
        verdict.with_records(slice.around(trigger, slice.begin, slice.end, |event| {
            touches_listen(event, port)
                || matches!(event, Event::Operation(Operation { step: OpStep::FirstByte, .. }) | Event::Moment { .. })
        }))
    }

    /// Both edges in ms; `None` when there was no trigger.
    pub fn measure(&self, slice: &Slice<'_>) -> Option<Measured> {
        let trigger = self.trigger.moment(slice).ok()?;
        let timeline = slice.timeline(self.endpoint);
        let closed = timeline.edges.iter().find(|edge| edge.kind == EdgeKind::Closed && edge.at >= trigger);
        let reopened = closed.and_then(|closed| {
            timeline.edges.iter().find(|edge| edge.kind == EdgeKind::Opened && edge.at >= closed.at)
        });
        let widest = closed.iter().chain(&reopened).map(|edge| edge.uncertainty_ns).max().unwrap_or(0);
        Some(Measured {
            port: self.port.clone(),
            endpoint: self.endpoint,
            closed_after_trigger_ms: closed.map(|edge| edge.at.ms_after(trigger)),
            reopened_after_close_ms: closed.zip(reopened).map(|(closed, opened)| opened.at.ms_after(closed.at)),
            reopened_after_trigger_ms: reopened.map(|edge| edge.at.ms_after(trigger)),
            uncertainty_ms: widest as f64 / 1e6,
            closed_by: closed.map(|edge| edge.process.to_string()),
            reopened_by: reopened.map(|edge| edge.process.to_string()),
        })
    }

    fn judge_close(&self, trigger: Timestamp, closed: &Edge, rung: &str) -> Verdict {
        let Some(limit_ms) = self.closes_within_ms else { return Verdict::Pass };
        let limit = nanoseconds(limit_ms);
        let latest = closed.at.ns_after(trigger);
        if latest <= limit {
            Verdict::Pass
        } else if closed.earliest().ns_after(trigger) <= limit {
            blurred("closed", closed.earliest().ns_after(trigger), latest, rung)
        } else {
            let (after, late) = (milliseconds(latest), milliseconds(latest - limit));
            Verdict::fail(
                format!("{} to close within {limit_ms:.0} ms of the trigger", self.endpoint),
                format!("it closed {after:.3} ms after it, {late:.3} ms too late, by {}", closed.process),
            )
        }
    }

    fn judge_reopen(
        &self,
        slice: &Slice<'_>,
        closed: &Edge,
        later: &[Edge],
        timeline: &PortTimeline,
        rung: &str,
    ) -> Verdict {
        let Some(opened) = later.first() else {
            return match timeline.doubts.as_slice() {
                [] => self.never_reopened(slice, closed),
                _ => disordered(timeline, rung),
            };
        };
        if doubted(timeline, opened.at).is_some() {
            return disordered(timeline, rung);
        }
        let again = match later.get(1) {
            Some(again) if again.at <= slice.end => Verdict::fail(
                format!("{} to stay open after it reopened", self.endpoint),
                format!("it closed again {:.3} ms later, by {}", again.at.ms_after(opened.at), again.process),
            ),
            None if opened.at <= slice.end && timeline.doubts.is_empty() => Verdict::Pass,
            None if opened.at <= slice.end => disordered(timeline, rung),
            _ => Verdict::unknown("it moved as the case ended, before or after"),
        };
        Verdict::worst([&self.judge_pause(closed, opened, rung), &again])
    }

    /// Judges how long the port was closed.
    fn judge_pause(&self, closed: &Edge, opened: &Edge, rung: &str) -> Verdict {
        let Some(reopens) = self.reopens else { return Verdict::Pass };
        let (low, high) = reopens.bounds();
        let (earliest, latest) = (opened.earliest().ns_after(closed.at), opened.at.ns_after(closed.earliest()));
        if latest < low || earliest > high {
            let (off, word) = if latest < low { (low - latest, "early") } else { (earliest - high, "late") };
            let (low, high, off) = (milliseconds(low), milliseconds(high), milliseconds(off));
            let between = opened.at.ms_after(closed.at);
            return Verdict::fail(
                format!("{} to reopen {low:.0} to {high:.0} ms after its close", self.endpoint),
                format!(
                    "it reopened {between:.3} ms after it, {off:.3} ms too {word}, by {}{}",
                    opened.process,
                    who::another(closed, opened)
                ),
            );
        }
        if earliest < low || latest > high {
            return blurred("reopened", earliest, latest, rung);
        }
        Verdict::Pass
    }

    fn never_closed(&self, slice: &Slice<'_>, trigger: Timestamp, listeners: usize) -> Verdict {
        let watched = slice.end.ms_after(trigger);
        // What happened at the very moment of the end may not be recorded.
        let too_early = match self.closes_within_ms {
            Some(limit) => slice.end.ns_after(trigger) <= nanoseconds(limit),
            None => slice.cut_short(),
        };
        if too_early {
            return Verdict::unknown(format!("the case ended {watched:.0} ms after the trigger, inside the window"));
        }
        let expected = match self.closes_within_ms {
            Some(limit) => format!("{} to close within {limit:.0} ms of the trigger", self.endpoint),
            None => format!("{} to close after the trigger", self.endpoint),
        };
        let who = who::listens_still(slice, self.endpoint, trigger);
        let seen = format!("it never left LISTEN in {watched:.0} ms (listening sockets now: {listeners}){who}");
        Verdict::fail(expected, seen)
    }

    fn never_reopened(&self, slice: &Slice<'_>, closed: &Edge) -> Verdict {
        let watched = slice.end.ms_after(closed.at);
        let too_early = match self.reopens {
            Some(reopens) => slice.end.ns_after(closed.at) <= reopens.bounds().1,
            None => slice.cut_short(),
        };
        if too_early || closed.at >= slice.end {
            return Verdict::unknown(format!("the case ended {watched:.0} ms after the close, inside the window"));
        }
        let expected = match self.reopens {
            Some(Reopens { after_ms, tolerance_ms }) => {
                format!("{} to reopen {after_ms:.0} ± {tolerance_ms:.0} ms after its close", self.endpoint)
            }
            None => format!("{} to reopen after its close", self.endpoint),
        };
        let elsewhere = opened_elsewhere(slice, self.endpoint, closed);
        let ended =
            who::ending(slice, closed).map(|how| format!("; {}, which closed it, ended ({how})", closed.process));
        Verdict::fail(expected, format!("it did not in {watched:.0} ms{elsewhere}{}", ended.unwrap_or_default()))
    }
}

impl Reopens {
    /// The window in ns, both bounds within it.
    fn bounds(self) -> (i128, i128) {
        let (after, tolerance) = (nanoseconds(self.after_ms), nanoseconds(self.tolerance_ms));
        (after - tolerance, after + tolerance)
    }
}

/// A port that listens from the beginning of a case to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortStays {
    /// Its name, for people.
    pub port: String,
    /// Where it listens.
    pub endpoint: Endpoint,
}

impl PortStays {
    /// Judges that the port did not move.
    pub fn judge(&self, slice: &Slice<'_>) -> Verdict {
        let rung = match witness(slice) {
            Ok(witness) => witness.rung,
            Err(reason) => return Verdict::unknown(reason),
        };
        let timeline = slice.timeline(self.endpoint);
        if doubted(&timeline, slice.begin).is_some() {
            return disordered(&timeline, rung);
        }
        if timeline.listeners_before == 0 {
            return Verdict::unknown(format!("{} did not listen when the case began", self.endpoint));
        }
        match timeline.edges.first() {
            Some(edge) if edge.at <= slice.end => {
                let port = self.endpoint.port();
                Verdict::fail(
                    format!("{} to listen throughout", self.endpoint),
                    format!(
                        "it closed {:.3} ms into the case, by {}{}",
                        edge.at.ms_after(slice.begin),
                        edge.process,
                        who::afterwards(slice, &timeline, edge)
                    ),
                )
                .with_records(slice.around(slice.begin, slice.begin, slice.end, |event| touches_listen(event, port)))
            }
            Some(_) => Verdict::unknown("it closed as the case ended, before or after"),
            None if timeline.doubts.is_empty() => Verdict::Pass,
            None => disordered(&timeline, rung),
        }
    }
}

/// The first doubt that begins no later than `at`.
fn doubted(timeline: &PortTimeline, at: Timestamp) -> Option<&Doubt> {
    timeline.doubts.iter().find(|doubt| doubt.from <= at)
}

fn disordered(timeline: &PortTimeline, rung: &str) -> Verdict {
    let longest = timeline.doubts.iter().map(|doubt| doubt.to.ms_after(doubt.from)).fold(0.0, f64::max);
    Verdict::unknown(format!(
        "its listeners changed within {longest:.3} ms in an order that {rung} cannot tell, so it may have been closed in \
         between: the ebpf observer would settle it"
    ))
}

fn blurred(what: &str, earliest: i128, latest: i128, rung: &str) -> Verdict {
    let (earliest, latest) = (milliseconds(earliest), milliseconds(latest));
    Verdict::unknown(format!(
        "it {what} between {earliest:.3} and {latest:.3} ms, and the window's bound lies in between: {rung} sees no \
         better, the ebpf observer would settle it"
    ))
}

/// A bound in whole ns, so that what lies on it is within it, whatever the fractions of a ms.
fn nanoseconds(ms: f64) -> i128 {
    // No time of a run comes near to 10^30 ns.
    (ms * 1e6).round().clamp(-1e30, 1e30) as i128
}

fn milliseconds(ns: i128) -> f64 {
    ns as f64 / 1e6
}

fn touches_listen(event: &Event, port: u16) -> bool {
    matches!(event, Event::SocketState(change) if change.local.port() == port
        && (change.to == TcpState::Listen || (change.from == TcpState::Listen && change.to == TcpState::Close)))
}

/// Listeners that the process which closed the port opened elsewhere afterwards, as a clause. A port that had closed in the
/// case too is back where it was, and no other.
fn opened_elsewhere(slice: &Slice<'_>, endpoint: Endpoint, closed: &Edge) -> String {
    let left = |record: &Record| match &record.event {
        Event::SocketState(change) if (change.from, change.to) == (TcpState::Listen, TcpState::Close) => {
            Some(change.local)
        }
        _ => None,
    };
    let left: Vec<Endpoint> = slice.own().iter().filter_map(left).collect();
    let mut elsewhere: Vec<String> = slice
        .own()
        .iter()
        .filter(|record| record.at > closed.at)
        .filter_map(|record| match &record.event {
            Event::SocketState(change)
                if change.to == TcpState::Listen
                    && change.local != endpoint
                    && !left.contains(&change.local)
                    && change.process.tgid == closed.process.tgid =>
            {
                Some(format!("{} at {:+.0} ms", change.local, record.at.ms_after(closed.at)))
            }
            _ => None,
        })
        .collect();
    elsewhere.truncate(4);
    match elsewhere.as_slice() {
        [] => String::new(),
        some => format!("; the same process opened {} instead", some.join(", ")),
    }
}

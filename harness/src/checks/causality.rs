//! Does what clients experienced fit what the kernel recorded? A connect that succeeds at a closed port, or is refused
//! by an open one, contradicts the record.

use std::collections::HashMap;
use std::time::Duration;

use super::calls::Calls;
use super::conversation::connects;
use super::coverage::witness;
use super::slice::{Connect, Op, Slice};
use super::verdict::Verdict;
use crate::clock::Timestamp;
use crate::endpoint::Endpoint;
use crate::history::{EdgeKind, Event, Outcome, PortTimeline, TcpState};

/// The kernel stamps a listener's state before it can be found by a connect, and after it can no longer be
/// (inet_csk_listen_start and tcp_set_state, Linux 6.18); interrupts, or a task that is preempted in between, widen the
/// gap. Of 290 000 edges beside a client that connects without a pause, with two CPUs at rest and under a load of 14,
/// 36 showed a gap at all: 18 us (median), 64 us (longest). In a VM a CPU may stand still in between: where one of the host's
/// emulates two in turn, 21 of 10 000 edges showed one, of 1.8 ms (median) and up to 2.7 ms. Where the calls that open and close
/// listeners are recorded, they bound the gap, however long it is.
pub const HASHING: Duration = Duration::from_millis(6);

/// The same for a connect that succeeds. By the order of the stamps it needs none.
pub const SUCCESS: Duration = Duration::from_micros(1200);

/// A finding shows as many changes of the port before the end of the connect, and after it.
const AROUND: usize = 4;

/// What came of comparing connects with the record.
#[derive(Debug)]
pub struct Comparison<'a> {
    /// How many fit.
    pub fitting: usize,
    /// Those that do not, each with what is wrong.
    pub contradicting: Vec<(Op<'a>, &'static str)>,
}

/// Compares every connect of the case with the listeners of its target while it was under way, and for as long as `slack`
/// around that, or [`SUCCESS`] where it succeeded and that is less. A port that opened or closed meanwhile allows both
/// outcomes: then there is nothing to compare.
pub fn compare<'a>(slice: &Slice<'a>, slack: Duration) -> Comparison<'a> {
    let mut timelines: HashMap<Endpoint, PortTimeline> = HashMap::new();
    let mut calls = None;
    let mut found = Comparison { fitting: 0, contradicting: Vec::new() };
    for op in slice.operations().into_iter().chain(connects(slice)) {
        let Some(connect) = &op.connect else { continue };
        let around = if *connect.outcome == Outcome::Refused { slack } else { slack.min(SUCCESS) };
        let (from, to) = (connect.began - around, connect.returned + around);
        // What the kernel stamped after the case's end may not be recorded: the opening that a success follows was stamped
        // before it, the closing that a refusal precedes may be stamped after.
        let stamped = if *connect.outcome == Outcome::Refused { to } else { connect.returned };
        if stamped >= slice.end {
            continue;
        }
        let timeline = timelines.entry(op.target).or_insert_with(|| {
            PortTimeline::of(op.target, slice.run.netns, slice.records, slice.begin - slack, slice.end)
        });
        let open = timeline.steady(from, to);
        match (connect.outcome, open) {
            (Outcome::Ok, Some(true)) | (Outcome::Refused, Some(false)) => found.fitting += 1,
            (Outcome::Ok, Some(false)) => {
                found.contradicting.push((op, "succeeded while no socket listened there"));
            }
            (Outcome::Refused, Some(true))
                if !under_way(calls.get_or_insert_with(|| Calls::of_slice(slice)), timeline, connect) =>
            {
                found.contradicting.push((op, "was refused while a socket listened there"));
            }
            _ => {}
        }
    }
    found
}

/// Whether the listener was just being opened or closed, by a call that is recorded: listen(2) had not returned when the connect
/// began, or what closed it had been called before the connect returned. However long a CPU stands still in between, no gap is
/// longer than the call. A process that ends closes without one.
fn under_way(calls: &Calls, timeline: &PortTimeline, connect: &Connect<'_>) -> bool {
    let opened = timeline.edges.iter().rfind(|edge| edge.kind == EdgeKind::Opened && edge.at <= connect.returned);
    let closed = timeline.edges.iter().find(|edge| edge.kind == EdgeKind::Closed && edge.at >= connect.began);
    let opening = opened.and_then(|edge| calls.of(edge));
    let closing = closed.and_then(|edge| calls.of(edge));
    opening.is_some_and(|call| call.left >= connect.began)
        || closing.is_some_and(|call| call.entered <= connect.returned)
}

/// Fails at the first connect that contradicts the record.
pub fn judge(slice: &Slice<'_>) -> Verdict {
    if let Err(reason) = witness(slice) {
        return Verdict::unknown(reason);
    }
    let found = compare(slice, HASHING);
    let Some((op, contradiction)) = found.contradicting.first() else {
        return match found.fitting {
            0 => Verdict::unknown("no connect could be compared with the kernel's record"),
            _ => Verdict::Pass,
        };
    };
    let (began, returned) = op.connect.as_ref().map_or((op.start, op.start), |it| (it.began, it.returned));
    let (from, to) = (began.ms_after(slice.begin), returned.ms_after(slice.begin));
    let (port, number, target) = (op.target.port(), op.op.0, op.target);
    Verdict::fail(
        "connects to agree with the kernel's record of the port",
        format!("the connect of operation {number} to {target} from {from:+.3} to {to:+.3} ms {contradiction}"),
    )
    .with_records(changes_around(slice, port, returned))
}

/// What became of the listeners at a port right before and right after a moment.
fn changes_around(slice: &Slice<'_>, port: u16, moment: Timestamp) -> Vec<String> {
    let of_port = |event: &Event| {
        matches!(event, Event::SocketState(change) if change.local.port() == port && matches!(
            (change.from, change.to),
            (TcpState::Close, TcpState::Listen) | (TcpState::Listen, TcpState::Close)
        ))
    };
    let times: Vec<_> = slice.own().iter().filter(|it| of_port(&it.event)).map(|record| record.at).collect();
    let (before, after) = times.split_at(times.partition_point(|at| *at <= moment));
    let from = before[before.len().saturating_sub(AROUND)..].first().unwrap_or(&slice.begin);
    let to = after[..after.len().min(AROUND)].last().unwrap_or(&slice.end);
    slice.around(slice.begin, *from, *to, of_port)
}

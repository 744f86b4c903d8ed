//! Does what clients experienced fit what the kernel recorded? A connect that succeeds at a closed port, or is refused
//! by an open one, contradicts the record.

use std::collections::HashMap;
use std::time::Duration;

use super::coverage::witness;
use super::slice::Slice;
use super::verdict::Verdict;
use crate::endpoint::Endpoint;
use crate::history::{Event, Outcome, PortTimeline, TcpState};

/// The kernel stamps a listener's state before it can be found by a connect, and after it can no longer be
/// (inet_csk_listen_start and tcp_set_state, Linux 6.18); a task that is preempted in between widens the gap.
const HASHING: Duration = Duration::from_millis(1);

/// Compares every connect of the case with the listeners of its target while it was under way.
pub fn judge(slice: &Slice<'_>) -> Verdict {
    if let Err(reason) = witness(slice) {
        return Verdict::unknown(reason);
    }
    let mut timelines: HashMap<Endpoint, PortTimeline> = HashMap::new();
    let mut compared = 0;
    for op in slice.operations() {
        let Some(connect) = &op.connect else { continue };
        let timeline = timelines.entry(op.target).or_insert_with(|| slice.timeline(op.target));
        // A port that opened or closed while the connect was under way allows both outcomes.
        let Some(open) = timeline.steady(connect.began - HASHING, connect.returned + HASHING) else { continue };
        let contradiction = match (connect.outcome, open) {
            (Outcome::Ok, false) => "succeeded while no socket listened there",
            (Outcome::Refused, true) => "was refused while a socket listened there",
            (Outcome::Ok, true) | (Outcome::Refused, false) => {
                compared += 1;
                continue;
            }
            _ => continue,
        };
        let port = op.target.port();
        return Verdict::fail(
            "connects to agree with the kernel's record of the port",
            format!(
                "the connect of operation {} to {} from {:+.3} to {:+.3} ms {contradiction}",
                op.op.0,
                op.target,
                connect.began.ms_after(slice.begin),
                connect.returned.ms_after(slice.begin)
            ),
        )
        .with_records(slice.around(slice.begin, slice.begin, slice.end, |event| {
            matches!(event, Event::SocketState(change) if change.local.port() == port
                && (change.to == TcpState::Listen || change.from == TcpState::Listen))
        }));
    }
    match compared {
        0 => Verdict::unknown("no connect could be compared with the kernel's record"),
        _ => Verdict::Pass,
    }
}

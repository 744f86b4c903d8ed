//! The calls by which ports were opened and closed: a listener may be found by connects from within the one, and until within the
//! other.

use std::collections::HashMap;
use std::time::Duration;

use super::causality::HASHING;
use super::slice::Slice;
use crate::clock::Timestamp;
use crate::history::{Edge, EdgeKind, Event, Source};

/// The calls of each thread that can open or close a listener, as eBPF recorded them.
pub(super) struct Calls(HashMap<u32, Vec<Step>>);

/// A call is entered or left.
struct Step {
    at: Timestamp,
    is_entry: bool,
    opens: bool,
}

/// From when to when a call was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) entered: Timestamp,
    /// The end of time for a call that was never left.
    pub(super) left: Timestamp,
}

impl Calls {
    /// Gathers them from a case and what was before it.
    pub(super) fn of_slice(slice: &Slice<'_>) -> Self {
        let mut calls: HashMap<u32, Vec<Step>> = HashMap::new();
        for record in slice.records.iter().filter(|record| record.source == Source::Ebpf) {
            let Event::Syscall(call) = &record.event else { continue };
            let opens = call.name == "listen";
            if opens || call.can_close() {
                let step = Step { at: record.at, is_entry: call.is_entry(), opens };
                calls.entry(call.process.tid).or_default().push(step);
            }
        }
        Self(calls)
    }

    /// The call by which a thread opened or closed the port, if that is recorded.
    pub(super) fn of(&self, edge: &Edge) -> Option<Span> {
        let opened = edge.kind == EdgeKind::Opened;
        let steps = self.0.get(&edge.process.tid)?;
        let until = steps.partition_point(|step| step.at <= edge.at);
        let entry = steps[..until].iter().rposition(|step| step.is_entry && step.opens == opened)?;
        let left =
            steps[entry + 1..].iter().find(|step| step.opens == opened).map_or(Timestamp(u64::MAX), |end| end.at);
        // Before Linux 6.6 a socket closes as the thread goes back to its program, a little after the call.
        let late = if opened { Duration::ZERO } else { HASHING };
        (edge.at.since(left) <= late).then_some(Span { entered: steps[entry].at, left })
    }
}

//! Whether a client that spins on connect ever finds a port otherwise than the record says.

use portwitness::history::Source;
use portwitness::observers::Observer;

use super::edges::edges_of;
use crate::figure::{Section, Unit};
use crate::observing;
use crate::size::Size;
use crate::work::edges::Attempt;
use crate::work::poll::Seen;
use crate::worker::Worker;

pub(crate) fn run(size: Size) -> anyhow::Result<Section> {
    let mut section = Section::new(
        "Contradictions with a client",
        "A port flips as fast as it can while a client connects to it without a pause. An attempt contradicts the \
         record when it was accepted although it lay, from before the call to after it, within a stretch that is \
         recorded as closed, or was refused within one that is recorded as open. The kernel stamps a listener's state a moment \
         before a connect finds it, and after none does: who is refused less than 1 ms from the stamp is counted apart.",
    );
    let flips = size.of(5_000, 20);
    let recorder = observing::nowhere();
    let observer = observing::ebpf(&recorder, std::process::id(), true)?;
    let attempts: Vec<Attempt> = Worker::spawn(&["flips", &flips.to_string()])?.go()?;
    observer.stop()?;
    let edges = edges_of(&recorder, Source::Ebpf);
    let judged = judge(&edges, &attempts);
    section.value("transitions", edges.len() as f64, Unit::Count);
    section.value("attempts", attempts.len() as f64, Unit::Count);
    section.value("attempts within one stretch", judged.within as f64, Unit::Count);
    section.value("transitions missing", (flips * 2) as f64 - edges.len() as f64, Unit::Count).at_most(0.0);
    section.value("refused at the edge of an open stretch", judged.at_edge as f64, Unit::Count);
    section.value("contradictions", judged.contradictions as f64, Unit::Count).at_most(0.0);
    Ok(section)
}

/// In ns. The check allows for more, since in a VM a CPU may stand still at that moment.
const NEAR: u64 = 1_000_000;

#[derive(Debug, Default, PartialEq)]
struct Judged {
    within: usize,
    /// Refused less than [`NEAR`] from the stamp of the opening or the close.
    at_edge: usize,
    contradictions: usize,
}

/// Compares attempts with edges, which stand in the order of time; before the first edge the port is closed.
fn judge(edges: &[Seen], attempts: &[Attempt]) -> Judged {
    let mut judged = Judged::default();
    for attempt in attempts {
        let before = edges.partition_point(|edge| edge.at <= attempt.before);
        if edges.get(before).is_some_and(|next| next.at <= attempt.after) {
            continue;
        }
        let open = before.checked_sub(1).is_some_and(|last| edges[last].open);
        judged.within += 1;
        let near = |ns: u64| ns < NEAR;
        let opened = before.checked_sub(1).is_some_and(|last| near(attempt.before.0 - edges[last].at.0));
        let closes = edges.get(before).is_some_and(|next| near(next.at.0 - attempt.after.0));
        match (open, attempt.connected) {
            (true, false) if opened || closes => judged.at_edge += 1,
            (open, connected) => judged.contradictions += usize::from(open != connected),
        }
    }
    judged
}

#[cfg(test)]
mod tests {
    use portwitness::clock::Timestamp;

    use super::*;

    /// At `ms`.
    fn edge(ms: u64, open: bool) -> Seen {
        Seen { port: 0, open, at: Timestamp(ms * 1_000_000) }
    }

    /// From `before` to `after`, in ms.
    fn attempt(before: u64, after: u64, connected: bool) -> Attempt {
        let at = |ms: u64| Timestamp(ms * 1_000_000);
        Attempt { before: at(before), after: at(after), connected }
    }

    #[test]
    fn a_forged_record_is_contradicted() {
        let edges = [edge(10, true), edge(20, false), edge(30, true)];
        let attempts = [
            attempt(1, 2, false),
            attempt(11, 12, true),
            attempt(19, 21, false),
            attempt(22, 23, false),
            attempt(31, 32, true),
        ];
        assert_eq!(judge(&edges, &attempts), Judged { within: 4, ..Judged::default() });
        // The same without the edge at 20: the refusal at 22 lies within a stretch recorded as open.
        assert_eq!(judge(&[edge(10, true)], &attempts), Judged { within: 5, contradictions: 2, ..Judged::default() });
    }

    #[test]
    fn a_refusal_at_the_edge_of_an_open_stretch_is_counted_apart() {
        let edges = [edge(10, true), edge(100, false), edge(200, true)];
        let at_edges = [attempt(10, 20, false), attempt(90, 99, false), attempt(90, 100, false)];
        assert_eq!(judge(&edges, &at_edges[..1]), Judged { within: 1, at_edge: 1, contradictions: 0 });
        // A millisecond is too long; at the stamp itself, it is in no stretch.
        assert_eq!(judge(&edges, &at_edges[1..]), Judged { within: 1, at_edge: 0, contradictions: 1 });
        let accepted = [attempt(190, 199, true)];
        assert_eq!(judge(&edges, &accepted), Judged { within: 1, at_edge: 0, contradictions: 1 });
    }
}

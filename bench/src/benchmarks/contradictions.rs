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
         recorded as closed, or was refused within one that is recorded as open.",
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
    section.value("contradictions", judged.contradictions as f64, Unit::Count).at_most(0.0);
    Ok(section)
}

#[derive(Debug, Default, PartialEq)]
struct Judged {
    within: usize,
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
        judged.contradictions += usize::from(open != attempt.connected);
    }
    judged
}

#[cfg(test)]
mod tests {
    use portwitness::clock::Timestamp;

    use super::*;

    #[test]
    fn a_forged_record_is_contradicted() {
        let edge = |at, open| Seen { port: 0, open, at: Timestamp(at) };
        let attempt =
            |before, after, connected| Attempt { before: Timestamp(before), after: Timestamp(after), connected };
        let edges = [edge(10, true), edge(20, false), edge(30, true)];
        let attempts = [
            attempt(1, 2, false),
            attempt(11, 12, true),
            attempt(19, 21, false),
            attempt(22, 23, false),
            attempt(31, 32, true),
        ];
        assert_eq!(judge(&edges, &attempts), Judged { within: 4, contradictions: 0 });
        // The same without the edge at 20: the refusal at 22 lies within a stretch recorded as open.
        assert_eq!(judge(&[edge(10, true)], &attempts), Judged { within: 5, contradictions: 2 });
    }
}

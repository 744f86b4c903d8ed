//! How far the moment at which a port is said to have opened or closed lies from the truth, on a busy machine.

use portwitness::clock::Timestamp;
use portwitness::history::{Event, Recorder, Source, TcpState};
use portwitness::observers::Observer;
use portwitness::observers::sock_diag::{SockDiagObserver, SockDiagSettings};

use crate::figure::{Section, Unit};
use crate::load::Load;
use crate::observing;
use crate::size::Size;
use crate::stats::quantile;
use crate::work::FIRST_PORT;
use crate::work::edges::Edge;
use crate::work::poll::Seen;
use crate::worker::Worker;

/// Ports that open and close at the same time.
const PORTS: u16 = 8;

/// Processes that keep the CPUs busy: with the ports' own and the pollers, the load is above 5.
const BUSY: usize = 6;

pub(crate) fn run(size: Size) -> anyhow::Result<Section> {
    let mut section = Section::new(
        "The error of a window's edge, on a busy machine",
        "8 ports open and close every 120 to 280 ms, while 6 processes compute and all observers watch the same ports at \
         once. The truth is stamped right before listen(2) and close(2) and right after: the error is the distance \
         from the stamp before, so it contains the call's own way to the transition. The process that opens and closes has the highest \
         priority, or it would wait for a CPU between its stamp and its call. An edge is missed when the \
         observer has no such edge before the port's next one.",
    );
    let load = Load::of(BUSY)?;
    let rounds = size.of(100, 2);
    let recorder = observing::nowhere();
    let ebpf = observing::ebpf(&recorder, std::process::id(), true)?;
    let polled = observing::nowhere();
    let scope = observing::scope(&polled, std::process::id());
    let sock_diag = Box::new(SockDiagObserver::start(scope, SockDiagSettings::default())?);
    let ports = PORTS.to_string();
    let mut connecting = Worker::spawn(&["poll", "connect", &ports, "10000"])?;
    let mut reading = Worker::spawn(&["poll", "proc", &ports, "10000"])?;
    let truth: Vec<Edge> = Worker::spawn(&["edges", &rounds.to_string(), &ports])?.go()?;
    ebpf.stop()?;
    sock_diag.stop()?;
    let (by_connect, by_proc): (Vec<Seen>, Vec<Seen>) = (connecting.go()?, reading.go()?);
    section.value("edges", truth.len() as f64, Unit::Count);
    section.value("processes that compute", load.processes() as f64, Unit::Count);

    let all = [
        ("ebpf", edges_of(&recorder, Source::Ebpf)),
        ("sock_diag every 1 ms", edges_of(&polled, Source::SockDiag)),
        ("connect() every 10 ms", by_connect),
        ("/proc/net/tcp every 10 ms", by_proc),
    ];
    for (who, seen) in all {
        let compared = compare(&truth, &seen);
        let found = compared.errors_ms.len();
        let missed = section.value(format!("{who}: edges missed"), (truth.len() - found) as f64, Unit::Count);
        if who == "ebpf" {
            missed.at_most(0.0);
        }
        for (q, label) in [(0.5, "p50"), (0.99, "p99")] {
            let Some(error) = quantile(&compared.errors_ms, q) else { continue };
            let figure = section.value(format!("{who}: error, {label}"), error, Unit::Ms);
            if who == "ebpf" && q > 0.9 {
                figure.at_most(0.15);
            }
        }
        if who == "ebpf" {
            section
                .value("ebpf: edges stamped outside of their call", compared.outside as f64, Unit::Count)
                .at_most(0.0);
        }
    }
    Ok(section)
}

/// What an observer of portwitness says of the workers' ports.
pub(super) fn edges_of(recorder: &Recorder, source: Source) -> Vec<Seen> {
    recorder.records(|records| {
        let edge = |record: &portwitness::history::Record| match &record.event {
            Event::SocketState(change) if record.source == source => {
                let open = match (change.from, change.to) {
                    (TcpState::Close, TcpState::Listen) => true,
                    (TcpState::Listen, TcpState::Close) => false,
                    _ => return None,
                };
                let port = change.local.port().checked_sub(FIRST_PORT)?;
                Some(Seen { port, open, at: record.at })
            }
            _ => None,
        };
        records.iter().filter_map(edge).collect()
    })
}

#[derive(Debug, Default, PartialEq)]
struct Compared {
    /// From the moment before the call, of each edge that was seen.
    errors_ms: Vec<f64>,
    /// Edges that were stamped before their call began or after it returned.
    outside: usize,
}

/// Finds for each true edge what was seen of it: the first of its kind between its call and that of the port's next edge.
fn compare(truth: &[Edge], seen: &[Seen]) -> Compared {
    let mut compared = Compared::default();
    for (index, edge) in truth.iter().enumerate() {
        let next = truth[index + 1..].iter().find(|next| next.port == edge.port);
        let end = next.map_or(Timestamp(u64::MAX), |next| next.before);
        // One that was stamped somewhat too early is to be found, too.
        let begin = Timestamp(edge.before.0.saturating_sub(10_000_000));
        let of_it =
            |seen: &&Seen| seen.port == edge.port && seen.open == edge.opened && seen.at >= begin && seen.at < end;
        let Some(found) = seen.iter().find(of_it) else { continue };
        compared.errors_ms.push(found.at.ms_after(edge.before).abs());
        compared.outside += usize::from(found.at < edge.before || found.at > edge.after);
    }
    compared
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(opened: bool, before: u64, after: u64) -> Edge {
        let ms = |ms: u64| Timestamp(1_000_000_000 + ms * 1_000_000);
        Edge { port: 0, opened, before: ms(before), after: ms(after) }
    }

    fn seen(port: u16, open: bool, at: u64) -> Seen {
        Seen { port, open, at: Timestamp(1_000_000_000 + at * 1_000_000) }
    }

    #[test]
    fn an_edge_is_compared_with_what_was_seen_of_it() {
        let truth = [edge(true, 100, 101), edge(false, 200, 203), edge(true, 300, 301)];
        let sharp = compare(&truth, &[seen(0, true, 101), seen(0, false, 202), seen(0, true, 300)]);
        assert_eq!(sharp, Compared { errors_ms: vec![1.0, 2.0, 0.0], outside: 0 });
        // The second is late, the third came too early, and another port is another port.
        let blurred = compare(&truth, &[seen(1, true, 100), seen(0, false, 250), seen(0, true, 295)]);
        assert_eq!(blurred, Compared { errors_ms: vec![50.0, 5.0], outside: 2 });
        assert_eq!(compare(&truth, &[]), Compared::default());
    }
}

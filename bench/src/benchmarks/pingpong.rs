//! How much longer a round trip takes while it is observed.

use crate::figure::{Section, Unit};
use crate::pairs::{Of, field, interleave};
use crate::size::Size;
use crate::stats::ratios;
use crate::watcher::Watcher;
use crate::work::pingpong::Rounds;

const GOALS: [(Watcher, f64); 2] = [(Watcher::Windows, 1.01), (Watcher::Causes, 1.05)];

pub(crate) fn run(size: Size) -> anyhow::Result<Section> {
    let mut section = Section::new(
        "Ping-pong while observed",
        "500 bytes to an echo and back on one connection, client and echo on one thread. The median of the round trips \
         of a batch, against that without a watcher in the same round.",
    );
    let rounds = size.rounds(9);
    let watchers = Watcher::at_hand(size, &mut section.notes);
    let iterations = size.of(10_000, 50).to_string();
    // Each watches a worker for five batches, a peer for one: what an attachment costs is not what a round trip costs.
    let samples = interleave(
        |watcher| watcher.rounds(rounds),
        &watchers,
        |watcher| {
            let (_watching, mut worker) = watcher.on(&["pingpong", &iterations])?;
            worker.go::<Rounds>()?;
            let mut batches = (0..if watcher.is_peer() { 1 } else { 5 })
                .map(|_| worker.go::<Rounds>())
                .collect::<anyhow::Result<Vec<_>>>()?;
            batches.sort_by_key(|rounds| rounds.p50_ns);
            Ok(batches[batches.len() / 2])
        },
    )?;
    let of: [(&str, Of<Rounds>); 2] =
        [("p50", |rounds| rounds.p50_ns as f64), ("CPU, both ends", |rounds| rounds.cpu_ns as f64)];
    for (label, of) in of {
        let nothing = field(&samples[0], of);
        let us: Vec<_> = nothing.iter().map(|ns| ns / 1e3).collect();
        section.samples(format!("{label}: nobody watches"), &us, Unit::Us);
        for (watcher, own) in watchers.iter().zip(&samples).skip(1) {
            let what = format!("{label}: {}", watcher.name());
            let figure = section.samples(what, &ratios(&field(own, of), &nothing), Unit::Times);
            if let (Some(figure), Some((_, goal)), "p50") =
                (figure, GOALS.iter().find(|(who, _)| who == watcher), label)
            {
                figure.at_most(*goal);
            }
        }
    }
    Ok(section)
}

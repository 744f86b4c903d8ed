//! What observation costs a process that nobody follows.

use crate::figure::{Section, Unit};
use crate::pairs::{Of, field, interleave};
use crate::size::Size;
use crate::stats::ratios;
use crate::watcher::Watcher;
use crate::work::calls::Calls;

/// The goals for windows only and with causes, against nothing.
const GOALS: [(Watcher, f64); 2] = [(Watcher::Windows, 1.02), (Watcher::Causes, 1.4)];

pub(crate) fn run(size: Size) -> anyhow::Result<Section> {
    let mut section = Section::new(
        "System calls of a process that is not observed",
        "A process in another network namespace, followed by nobody, makes system calls while the watcher watches an \
         idle process. CPU time of the caller, against the same calls with no watcher in the same round.",
    );
    let rounds = size.rounds(7);
    let watchers = Watcher::at_hand(size, &mut section.notes);
    let count = size.of(400_000, 200).to_string();
    let samples = interleave(
        |watcher| watcher.rounds(rounds),
        &watchers,
        |watcher| {
            let (_watching, mut worker) = watcher.beside(&["calls", &count])?;
            // The first batch warms up.
            worker.go::<Calls>()?;
            worker.go::<Calls>()
        },
    )?;
    let kinds: [(&str, Of<Calls>); 4] = [
        ("getppid, the cheapest call", |calls| calls.getppid),
        ("close of no descriptor", |calls| calls.close),
        ("read of a byte", |calls| calls.read),
        ("connection: socket, connect, accept, 2 x close", |calls| calls.connection),
    ];
    for (kind, of) in kinds {
        let nothing = field(&samples[0], of);
        section.samples(format!("{kind}: nobody watches"), &nothing, Unit::Ns);
        for (watcher, samples) in watchers.iter().zip(&samples).skip(1) {
            let what = format!("{kind}: {}", watcher.name());
            let figure = section.samples(what, &ratios(&field(samples, of), &nothing), Unit::Times);
            if let (Some(figure), Some((_, goal))) = (figure, GOALS.iter().find(|(whose, _)| whose == watcher)) {
                figure.at_most(*goal);
            }
        }
    }
    Ok(section)
}

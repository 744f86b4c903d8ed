//! Timeouts: all at once, for each of them takes its time.

use portwitness::handlers::Dialogue;
use portwitness::suite::Effort;

use crate::minipot::dialogues;
use crate::minipot::system::{Draft, KINDS, Minipot};

/// In a full run; in a quick one too where the profile sets the timeouts of the system.
pub(super) fn drafts(minipot: &Minipot, effort: Effort) -> Vec<Draft> {
    if effort == Effort::Quick && minipot.timeouts.is_none() {
        return Vec::new();
    }
    let of = |kind| dialogues::of(kind).filter(|dialogue| dialogue.full);
    let mut all: Vec<Dialogue> = KINDS.into_iter().flat_map(of).collect();
    // Those that take longest are last in their folders, and begin first.
    all.reverse();
    let scenarios = all.iter().map(|dialogue| minipot.scenario(dialogue)).collect();
    let closes = all.iter().map(Dialogue::closes).sum();
    let title = "with no byte, after the last byte, and in all: time runs out on each minipot, in every state";
    vec![Draft { closes, ..Draft::new("7.1", title, "Rules: timeouts", scenarios) }]
}

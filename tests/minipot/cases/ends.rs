//! The end of the system: a stop with reports under way, and the death of a minipot. The system is started anew after each.

use portwitness::checks::{Check, SystemEnds};
use portwitness::sut::ending::{Signal, Whom};

use crate::minipot::dialogues;
use crate::minipot::system::{Act, Draft, KINDS, Minipot};

/// The whole system has ended this long after a signal, in ms. The specification names no time; a proxy that reads is given
/// the rest of the reports in a moment.
const WITHIN_MS: u64 = 3000;

/// The cases.
pub(super) fn drafts(minipot: &Minipot) -> Vec<Draft> {
    let draft = |number: u32, title: &str, whom, signal| Draft {
        act: Act::End { whom, signal, within_ms: WITHIN_MS },
        checks: vec![Check::SystemEnds(SystemEnds::in_order(WITHIN_MS))],
        ..Draft::new(&format!("8.{number}"), title, "Processes and report path", dialogues::logins(minipot))
    };
    let stopped = |signal| format!("SIG{signal} right after the last reply: every report is delivered");
    let mut drafts = vec![
        draft(1, &stopped("TERM"), Whom::First, Signal::TERM),
        draft(2, &stopped("INT"), Whom::First, Signal::INT),
    ];
    for (kind, number) in KINDS.into_iter().zip(3..) {
        let title = format!("the {kind} minipot is killed: the master ends with code 0 and takes the others down");
        drafts.push(draft(number, &title, Whom::Listener(minipot.endpoint(kind)), Signal::KILL));
    }
    drafts
}

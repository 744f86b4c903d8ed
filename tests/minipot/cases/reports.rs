//! The way of the reports to a proxy that goes away and comes back.

use std::time::Duration;

use crate::minipot::dialogues;
use crate::minipot::system::{Act, Draft, Minipot};

/// A proxy that was away comes back after this long. Minipots reconnect within 0.2 s.
const AWAY: Duration = Duration::from_secs(1);
/// From the last reply until all reports have come, with a proxy that was away.
const LATE_MS: u64 = AWAY.as_millis() as u64 + 4000;
const WELCOME: &str = "ZMQ wire format: welcome, once";
const NO_PEER: &str = "ZMQ wire format: no peer";

/// The cases.
pub(super) fn drafts(minipot: &Minipot) -> Vec<Draft> {
    let draft = |number, title, spec| Draft::new(number, title, spec, dialogues::logins(minipot));
    let rebind = |away, draft| Draft { act: Act::Rebind { away }, late_ms: Some(LATE_MS), ..draft };
    vec![
        draft("6.1", "one welcome, and reports of all four", WELCOME),
        rebind(
            Duration::ZERO,
            draft("6.2", "the proxy closes and binds again: reports go on, without a welcome", WELCOME),
        ),
        rebind(AWAY, draft("6.3", "what is reported while no proxy is there comes when it is back", NO_PEER)),
        draft("6.4", "after that everything is as before", WELCOME),
    ]
}

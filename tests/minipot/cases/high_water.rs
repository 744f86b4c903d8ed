//! As many reports as are kept for a proxy that takes none, and one more. Each case has a system of its own, which was started
//! while no proxy was there.

use std::time::Duration;

use portwitness::checks::{Check, SystemEnds};
use portwitness::handlers::Scenario;

use crate::minipot::dialogues;
use crate::minipot::system::{Act, Draft, Minipot};

/// Messages that the master keeps, the welcome among them (facts, ZMQ wire format).
const KEPT: usize = 1000;
/// One more holds it up for so long, in ms, and it exits with this code (facts, ZMQ wire format).
const HELD_UP_MS: u64 = 5000;
const EXIT_CODE: u8 = 6;
/// A master that was held up too early has ended this long after.
const AWAY: Duration = Duration::from_millis(HELD_UP_MS + 1000);
/// From the beginning of what is too much to the end of all processes, in ms: it is reported, the master is held up, and ends.
/// The specification names no time for the first and the last.
const WITHIN_MS: u64 = HELD_UP_MS + 5000;
/// The same where it begins with a thousand reports of 4 KB.
const FLOOD_WITHIN_MS: u64 = WITHIN_MS + 15_000;
const SPEC: &str = "ZMQ wire format: no peer";

/// The cases.
pub(super) fn drafts(minipot: &Minipot) -> Vec<Draft> {
    let ends = |within_ms| {
        let check = SystemEnds { within_ms, not_before_ms: HELD_UP_MS, exit_code: EXIT_CODE };
        vec![Check::SystemEnds(check)]
    };
    let one_more = minipot.scenario(&dialogues::one("high-water/one-more.toml"));
    let too_many = [kept(minipot), vec![one_more]].concat();
    let floods =
        (0..5).map(|_| Scenario { wait: HELD_UP, ..Scenario::coded("ftp-flood", "ftp", minipot.ftp) }).collect();
    vec![
        Draft {
            act: Act::Come { kept: KEPT, after: AWAY },
            ..Draft::new("9.1", "no proxy: 1000 messages are kept until it comes", SPEC, kept(minipot))
        },
        Draft {
            act: Act::Overflow { kept: KEPT, after: AWAY, within_ms: WITHIN_MS },
            checks: ends(WITHIN_MS),
            ..Draft::new("9.2", "no proxy: one message more, and the master exits with 6 after 5 s", SPEC, too_many)
        },
        Draft {
            act: Act::Unread { within_ms: FLOOD_WITHIN_MS },
            checks: ends(FLOOD_WITHIN_MS),
            ..Draft::new("9.3", "a proxy that never reads: the master exits with 6 after 5 s", SPEC, floods)
        },
    ]
}

/// A reply may be held up as long as the master, and a little.
const HELD_UP: Duration = Duration::from_millis(HELD_UP_MS + 7000);

/// Conversations with all four minipots that make as many reports as are kept beside the welcome.
fn kept(minipot: &Minipot) -> Vec<Scenario> {
    // Times, dialogue; the reports of each: 101, 101, 21, 21, 6.
    const PARTS: [(usize, &str); 5] = [
        (7, "ftp/072-limit.toml"),
        (2, "http/069-requests-100.toml"),
        (2, "telnet/047-limit.toml"),
        (2, "smtp/169-brute-force-plain.toml"),
        (1, "high-water/five-logins.toml"),
    ];
    let part = |(times, path): (usize, &str)| vec![minipot.scenario(&dialogues::one(path)); times];
    PARTS.into_iter().flat_map(part).collect()
}

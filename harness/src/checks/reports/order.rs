//! The order of reports within one minipot: as their connections brought them about.

use super::exchange::Exchange;
use super::matching::Matching;
use crate::checks::verdict::Finding;

/// Reports that came before another which the system must have written to its pipe earlier.
pub(super) fn findings(exchange: &Exchange<'_>, matching: &Matching) -> Vec<Finding> {
    let mut arrived: Vec<(usize, usize)> = matching.pairs.iter().chain(&matching.near).copied().collect();
    arrived.sort_unstable_by_key(|(_, at)| *at);
    let expected = |index: usize| &exchange.expected[index];
    let mut found = Vec::new();
    for (place, (index, at)) in arrived.iter().enumerate() {
        let this = expected(*index);
        // Which of those that came before it should have come after it?
        let overtaken = arrived[..place].iter().rev().take(WINDOW).find(|(later, _)| {
            let other = expected(*later);
            let must_precede = match (other.handler, other.connection) == (this.handler, this.connection) {
                true => index < later && other.report != this.report,
                false => this.certain.is_some_and(|certain| certain < other.began),
            };
            other.report.kind == this.report.kind && must_precede
        });
        let Some((earlier, earlier_at)) = overtaken else { continue };
        let (other, moment) = (expected(*earlier), &exchange.received[*earlier_at]);
        let late = exchange.received[*at].at.ms_after(moment.at);
        found.push(Finding {
            expected: format!("{} (of `{}`) before {}", this.report, exchange.talker(this), other.report),
            seen: format!("it came {late:.3} ms after it"),
            around: Vec::new(),
        });
    }
    found
}

/// Reports that are further apart do not overtake each other.
const WINDOW: usize = 1000;

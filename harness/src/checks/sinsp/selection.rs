//! A filter: what it selects, and nothing else.

use serde::{Deserialize, Serialize};

use super::event::{Seen, title};
use super::story::{capture, statements, stream};
use super::watched::{losses, watched};
use crate::checks::slice::Slice;
use crate::checks::verdict::Verdict;

/// A filter selects just these events of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// By drivers that tell of enters and exits, in their order: `> connect`.
    pub both: Vec<String>,
    /// By drivers that tell of exits alone.
    pub exits: Vec<String>,
}

impl Selection {
    pub(super) fn judge(&self, slice: &Slice<'_>) -> Verdict {
        if let Err(reason) = watched(slice) {
            return Verdict::unknown(reason);
        }
        let Some(capture) = capture(slice) else { return Verdict::unknown("no events were being captured") };
        let wanted = match super::calls::Generation::of(capture.api.as_deref().unwrap_or_default()) {
            Some(super::calls::Generation::EnterAndExit) => &self.both,
            Some(super::calls::Generation::ExitOnly) => &self.exits,
            None => return Verdict::unknown("which events the driver gives is not known"),
        };
        if statements(slice).is_empty() {
            return Verdict::unknown("the traffic program stated nothing");
        }
        let stream = stream(slice, capture);
        let seen: Vec<String> = stream.iter().map(|seen| title(seen.enters, seen.name)).collect();
        // sinsp-example does not tell the direction of every event.
        let same = |seen: &String, wanted: &String| {
            seen == wanted || wanted.split_once(' ').is_some_and(|(_, name)| seen == name)
        };
        let untold = losses(slice).is_none();
        if seen.len() == wanted.len() && seen.iter().zip(wanted).all(|(seen, wanted)| same(seen, wanted)) {
            return match wanted.is_empty() && untold {
                true => Verdict::unknown("nothing came, and the program does not tell what the driver lost"),
                false => Verdict::Pass,
            };
        }
        let mut left = wanted.iter();
        if untold && seen.iter().all(|seen| left.any(|wanted| same(seen, wanted))) {
            let missing = wanted.len() - seen.len();
            return Verdict::unknown(format!(
                "{missing} of {} events have not come, and the program does not tell what the driver lost",
                wanted.len()
            ));
        }
        let at = seen.iter().zip(wanted).take_while(|(seen, wanted)| same(seen, wanted)).count();
        let first = |list: &[String]| list.get(at).map_or("nothing more".to_owned(), |event| format!("`{event}`"));
        let expected = format!(
            "the filter `{}` to select {} events ({}), {} as number {}",
            capture.filter,
            wanted.len(),
            wanted.join(", "),
            first(wanted),
            at + 1
        );
        let found = format!("{} events ({}), {} there", seen.len(), seen.join(", "), first(&seen));
        Verdict::fail(expected, found).with_records(stream.get(at).map(Seen::told).into_iter().collect())
    }
}

//! A filter: what it selects, and nothing else.

use serde::{Deserialize, Serialize};

use super::event::{Seen, title};
use super::story::{capture, statements, stream};
use super::watched::watched;
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
        if seen == *wanted {
            return Verdict::Pass;
        }
        let at = seen.iter().zip(wanted).take_while(|(seen, wanted)| seen == wanted).count();
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

//! A filter: what it selects, and nothing else.

use serde::{Deserialize, Serialize};

use super::calls::Generation;
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
        let wanted = match Generation::of(capture) {
            Some(Generation::EnterAndExit | Generation::Overlapping) => &self.both,
            Some(Generation::ExitOnly) => &self.exits,
            None => return Verdict::unknown("which events the driver gives is not known"),
        };
        if statements(slice).is_empty() {
            return Verdict::unknown("the traffic program stated nothing");
        }
        let stream = stream(slice, capture);
        let seen: Vec<String> = stream.iter().map(|seen| title(seen.enters, seen.name)).collect();
        match (came(&seen, wanted), losses(slice)) {
            (Came::All, None) if wanted.is_empty() => {
                return Verdict::unknown("nothing came, and the program does not tell what the driver lost");
            }
            (Came::All, _) => return Verdict::Pass,
            (Came::Less, None) => {
                return Verdict::unknown(format!(
                    "{} of {} events have not come, and the program does not tell what the driver lost",
                    wanted.len() - seen.len(),
                    wanted.len()
                ));
            }
            (Came::Less | Came::Other, _) => {}
        }
        let at = seen.iter().zip(wanted).take_while(|(seen, wanted)| is(seen, wanted)).count();
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

/// What came, beside what should.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    /// Just that.
    All,
    /// Some of it is missing, and there is nothing else.
    Less,
    /// Something else, or in another order.
    Other,
}

fn came(seen: &[String], wanted: &[String]) -> Came {
    let mut left = wanted.iter();
    match seen.iter().all(|seen| left.any(|wanted| is(seen, wanted))) {
        true if seen.len() == wanted.len() => Came::All,
        true => Came::Less,
        false => Came::Other,
    }
}

/// Whether it is that event; sinsp-example does not tell the direction of each.
fn is(seen: &str, wanted: &str) -> bool {
    seen == wanted || wanted.split_once(' ').is_some_and(|(_, name)| seen == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_is_all_less_or_something_else() {
        let list = |text: &str| text.split(", ").filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        let wanted = list("> accept, < accept, > listen, < listen");
        for (seen, expected) in [
            ("> accept, < accept, > listen, < listen", Came::All),
            ("accept, accept, listen, listen", Came::All),
            ("> accept, < accept, < listen", Came::Less),
            ("accept, listen", Came::Less),
            ("", Came::Less),
            ("> accept, < accept, > listen, < listen, < listen", Came::Other),
            ("> accept, < accept, > listen, > listen", Came::Other),
            ("> listen, < listen, > accept, < accept", Came::Other),
            ("connect", Came::Other),
        ] {
            assert_eq!(came(&list(seen), &wanted), expected, "{seen}");
        }
        assert_eq!(came(&[], &[]), Came::All);
    }
}

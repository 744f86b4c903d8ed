//! Where in a profile's text something stands, so that a message can name the line.

use toml::de::{DeTable, DeValue};

/// The way to a value: the keys of tables and the positions in arrays, from the outside.
pub(super) type Place = Vec<Step>;

/// One step of the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The key of a table.
    Key(String),
    /// A position in an array, from 0.
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.into())
    }
}

impl From<&String> for Step {
    fn from(key: &String) -> Self {
        Self::Key(key.clone())
    }
}

/// The line, from 1, on which the value at a place begins, or as much of the way to it as there is.
pub(super) fn line(text: &str, place: &[Step]) -> usize {
    let at = DeTable::parse(text).map_or(0, |root| offset(root.get_ref(), place));
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

fn offset(root: &DeTable<'_>, place: &[Step]) -> usize {
    let Some((Step::Key(first), rest)) = place.split_first() else { return 0 };
    let Some(mut value) = root.get(first.as_str()) else { return 0 };
    for step in rest {
        let next = match (value.get_ref(), step) {
            (DeValue::Table(table), Step::Key(key)) => table.get(key.as_str()),
            (DeValue::Array(array), Step::Index(index)) => array.get(*index),
            _ => None,
        };
        let Some(next) = next else { break };
        value = next;
    }
    value.span().start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_a_line() {
        let text = "a = 1\n[b]\nc = 2\n[[d]]\nx = 1\n[[d]]\ny = [1,\n 2]\n";
        let at = |place: &[Step]| line(text, place);
        assert_eq!((at(&["a".into()]), at(&["b".into(), "c".into()])), (1, 3));
        assert_eq!(at(&["d".into(), Step::Index(1), "y".into(), Step::Index(1)]), 8);
        assert_eq!(at(&["d".into(), Step::Index(1), "absent".into()]), 6);
        assert_eq!(line("not [ toml", &["a".into()]), 1);
    }
}

//! Reading a TOML table key by key, so that what is left over, or has a wrong type, is named with its place.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::error::{Fault, Flaw};
use super::text::{Millis, Text};

/// A value with its place.
pub(super) type Value<'a> = Spanned<DeValue<'a>>;

/// A table whose keys are asked for one by one.
pub(super) struct Keys<'a, 'i> {
    table: &'a DeTable<'i>,
    span: Range<usize>,
    known: Vec<&'static str>,
    place: String,
}

impl<'a, 'i> Keys<'a, 'i> {
    /// `place` says what it is the table of: `in this step`.
    pub(super) fn new(table: &'a DeTable<'i>, span: Range<usize>, place: impl Into<String>) -> Self {
        Self { table, span, known: Vec::new(), place: place.into() }
    }

    pub(super) fn get(&mut self, key: &'static str) -> Option<&'a Value<'i>> {
        self.known.push(key);
        self.table.get(key)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    pub(super) fn need(&mut self, key: &'static str) -> Result<&'a Value<'i>, Fault> {
        let missing = Flaw::Missing { key: key.into(), place: self.place.clone() };
        self.get(key).ok_or_else(|| Fault::new(self.span.clone(), missing))
    }

    pub(super) fn text(&mut self, key: &'static str) -> Result<Option<(&'a str, Range<usize>)>, Fault> {
        self.get(key).map(|value| text(key, value)).transpose()
    }

    pub(super) fn flag(&mut self, key: &'static str, otherwise: bool) -> Result<bool, Fault> {
        let Some(value) = self.get(key) else { return Ok(otherwise) };
        match value.get_ref() {
            DeValue::Boolean(flag) => Ok(*flag),
            _ => Err(wrong(key, "true or false", value)),
        }
    }

    pub(super) fn number(&mut self, key: &'static str) -> Result<Option<u64>, Fault> {
        self.get(key).map(|value| number(key, value)).transpose()
    }

    pub(super) fn millis(&mut self, key: &'static str) -> Result<Option<Duration>, Fault> {
        Ok(self.number(key)?.map(Duration::from_millis))
    }

    /// A time of a step, which may be text with variables.
    pub(super) fn time(&mut self, key: &'static str) -> Result<Option<Millis>, Fault> {
        self.get(key).map(|value| time(key, value)).transpose()
    }

    /// Nothing else may be in it.
    pub(super) fn end(self) -> Result<(), Fault> {
        let stranger = entries(self.table).into_iter().find(|(key, ..)| !self.known.contains(key));
        let Some((key, span, _)) = stranger else { return Ok(()) };
        let mut known = self.known;
        known.dedup();
        let flaw = Flaw::UnknownKey { found: key.into(), place: self.place, known: known.join(", ") };
        Err(Fault::new(span, flaw))
    }
}

/// The keys of a table in the order of the file, each with its place and value.
pub(super) fn entries<'a, 'i>(table: &'a DeTable<'i>) -> Vec<(&'a str, Range<usize>, &'a Value<'i>)> {
    let mut entries: Vec<_> = table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value)).collect();
    entries.sort_by_key(|(_, span, _)| span.start);
    entries
}

pub(super) fn text<'a>(key: &str, value: &'a Value<'_>) -> Result<(&'a str, Range<usize>), Fault> {
    match value.get_ref() {
        DeValue::String(text) => Ok((text.as_ref(), value.span())),
        _ => Err(wrong(key, "text", value)),
    }
}

pub(super) fn number(key: &str, value: &Value<'_>) -> Result<u64, Fault> {
    match value.get_ref() {
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    }
    .ok_or_else(|| wrong(key, "a whole number, not negative", value))
}

pub(super) fn time(key: &str, value: &Value<'_>) -> Result<Millis, Fault> {
    if let DeValue::String(source) = value.get_ref() {
        let text = Text::parse(source, value.span(), true);
        if text.variables().next().is_some() {
            return Ok(Millis::Filled(text));
        }
    }
    number(key, value).map(|number| Millis::Fixed(Duration::from_millis(number)))
}

pub(super) fn array<'a, 'i>(key: &str, value: &'a Value<'i>) -> Result<&'a DeArray<'i>, Fault> {
    match value.get_ref() {
        DeValue::Array(array) => Ok(array),
        _ => Err(wrong(key, "an array", value)),
    }
}

pub(super) fn table<'a, 'i>(key: &str, value: &'a Value<'i>) -> Result<&'a DeTable<'i>, Fault> {
    match value.get_ref() {
        DeValue::Table(table) => Ok(table),
        _ => Err(wrong(key, "a table", value)),
    }
}

pub(super) fn wrong(key: &str, wanted: &str, value: &Value<'_>) -> Fault {
    let found = match value.get_ref() {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    let found = match value.get_ref() {
        DeValue::Integer(number) => format!("{found} ({})", number.as_str()),
        _ => found.into(),
    };
    Fault::new(value.span(), Flaw::WrongType { key: key.into(), wanted: wanted.into(), found })
}

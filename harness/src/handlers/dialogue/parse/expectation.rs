//! What a step expects.

use toml::de::DeValue;

use super::super::error::{Fault, Flaw};
use super::super::steps::{Expectation, Http, Matcher};
use super::super::table::{Keys, Value, array, entries, table, wrong};
use super::super::text::Text;
use super::pieces::bytes;

/// Of a verb that begins with `expect`, but for `expect_close`.
pub(super) fn expectation(verb: &str, value: &Value<'_>) -> Result<Expectation, Fault> {
    Ok(match verb {
        "expect_line" => Expectation::Lines(vec![matcher(verb, value)?]),
        "expect_lines" => {
            Expectation::Lines(array(verb, value)?.iter().map(|line| matcher(verb, line)).collect::<Result<_, _>>()?)
        }
        "expect_until" => {
            let mut keys = Keys::new(table(verb, value)?, value.span(), format!("in `{verb}`"));
            let end = keys.need("end")?;
            let end_bytes = bytes("end", end)?;
            if end_bytes.0.is_empty() {
                return Err(wrong("end", "not empty", end));
            }
            let what = fields(&mut keys, Matcher::Anything)?;
            keys.end()?;
            Expectation::Until { end: end_bytes, what }
        }
        "expect_bytes" => {
            let mut keys = Keys::new(table(verb, value)?, value.span(), format!("in `{verb}`"));
            keys.need("length")?;
            let length = keys.number("length")?.unwrap_or_default() as usize;
            let what = fields(&mut keys, Matcher::Anything)?;
            keys.end()?;
            Expectation::Length { length, what }
        }
        "expect_http" => Expectation::Http(Box::new(http(value)?)),
        _ => Expectation::Literal(bytes(verb, value)?),
    })
}

/// Bytes that are meant as they stand, or a table with `is` or `matches`.
fn matcher(key: &str, value: &Value<'_>) -> Result<Matcher, Fault> {
    if let DeValue::Table(table) = value.get_ref() {
        let mut keys = Keys::new(table, value.span(), format!("in `{key}`"));
        if keys.has("is") || keys.has("matches") {
            let what = fields(&mut keys, Matcher::Anything)?;
            keys.end()?;
            return Ok(what);
        }
    }
    Ok(Matcher::Is(bytes(key, value)?))
}

/// `is` or `matches`, where one of them is there.
fn fields(keys: &mut Keys<'_, '_>, otherwise: Matcher) -> Result<Matcher, Fault> {
    let is = keys.get("is").map(|value| bytes("is", value).map(Matcher::Is)).transpose()?;
    let Some((pattern, span)) = keys.text("matches")? else { return Ok(is.unwrap_or(otherwise)) };
    if is.is_some() {
        return Err(Fault::new(span, Flaw::Other("`is` and `matches` exclude each other".into())));
    }
    let pattern = Text::parse(pattern, span.clone(), false);
    regex::bytes::Regex::new(&pattern.sample()).map_err(|error| {
        // The crate draws the place over several lines; the last one says what is wrong.
        let text = error.to_string();
        let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        Fault::new(span, Flaw::BadRegex(why.into()))
    })?;
    Ok(Matcher::Matches(pattern))
}

fn http(value: &Value<'_>) -> Result<Http, Fault> {
    let mut keys = Keys::new(table("expect_http", value)?, value.span(), "in `expect_http`");
    keys.need("status")?;
    let status = keys.number("status")?.unwrap_or_default() as u16;
    let reason = keys.text("reason")?.map(|(reason, span)| Text::parse(reason, span, true));
    let mut headers = Vec::new();
    if let Some(value) = keys.get("headers") {
        for (name, _, value) in entries(table("headers", value)?) {
            headers.push((name.to_owned(), matcher(name, value)?));
        }
    }
    let content_length = keys.number("content_length")?.map(|length| length as usize);
    let body_length = keys.number("body_length")?.map(|length| length as usize);
    let body = keys.get("body").map(|value| matcher("body", value)).transpose()?.unwrap_or(Matcher::Anything);
    keys.end()?;
    Ok(Http { status, reason, headers, content_length, body_length, body })
}

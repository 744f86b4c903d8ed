//! Bytes as a dialogue writes them: text, or tables of `text`, `escaped`, `hex`, `base64`, `base64_of`, or an array of these.

use toml::de::DeValue;

use super::super::error::{Fault, Flaw};
use super::super::table::{Keys, Value, text, wrong};
use super::super::text::{Bytes, Part, Text, What, unescape};

const FORMS: &str = "text, a table with one of text, escaped, hex, base64, base64_of (and times), or an array of these";

/// What is longer is a mistake.
const LONGEST: usize = 64 << 20;

pub(super) fn bytes(key: &str, value: &Value<'_>) -> Result<Bytes, Fault> {
    match value.get_ref() {
        DeValue::String(_) => {
            let (text, span) = text(key, value)?;
            Ok(Bytes(vec![Part { what: What::Text(Text::parse(text, span, true)), times: 1 }]))
        }
        DeValue::Array(array) => {
            let parts = array.iter().map(|value| bytes(key, value).map(|bytes| bytes.0));
            Ok(Bytes(parts.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect()))
        }
        DeValue::Table(table) => {
            let mut keys = Keys::new(table, value.span(), format!("in `{key}`"));
            let mut parts = Vec::new();
            if let Some((text, span)) = keys.text("text")? {
                parts.push(What::Text(Text::parse(text, span, true)));
            }
            if let Some((text, span)) = keys.text("escaped")? {
                parts.push(What::Raw(unescape(text, span)?));
            }
            if let Some((digits, span)) = keys.text("hex")? {
                let digits: String = digits.split_whitespace().collect();
                parts.push(What::Raw(hex::decode(&digits).map_err(|error| other(span, "hexadecimal", &error))?));
            }
            if let Some((text, span)) = keys.text("base64")? {
                let decoded = data_encoding::BASE64.decode(text.as_bytes());
                parts.push(What::Raw(decoded.map_err(|error| other(span, "base64", &error))?));
            }
            if let Some(value) = keys.get("base64_of") {
                parts.push(What::Base64Of(bytes("base64_of", value)?));
            }
            let times = keys.number("times")?.unwrap_or(1) as usize;
            if times > LONGEST {
                return Err(wrong("times", "smaller", value));
            }
            keys.end()?;
            match parts.len() {
                1 => Ok(Bytes(parts.into_iter().map(|what| Part { what, times }).collect())),
                _ => Err(wrong(key, FORMS, value)),
            }
        }
        _ => Err(wrong(key, FORMS, value)),
    }
}

fn other(span: std::ops::Range<usize>, what: &str, error: &dyn std::fmt::Display) -> Fault {
    Fault::new(span, Flaw::Other(format!("not {what}: {error}")))
}

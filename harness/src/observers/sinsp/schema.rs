//! Whether an event is as its JSON schema says.

use jsonschema::Validator;
use serde_json::Value;

use crate::history::SchemaFlaw;

/// As many flaws of an event are told.
const TOLD: usize = 8;

/// A schema (JSON Schema, draft 2020-12), ready to be asked.
pub struct Schema {
    validator: Validator,
}

/// Text that is no schema.
#[derive(Debug, thiserror::Error)]
#[error("the JSON schema of the events is broken: {0}")]
pub struct SchemaError(String);

impl Schema {
    /// Reads a schema.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        let schema: Value = serde_json::from_str(text).map_err(|error| SchemaError(error.to_string()))?;
        let validator = jsonschema::draft202012::new(&schema).map_err(|error| SchemaError(error.to_string()))?;
        Ok(Self { validator })
    }

    /// What is wrong with an event, the first flaws of it.
    pub fn flaws(&self, event: &Value) -> Vec<SchemaFlaw> {
        let errors = self.validator.iter_errors(event).take(TOLD);
        errors
            .map(|error| SchemaFlaw {
                pointer: error.instance_path().to_string(),
                why: shortened(&error.masked_with("it").to_string()),
            })
            .collect()
    }
}

fn shortened(text: &str) -> String {
    const LONGEST: usize = 300;
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    let end = (0..=LONGEST).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}...", &text[..end])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    const SCHEMA: &str = r#"{
        "type": "object",
        "required": ["num"],
        "unevaluatedProperties": false,
        "properties": {"num": {"type": "integer"}, "of": {"type": "array", "items": {"type": "string"}}}
    }"#;

    #[test]
    fn a_missing_field_an_unknown_one_and_a_wrong_type_are_told_with_their_place() {
        let schema = Schema::parse(SCHEMA).unwrap();
        assert_eq!(schema.flaws(&json!({"num": 1, "of": ["a"]})), []);
        let flaws = schema.flaws(&json!({"of": ["a", 5], "more": null}));
        let told: Vec<String> = flaws.iter().map(|flaw| format!("{}: {}", flaw.pointer, flaw.why)).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(
            told.iter().any(|flaw| flaw.starts_with(": ") && flaw.contains("\"num\" is a required property")),
            "{told:?}"
        );
        assert!(told.iter().any(|flaw| flaw.contains("'more' was unexpected")), "{told:?}");
        assert!(
            told.iter().any(|flaw| flaw.starts_with("/of/1: ") && flaw.contains("not of type \"string\"")),
            "{told:?}"
        );
    }

    #[test]
    fn a_broken_schema_is_told() {
        assert!(Schema::parse("{").is_err());
        assert!(Schema::parse(r#"{"type": "number of things"}"#).is_err());
    }
}

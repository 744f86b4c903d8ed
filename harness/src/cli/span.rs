//! Lengths of time as people write them: `500ms`, `1s`, `2m`, `1m30s`.

use std::time::Duration;

/// A length of time that is not negative; a bare 0 is one too.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
    parsed.ok_or_else(|| format!("`{text}` is no length of time: write 500ms, 1s, 2m or 1m30s"))
}

/// A length of time that is longer than nothing.
pub(super) fn some_span(text: &str) -> Result<Duration, String> {
    match span(text)? {
        Duration::ZERO => Err("it must be longer than nothing".into()),
        time => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_s_times_are_read() {
        for (text, ms) in [("500ms", 500), ("1s", 1000), ("2m", 120_000), ("1m30s", 90_000), ("1.5s", 1500), ("0", 0)] {
            assert_eq!(span(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "5", "soon", "-1s", "1 parsec"] {
            assert!(span(text).is_err(), "{text}");
        }
        assert!(some_span("0s").is_err());
    }
}

//! What a line of each program means.

use portwitness_kmod::Versions;
use serde_json::Value;

use crate::history::SinspFormat;

/// Closes of descriptors from this number on are sentinels: nobody has such a descriptor (`kmod/sinsp-events`).
pub(super) const SENTINELS: u64 = 0x5057_0000;
/// How many numbers there are; the last is the program's own.
pub(super) const NUMBERS: u64 = 0xffff;

/// The form that our own program prints.
const FORM: u64 = 2;

/// A line, understood.
#[derive(Debug, PartialEq)]
pub(super) enum Line {
    /// Of our own program: what it and the driver are.
    Start { driver: Option<Versions>, library: Option<String>, unknown: Option<String> },
    /// An event; when it happened, in ns of CLOCK_REALTIME.
    Event { value: Value, realtime: Option<u64> },
    /// A sentinel.
    Sentinel { number: u64, cpu: u32, drops: Option<u64>, read: Option<u64> },
    /// The last one.
    End { complete: Option<bool>, drops: Option<u64>, read: Option<u64> },
    /// For people.
    Remark(String),
    /// Nothing that the program should print, and why not.
    Garbage(String),
}

/// Understands a line of a format.
pub(super) fn parse(format: SinspFormat, text: &[u8]) -> Line {
    let Ok(text) = std::str::from_utf8(text) else { return Line::Garbage("it is not text (UTF-8)".into()) };
    if !text.starts_with('{') {
        // Statistics and notes stand between the events of sinsp-example; those of sysdig go to standard error.
        return match format {
            SinspFormat::SinspExample => Line::Remark(text.into()),
            SinspFormat::SinspEvents if text.starts_with("-- ") => Line::Remark(text.into()),
            SinspFormat::Sysdig | SinspFormat::SinspEvents => Line::Garbage("it is no JSON object".into()),
        };
    }
    match serde_json::from_str::<Value>(text) {
        Err(error) => Line::Garbage(format!("it is no JSON: {error}")),
        Ok(value) => match format {
            SinspFormat::SinspEvents => own(value),
            SinspFormat::Sysdig | SinspFormat::SinspExample => flat(value),
        },
    }
}

/// Whether a program tells what the driver lost only as it ends.
pub(super) fn tells_losses_at_its_end(format: SinspFormat) -> bool {
    format == SinspFormat::Sysdig
}

/// What sysdig tells people as it ends, with `-v`: `Driver Events:120` and then `Driver Drops:3`.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    events: Option<u64>,
}

impl Statistics {
    /// Takes a line; with the last of them returns what was lost, and what was read.
    pub(super) fn take(&mut self, text: &str) -> Option<Line> {
        let number = |name: &str| text.strip_prefix(name)?.trim().parse::<u64>().ok();
        self.events = number("Driver Events:").or(self.events);
        let drops = number("Driver Drops:")?;
        // The driver counts what it could not keep as well (`record_event_consumer` of driver/main.c).
        let read = self.events.map(|events| events.saturating_sub(drops));
        Some(Line::End { complete: None, drops: Some(drops), read })
    }
}

fn number(value: &Value, key: &str) -> Option<u64> {
    value.get(key)?.as_u64()
}

fn text(value: &Value, key: &str) -> Option<String> {
    Some(value.get(key)?.as_str()?.to_owned())
}

fn own(value: Value) -> Line {
    let drops = number(&value, "drops");
    match value.get("type").and_then(Value::as_str) {
        Some("event") => Line::Event { realtime: number(&value, "ts"), value },
        Some("start") => {
            let driver = versions(&value);
            let unknown = match (number(&value, "form"), driver) {
                (Some(FORM), Some(versions)) if versions.is_known() => None,
                (Some(FORM), None) => Some("the program does not tell the driver's interface".to_owned()),
                (Some(FORM), Some(versions)) => {
                    Some(format!("the driver's interface is {versions}; known are {}", Versions::known()))
                }
                (form, _) => {
                    let form = form.map_or("none".to_owned(), |form| form.to_string());
                    Some(format!(
                        "the program prints form {form}; known is {FORM}: `cargo xtask kmod events` builds it"
                    ))
                }
            };
            Line::Start { driver, library: text(&value, "library"), unknown }
        }
        Some("fence") => match (number(&value, "number"), number(&value, "cpu")) {
            (Some(number_of), Some(cpu)) => {
                Line::Sentinel { number: number_of, cpu: cpu as u32, drops, read: number(&value, "read") }
            }
            _ => Line::Garbage("it is a fence without a number or a CPU".into()),
        },
        Some("end") => {
            let complete = value.get("complete").and_then(Value::as_bool);
            Line::End { complete, drops, read: number(&value, "read") }
        }
        Some(other) => Line::Garbage(format!("there is no line of type `{other}`")),
        None => Line::Garbage("it has no type".into()),
    }
}

fn versions(value: &Value) -> Option<Versions> {
    let version = |key| text(value, key)?.parse().ok();
    Some(Versions { api: version("api")?, schema: version("schema")? })
}

/// Of programs whose lines are the library's fields, one beside the other.
fn flat(value: Value) -> Line {
    let realtime = ["evt.outputtime", "evt.time", "evt.rawtime"].iter().find_map(|key| number(&value, key));
    let info = ["evt.args", "evt.info"].iter().find_map(|key| value.get(key)?.as_str()).unwrap_or_default();
    let is_close = value.get("evt.type").and_then(Value::as_str) == Some("close");
    let fd = info.split_once("fd=").and_then(|(_, rest)| {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).map_or(rest, |end| &rest[..end]);
        digits.parse::<u64>().ok()
    });
    match (fd, number(&value, "evt.cpu")) {
        (Some(fd), Some(cpu)) if is_close && (SENTINELS..SENTINELS + NUMBERS).contains(&fd) => {
            Line::Sentinel { number: fd - SENTINELS, cpu: cpu as u32, drops: None, read: None }
        }
        _ => Line::Event { value, realtime },
    }
}

#[cfg(test)]
mod tests {
    use portwitness_kmod::Version;

    use super::*;

    #[test]
    fn lines_of_our_own_program() {
        let parse = |text: &str| super::parse(SinspFormat::SinspEvents, text.as_bytes());
        let start = r#"{"type":"start","form":2,"library":"0.23.2-6","api":"8.0.4","schema":"4.1.0","pid":7}"#;
        let version = |major, minor, patch| Version { major, minor, patch };
        let driver = Some(Versions { api: version(8, 0, 4), schema: version(4, 1, 0) });
        assert_eq!(parse(start), Line::Start { driver, library: Some("0.23.2-6".into()), unknown: None });
        let newer = parse(&start.replace("8.0.4", "99.0.0"));
        assert!(
            matches!(newer, Line::Start { unknown: Some(why), .. } if why.contains("API 99.0.0, schema 4.1.0; known are API 1 "))
        );
        let form = parse(&start.replace("\"form\":2", "\"form\":3"));
        assert!(matches!(form, Line::Start { unknown: Some(why), .. } if why.contains("form 3; known is 2")));
        let fence = r#"{"type":"fence","number":5,"cpu":1,"read":10,"printed":2,"drops":0}"#;
        assert_eq!(parse(fence), Line::Sentinel { number: 5, cpu: 1, drops: Some(0), read: Some(10) });
        assert_eq!(
            parse(r#"{"type":"end","complete":true,"read":9,"drops":3}"#),
            Line::End { complete: Some(true), drops: Some(3), read: Some(9) }
        );
        assert!(matches!(parse(r#"{"type":"event","ts":17}"#), Line::Event { realtime: Some(17), .. }));
        assert_eq!(parse("-- a note"), Line::Remark("-- a note".into()));
        for garbage in ["", "x", "{", "{}", r#"{"type":"tale"}"#, r#"{"type":"fence"}"#, "{\"type\":\"event\""] {
            assert!(matches!(parse(garbage), Line::Garbage(_)), "{garbage}");
        }
        assert!(matches!(super::parse(SinspFormat::SinspEvents, b"\xff\xfe"), Line::Garbage(_)));
    }

    #[test]
    fn lines_of_sysdig() {
        let parse = |text: &str| super::parse(SinspFormat::Sysdig, text.as_bytes());
        let close = |fd: u64| {
            format!(r#"{{"evt.cpu":1,"evt.dir":">","evt.info":"fd={fd} ","evt.outputtime":9,"evt.type":"close"}}"#)
        };
        let sentinel = Line::Sentinel { number: 3, cpu: 1, drops: None, read: None };
        assert_eq!(parse(&close(0x5057_0003)), sentinel);
        assert!(matches!(parse(&close(3)), Line::Event { realtime: Some(9), .. }));
        assert!(matches!(parse("Segmentation fault"), Line::Garbage(_)));
        let note = b"-- Try to open: 'kmod' engine.";
        assert!(matches!(super::parse(SinspFormat::SinspExample, note), Line::Remark(_)));
        // With fields of one's own (-p), and as sinsp-example has it.
        let fields = close(0x5057_0003).replace("evt.info", "evt.args");
        assert_eq!(parse(&fields), sentinel);
        let example = fields.replace("evt.outputtime", "evt.time");
        assert_eq!(super::parse(SinspFormat::SinspExample, example.as_bytes()), sentinel);
        // The traffic program's own brackets are events.
        assert!(matches!(parse(&close(0x5058_0000)), Line::Event { .. }));
    }

    #[test]
    fn statistics_of_sysdig() {
        let mut statistics = Statistics::default();
        for line in ["Unable to load the driver", "Driver Events:", "Driver Drops:many", "Driver Events:68634"] {
            assert_eq!(statistics.take(line), None, "{line}");
        }
        let end = Line::End { complete: None, drops: Some(34), read: Some(68600) };
        assert_eq!(statistics.take("Driver Drops:34"), Some(end));
        let end = Line::End { complete: None, drops: Some(0), read: None };
        assert_eq!(Statistics::default().take("Driver Drops:0"), Some(end));
    }
}

//! An event as checks look at it, whichever program printed it.

use std::borrow::Cow;

use serde_json::Value;

use crate::clock::Timestamp;
use crate::history::{SinspEvent, SinspFormat};

/// An event of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    /// As it was recorded.
    pub(super) event: &'a SinspEvent,
    format: SinspFormat,
    /// Its number.
    pub(super) num: Option<u64>,
    /// The thread.
    pub(super) tid: Option<u64>,
    /// Whether a call was entered; none where the line does not tell.
    pub(super) enters: Option<bool>,
    /// The name of the call.
    pub(super) name: &'a str,
}

/// A parameter.
#[derive(Clone, Debug)]
pub(super) struct Param<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// Its value with its type, where the line has it.
    pub(super) value: Option<&'a Value>,
    /// As text.
    pub(super) text: Cow<'a, str>,
    /// What the library makes of it: the name of an errno, what a descriptor is.
    pub(super) resolved: Cow<'a, str>,
}

impl<'a> Seen<'a> {
    pub(super) fn of(event: &'a SinspEvent, format: SinspFormat) -> Self {
        let line = &event.line;
        let (num, tid, name, dir) = match format {
            SinspFormat::SinspEvents => ("num", "tid", "name", "dir"),
            SinspFormat::Sysdig => ("evt.num", "thread.tid", "evt.type", "evt.dir"),
            // Events of the category net tell a process instead.
            SinspFormat::SinspExample => ("evt.num", "proc.pid", "evt.type", "evt.dir"),
        };
        let number = |key: &str| line.get(key).and_then(Value::as_u64);
        Self {
            event,
            format,
            num: number(num),
            tid: number(tid).or_else(|| number("thread.tid")),
            enters: line.get(dir).and_then(Value::as_str).map(|dir| dir == ">"),
            name: line.get(name).and_then(Value::as_str).unwrap_or_default(),
        }
    }

    /// Between which moments it happened.
    pub(super) fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let latest = self.event.happened?;
        Some((Timestamp(latest.0.saturating_sub(self.event.give_or_take_ns)), latest))
    }

    /// Its parameters, in their order.
    pub(super) fn params(&self) -> Vec<Param<'a>> {
        let line = &self.event.line;
        match self.format {
            SinspFormat::SinspEvents => {
                let all = line.get("params").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                all.iter().map(typed).collect()
            }
            SinspFormat::Sysdig | SinspFormat::SinspExample => {
                let shown = ["evt.args", "evt.info"].iter().find_map(|key| line.get(key)?.as_str());
                split(shown.unwrap_or_default())
            }
        }
    }

    /// A field of the process: `pid`, `ppid`, `name`, `exe`, `command`.
    pub(super) fn process(&self, field: &str) -> Option<&'a Value> {
        let line = &self.event.line;
        match (self.format, field) {
            (SinspFormat::SinspEvents, field) => line.get("process")?.get(field),
            (_, "command") => line.get("proc.cmdline"),
            (SinspFormat::SinspExample, "container") => line.get("container.id"),
            // The other is what the program was called by.
            (_, "exe") => line.get("proc.exepath").or_else(|| line.get("proc.exe")),
            (_, field) => line.get(format!("proc.{field}")),
        }
    }

    /// Whether it tells which thread made the call: in some lines of sinsp-example there is only the process.
    pub(super) fn tells_thread(&self) -> bool {
        self.format != SinspFormat::SinspExample || self.event.line.get("thread.tid").is_some()
    }

    /// The library's own fields that stand beside what else the line tells of the event.
    pub(super) fn fields(&self) -> Option<&'a serde_json::Map<String, Value>> {
        match self.format {
            SinspFormat::SinspEvents => self.event.line.get("fields")?.as_object(),
            SinspFormat::Sysdig | SinspFormat::SinspExample => self.event.line.as_object(),
        }
    }

    /// Whether the whole line is made of such fields.
    pub(super) fn is_flat(&self) -> bool {
        self.format != SinspFormat::SinspEvents
    }

    /// The name of the descriptor that it is about, empty when that has none.
    pub(super) fn fd_name(&self) -> Option<&'a str> {
        let line = &self.event.line;
        match self.format {
            SinspFormat::SinspEvents => line.get("fd")?.get("name")?.as_str(),
            _ => line.get("fd.name")?.as_str(),
        }
    }

    /// What the call returned, of the exit of one: its first parameter, `res` or `fd`.
    pub(super) fn result(&self) -> Option<i64> {
        self.returned()?.text.parse().ok()
    }

    /// The name of the error that the call returned.
    pub(super) fn errno_name(&self) -> Option<String> {
        self.returned().filter(|param| !param.resolved.is_empty()).map(|param| param.resolved.into_owned())
    }

    fn returned(&self) -> Option<Param<'a>> {
        let is_exit = self.enters == Some(false);
        self.params().into_iter().next().filter(|param| is_exit && matches!(param.name, "res" | "fd"))
    }

    /// `> connect`, as people read it.
    pub(super) fn title(&self) -> String {
        title(self.enters, self.name)
    }

    /// The whole of it, for a finding.
    pub(super) fn told(&self) -> String {
        let mut line = self.event.line.to_string();
        if line.len() > 1500 {
            let end = (0..=1500).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
            line.truncate(end);
            line.push_str("...");
        }
        line
    }
}

/// `> connect`, `< connect`.
pub(super) fn title(enters: Option<bool>, name: &str) -> String {
    let direction = match enters {
        Some(true) => "> ",
        Some(false) => "< ",
        None => "",
    };
    format!("{direction}{name}")
}

fn text<'a>(line: &'a Value, key: &str) -> &'a str {
    line.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn typed(param: &Value) -> Param<'_> {
    Param {
        name: text(param, "name"),
        value: param.get("value"),
        text: text(param, "text").into(),
        resolved: text(param, "resolved").into(),
    }
}

/// `fd=3(<4t>127.0.0.1:80) backlog=16 `: names with values, of which some have a meaning in brackets.
fn split(text: &str) -> Vec<Param<'_>> {
    let starts: Vec<usize> = text
        .match_indices('=')
        .filter_map(|(at, _)| {
            let begin = text[..at].rfind(' ').map_or(0, |space| space + 1);
            let is_name = at > begin
                && text[begin..at]
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit());
            is_name.then_some(begin)
        })
        .collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts
        .iter()
        .zip(ends)
        .filter_map(|(begin, end)| {
            let (name, value) = text[*begin..end].trim_end().split_once('=')?;
            let (value, resolved) = match value.strip_suffix(')').and_then(|inner| inner.split_once('(')) {
                Some((value, resolved)) => (value, resolved),
                None => (value, ""),
            };
            Some(Param { name, value: None, text: value.into(), resolved: resolved.into() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_split_into_names_values_and_meanings() {
        let text = "res=-111(ECONNREFUSED) tuple=0.0.0.0:40460->127.0.0.1:36517 fd=5(<u>ff->ff /a b) args=x y ";
        let told: Vec<String> =
            split(text).iter().map(|param| format!("{}|{}|{}", param.name, param.text, param.resolved)).collect();
        assert_eq!(
            told,
            ["res|-111|ECONNREFUSED", "tuple|0.0.0.0:40460->127.0.0.1:36517|", "fd|5|<u>ff->ff /a b", "args|x y|"]
        );
        assert!(split("").is_empty());
    }
}

//! From the text of a dialogue file to its steps.

mod expectation;
mod pieces;

use std::path::Path;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::Dialogue;
use super::error::{DialogueError, Fault, Flaw, position};
use super::steps::{Act, Connect, How, MAIN, Outcome, ReportSpec, Send, Split, Step};
use super::table::{Keys, Value, array, entries, number, table, text, time, wrong};
use super::text::{Millis, Text};
use expectation::expectation;
use pieces::bytes;

/// What a step can do; each step does one of these.
const VERBS: [&str; 17] = [
    "connect",
    "send",
    "expect",
    "expect_line",
    "expect_lines",
    "expect_until",
    "expect_bytes",
    "expect_http",
    "expect_close",
    "silence_ms",
    "delay_ms",
    "half_close",
    "close",
    "reset",
    "report",
    "reports",
    "repeat",
];

/// Where a dialogue says nothing else.
const DEADLINE: Duration = Duration::from_secs(30);
const WAIT: Duration = Duration::from_secs(5);
/// Between the parts of what is sent split.
const PAUSE: Duration = Duration::from_millis(5);

pub(super) fn dialogue(path: &Path, source: &str) -> Result<Dialogue, DialogueError> {
    let root = DeTable::parse(source).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        Fault::new(span, Flaw::NotToml(error.message().trim().into())).at(path, source)
    })?;
    read(path, source, root.get_ref()).map_err(|fault| fault.at(path, source))
}

fn read(path: &Path, source: &str, root: &DeTable<'_>) -> Result<Dialogue, Fault> {
    let mut keys = Keys::new(root, 0..0, "in a dialogue");
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = keys.text("name")?.map_or(stem, |(name, _)| name.into());
    let (minipot, _) = text("minipot", keys.need("minipot")?)?;
    let minipot = minipot.into();
    let spec = keys.text("spec")?.map(|(spec, _)| spec.into()).unwrap_or_default();
    let full = keys.flag("full", false)?;
    let ipv6 = keys.flag("ipv6", false)?;
    let deadline = keys.millis("deadline_ms")?.unwrap_or(DEADLINE);
    let wait = keys.millis("wait_ms")?.unwrap_or(WAIT);
    let mut variables = Vec::new();
    if let Some(value) = keys.get("variables") {
        for (key, _, value) in entries(table("variables", value)?) {
            let (value, span) = text(key, value)?;
            variables.push((key.into(), Text::parse(value, span, true)));
        }
    }
    let steps = steps(source, "step", keys.need("step")?)?;
    keys.end()?;
    let (path, text) = (path.into(), source.into());
    Ok(Dialogue { name, minipot, spec, full, ipv6, deadline, wait, path, text, variables, steps })
}

fn steps(source: &str, key: &str, value: &Value<'_>) -> Result<Vec<Step>, Fault> {
    array(key, value)?.iter().map(|value| step(source, key, value)).collect()
}

fn step(source: &str, key: &str, value: &Value<'_>) -> Result<Step, Fault> {
    let table = table(key, value)?;
    let entries = entries(table);
    // A table of `[[step]]` has the place of its header; its first key says it better.
    let span = entries.first().map_or(value.span(), |(_, span, _)| span.clone());
    let verb = verb(table, &span)?;
    let mut keys = Keys::new(table, span.clone(), format!("in a step with `{verb}`"));
    let on = keys.text("on")?.map_or(MAIN, |(on, _)| on).to_owned();
    let (on, act) = match verb {
        "connect" => connect(&mut keys)?,
        "repeat" => (on, repeat(source, &mut keys)?),
        "send" => (on, send(&mut keys)?),
        verb => (on, simple(verb, &mut keys)?),
    };
    keys.end()?;
    let (line, column) = position(source, span.start);
    Ok(Step { span, place: format!("{line}:{column}"), on, act })
}

/// The one verb of a step. `report` is one only where nothing else is.
fn verb(table: &DeTable<'_>, span: &std::ops::Range<usize>) -> Result<&'static str, Fault> {
    let verbs: Vec<&str> = VERBS.into_iter().filter(|verb| table.get(*verb).is_some()).collect();
    let own = |verb: &&&str| {
        !(matches!(**verb, "report" | "reports") && verbs.iter().any(|other| matches!(*other, "send" | "connect")))
    };
    let own: Vec<&str> = verbs.iter().filter(own).copied().collect();
    let known = || VERBS.join(", ");
    match own[..] {
        [verb] => Ok(VERBS.into_iter().find(|known| *known == verb).unwrap_or_default()),
        [one, other, ..] => Err(Fault::new(span.clone(), Flaw::TwoVerbs { one: one.into(), other: other.into() })),
        [] => Err(match entries(table).first() {
            Some((found, span, _)) if *found != "on" => {
                Fault::new(span.clone(), Flaw::UnknownVerb { found: (*found).into(), known: known() })
            }
            _ => Fault::new(span.clone(), Flaw::NoVerb { known: known() }),
        }),
    }
}

fn connect(keys: &mut Keys<'_, '_>) -> Result<(String, Act), Fault> {
    let (name, _) = text("connect", keys.need("connect")?)?;
    let outcome = match keys.text("fails")? {
        None => Outcome::Succeeds,
        Some(("refused", _)) => Outcome::Refused,
        Some(("timeout", _)) => Outcome::TimesOut,
        Some((_, span)) => {
            let flaw = Flaw::Other("`fails` is \"refused\" or \"timeout\"".into());
            return Err(Fault::new(span, flaw));
        }
    };
    let report = keys.flag("report", outcome == Outcome::Succeeds)?;
    let wait = keys.time("wait_ms")?;
    Ok((name.into(), Act::Connect(Connect { report, outcome, wait })))
}

fn send(keys: &mut Keys<'_, '_>) -> Result<Act, Fault> {
    let bytes = bytes("send", keys.need("send")?)?;
    let split = match keys.get("split") {
        None => Split::None,
        Some(value) => split(value)?,
    };
    let pause = keys.time("pause_ms")?.unwrap_or(Millis::Fixed(PAUSE));
    let may_be_cut = keys.flag("may_be_cut", false)?;
    Ok(Act::Send(Send { bytes, split, pause, may_be_cut, reports: reports(keys)? }))
}

fn split(value: &Value<'_>) -> Result<Split, Fault> {
    let mut places = match value.get_ref() {
        DeValue::String(text) if text.as_ref() == "every" => return Ok(Split::EveryByte),
        DeValue::Integer(_) => vec![number("split", value)? as usize],
        DeValue::Array(array) => {
            array.iter().map(|value| number("split", value).map(|number| number as usize)).collect::<Result<_, _>>()?
        }
        _ => return Err(wrong("split", "a position, an array of positions, or \"every\"", value)),
    };
    places.sort_unstable();
    Ok(Split::At(places))
}

fn reports(keys: &mut Keys<'_, '_>) -> Result<Vec<ReportSpec>, Fault> {
    let one = keys.get("report").map(report).transpose()?;
    let many =
        keys.get("reports").map(|value| array("reports", value)?.iter().map(report).collect::<Result<Vec<_>, _>>());
    Ok(one.into_iter().chain(many.transpose()?.unwrap_or_default()).collect())
}

fn report(value: &Value<'_>) -> Result<ReportSpec, Fault> {
    let mut keys = Keys::new(table("report", value)?, value.span(), "in a report");
    let (action, span) = text("action", keys.need("action")?)?;
    let action = Text::parse(action, span, true);
    let data = match keys.get("data") {
        None => None,
        Some(value) => {
            let entry = |(key, _, value): (&str, _, &Value<'_>)| bytes(key, value).map(|value| (key.to_owned(), value));
            Some(entries(table("data", value)?).into_iter().map(entry).collect::<Result<_, _>>()?)
        }
    };
    keys.end()?;
    Ok(ReportSpec { action, data })
}

fn repeat(source: &str, keys: &mut Keys<'_, '_>) -> Result<Act, Fault> {
    let times = keys.need("repeat")?;
    let count = number("repeat", times)?;
    let pipelined = keys.flag("pipelined", false)?;
    let inner = keys.need("do")?;
    let steps = steps(source, "do", inner)?;
    let unsuited = steps.iter().find(|step| !matches!(step.act, Act::Send(_) | Act::Expect { .. } | Act::Report(_)));
    if let Some(step) = unsuited.filter(|_| pipelined) {
        let flaw = Flaw::Other("what is pipelined consists of send, expect and report alone".into());
        return Err(Fault::new(step.span.clone(), flaw));
    }
    let times = u32::try_from(count).map_err(|_| wrong("repeat", "smaller", times))?;
    Ok(Act::Repeat { times, pipelined, steps })
}

fn simple(verb: &'static str, keys: &mut Keys<'_, '_>) -> Result<Act, Fault> {
    let value = keys.need(verb)?;
    Ok(match verb {
        "silence_ms" => Act::Silence(time(verb, value)?),
        "delay_ms" => Act::Delay(time(verb, value)?),
        "half_close" | "close" | "reset" => {
            if !matches!(value.get_ref(), DeValue::Boolean(true)) {
                return Err(wrong(verb, "true", value));
            }
            match verb {
                "half_close" => Act::HalfClose,
                "close" => Act::Close,
                _ => Act::Reset,
            }
        }
        "expect_close" => {
            let how = match value.get_ref() {
                DeValue::Boolean(true) => How::Any,
                DeValue::String(text) if text.as_ref() == "eof" => How::Eof,
                DeValue::String(text) if text.as_ref() == "reset" => How::Reset,
                _ => return Err(wrong(verb, "true, \"eof\" or \"reset\"", value)),
            };
            Act::ExpectClose { how, not_before: keys.time("not_before_ms")?, wait: keys.time("wait_ms")? }
        }
        "report" => Act::Report(report(value)?),
        "reports" => {
            let flaw =
                Flaw::Other("`reports` goes with `send`; on its own, write one step with `report` for each".into());
            return Err(Fault::new(value.span(), flaw));
        }
        _ => Act::Expect { what: expectation(verb, value)?, wait: keys.time("wait_ms")? },
    })
}

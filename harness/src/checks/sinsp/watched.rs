//! Were events captured without a gap, did the traffic come about, and can the stream be read?

use super::story::{capture, statements, stream};
use crate::checks::slice::Slice;
use crate::checks::verdict::{Finding, Verdict};
use crate::history::{Event, Record, SinspSaid};

/// An error says why not everything that happened in the case can be in the stream.
pub(super) fn watched(slice: &Slice<'_>) -> Result<(), String> {
    let capture = capture(slice).ok_or("no events were being captured when the case began")?;
    if let Some(unknown) = &capture.unknown {
        return Err(format!("what the program prints cannot be judged: {unknown}"));
    }
    let started = slice.records.iter().rposition(|record| matches!(said(record), Some(SinspSaid::Started(_))));
    let since = &slice.records[started.unwrap_or(0)..];
    // A program that tells its losses only as it ends is asked to end once the case was fenced.
    let fenced = since.iter().rposition(|record| matches!(said(record), Some(SinspSaid::Fenced { .. })));
    let gone = since.iter().enumerate().find_map(|(at, record)| match said(record) {
        Some(SinspSaid::Gone { how, asked: false }) => Some(format!("the program that captures ended: {how}")),
        Some(SinspSaid::Gone { .. }) if fenced.is_none_or(|fenced| at < fenced) => {
            Some("the program that captures was stopped before the end".into())
        }
        _ => None,
    });
    if let Some(gone) = gone {
        return Err(gone);
    }
    let fence = slice.own().iter().rev().find_map(|record| match said(record) {
        Some(SinspSaid::Fenced { began, cpus, seen, .. }) => Some((*began, *cpus, *seen)),
        _ => None,
    });
    match fence {
        Some((began, cpus, seen)) if cpus > 0 && seen == cpus && began >= slice.begin => {}
        Some((_, cpus, seen)) if seen != cpus => {
            return Err(format!("only {seen} of {cpus} sentinels came back: events may be missing"));
        }
        _ => return Err("no fence closed the case: events may be missing".into()),
    }
    match drops(slice, since) {
        Some(0) | None => Ok(()),
        Some(count) => {
            Err(format!("the driver lost {count} events during the case: a faster reader would have kept them"))
        }
    }
}

/// Events that the driver lost during the case, where the program tells.
pub(super) fn losses(slice: &Slice<'_>) -> Option<u64> {
    let started = slice.records.iter().rposition(|record| matches!(said(record), Some(SinspSaid::Started(_))));
    drops(slice, &slice.records[started.unwrap_or(0)..])
}

/// The same, of records since the capture began.
fn drops(slice: &Slice<'_>, since: &[Record]) -> Option<u64> {
    let told = |record: &Record| match said(record) {
        Some(SinspSaid::Sentinel { drops, .. } | SinspSaid::Ended { drops, .. }) => *drops,
        _ => None,
    };
    let before = since.iter().filter(|record| record.at < slice.begin).filter_map(told).max().unwrap_or(0);
    let after = slice.own().iter().filter_map(told).max()?;
    Some(after.saturating_sub(before))
}

/// What a record says of the stream.
pub(super) fn said(record: &Record) -> Option<&SinspSaid> {
    match &record.event {
        Event::Sinsp(said) => Some(said),
        _ => None,
    }
}

/// Whether the traffic program did what the case is about: otherwise there is nothing to be seen of it.
pub(super) fn provoked(slice: &Slice<'_>, calls: &[String]) -> Verdict {
    let stated = statements(slice);
    let done = |call: &String| {
        stated.iter().any(|statement| {
            let result = statement.result.map_or_else(String::new, |result| format!(" {result}"));
            // A number that is not known beforehand, a descriptor or a pid, is left out.
            *call == format!("{}{result}", statement.call)
                || (*call == statement.call && statement.result.is_none_or(|result| result >= 0))
        })
    };
    match calls.iter().find(|call| !done(call)) {
        _ if stated.is_empty() => Verdict::unknown("the traffic program stated nothing"),
        Some(call) => Verdict::unknown(format!("the traffic program made no call that ended as it should: `{call}`")),
        None => Verdict::Pass,
    }
}

/// Whether everything in the case can be read, and is as the schema says.
pub(super) fn schema(slice: &Slice<'_>) -> Verdict {
    for record in slice.own() {
        match said(record) {
            Some(SinspSaid::Unreadable { text, bytes, why }) => {
                let seen = format!("a line of {bytes} bytes is none: {why}");
                return Verdict::fail("lines that are events", seen).with_records(vec![text.clone()]);
            }
            Some(SinspSaid::Event(event)) if !event.flaws.is_empty() => {
                let told = event.flaws.iter().map(|flaw| {
                    let place = if flaw.pointer.is_empty() { "the event" } else { &flaw.pointer };
                    format!("at {place}: {}", flaw.why)
                });
                return Verdict::Fail(Finding {
                    expected: "an event as its schema says".into(),
                    seen: told.collect::<Vec<_>>().join("; "),
                    around: vec![event.line.to_string()],
                });
            }
            _ => {}
        }
    }
    match capture(slice) {
        None => Verdict::unknown("no events were being captured when the case began"),
        Some(capture) if stream(slice, capture).is_empty() => Verdict::unknown("no event came: nothing was validated"),
        Some(_) => Verdict::Pass,
    }
}

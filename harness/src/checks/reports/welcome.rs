//! The welcome: one message, once a start of the system, before anything else.

use super::exchange::NOBODY;
use crate::checks::slice::Slice;
use crate::checks::verdict::Finding;
use crate::clock::Timestamp;
use crate::history::{Event, Message, ReportsChange, SutChange};

/// What is wrong with it; an error is what is not known.
pub(super) fn findings(slice: &Slice<'_>) -> Result<Vec<Finding>, String> {
    let launched =
        slice.records.iter().rev().find(|record| matches!(record.event, Event::Sut(SutChange::Launched { .. })));
    let launched = launched.map(|record| record.at).ok_or("the system was not started in this run")?;
    let since: Vec<_> = slice.records.iter().filter(|record| record.at >= launched).collect();
    let ms = |at: Timestamp| format!("{:.0} ms after the start", at.ms_after(launched));
    let welcomes: Vec<(Timestamp, &str)> = since
        .iter()
        .filter_map(|record| match &record.event {
            Event::Message(Message::Welcome { topic }) => Some((record.at, topic.as_str())),
            _ => None,
        })
        .collect();
    let topic = topic(slice)?;
    let expected = || format!("one welcome with the topic `{topic}` from each start of the system");
    let finding = |seen: String| Finding { expected: expected(), seen, around: Vec::new() };
    let mut found = Vec::new();
    match welcomes[..] {
        [] => {
            let connected =
                slice.records.iter().any(|record| matches!(record.event, Event::Reports(ReportsChange::Connected)));
            found.push(finding(match connected {
                true => "none came".into(),
                false => format!("nobody ever connected to {}", endpoint(slice).unwrap_or_default()),
            }));
        }
        [_] => {}
        [first, second, ..] => {
            let text = format!("{} came: {} and {}", welcomes.len(), ms(first.0), ms(second.0));
            found.push(finding(text));
        }
    }
    if let Some((at, other)) = welcomes.iter().find(|(_, other)| *other != topic) {
        found.push(finding(format!("`{other}` came {}", ms(*at))));
    }
    let report = since.iter().find(|record| matches!(record.event, Event::Message(Message::Report { .. })));
    if let (Some(report), Some((welcome, _))) = (report, welcomes.first())
        && report.at < *welcome
    {
        found.push(finding(format!("a report came {:.0} ms before it", welcome.ms_after(report.at))));
    }
    Ok(found)
}

/// The topic that messages should have.
pub(super) fn topic<'a>(slice: &Slice<'a>) -> Result<&'a str, String> {
    bound(slice).map(|(_, topic)| topic).ok_or_else(|| NOBODY.into())
}

fn endpoint<'a>(slice: &Slice<'a>) -> Option<&'a str> {
    bound(slice).map(|(endpoint, _)| endpoint)
}

fn bound<'a>(slice: &Slice<'a>) -> Option<(&'a str, &'a str)> {
    slice.records.iter().rev().find_map(|record| match &record.event {
        Event::Reports(ReportsChange::Bound { endpoint, topic }) => Some((endpoint.as_str(), topic.as_str())),
        _ => None,
    })
}

//! What was seen in all: ports with how often and how long, connections, losses.

use comfy_table::{CellAlignment, Table, presets};

use super::life::Lives;
use super::port::Age;
use super::{Port, human};
use crate::clock::Timestamp;

/// The summary as text for people, at the end of a watch.
pub fn summary(lives: &Lives, now: Timestamp, observer: &str) -> String {
    let counts = &lives.counts;
    let mut text = format!(
        "watched {} by {observer}; ports: {}; connections: {} accepted, {} made, {} failed, {} still open",
        human(now.since(lives.began())),
        lives.ports().count(),
        counts.accepted,
        counts.connected,
        counts.failed,
        (counts.accepted + counts.connected).saturating_sub(counts.ended),
    );
    text.push_str(&match (lives.lost.is_empty(), &lives.died) {
        (true, None) => "; nothing was lost\n".into(),
        (_, Some(reason)) => format!("\nINCOMPLETE: the observer died: {reason}\n"),
        (false, None) => {
            let lost = lives.lost.iter().map(|(probe, count)| format!("{count} records of {probe}"));
            format!("\nLOST: {}: a larger `--ring-bytes` would keep them\n", lost.collect::<Vec<_>>().join(", "))
        }
    });
    if lives.ports().next().is_some() {
        text.push_str(&format!("{}\n", table(lives, now)));
    }
    text
}

/// Ports beyond these are counted, not listed.
const LISTED: usize = 50;

fn table(lives: &Lives, now: Timestamp) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["  port", "now", "opened", "closed", "open for", "closed for", "accepted", "who"]);
    for column in table.column_iter_mut().skip(2).take(5) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for (endpoint, netns, port) in lives.ports().take(LISTED) {
        let place = if netns == lives.home() { String::new() } else { format!(" in netns {netns}") };
        table.add_row([
            format!("  {endpoint}{place}"),
            if port.sockets > 0 { format!("listens ({})", port.sockets) } else { "closed".into() },
            port.opened.to_string(),
            port.closed.to_string(),
            open_for(port, now),
            human(port.closed_for + port.closed_since(now).unwrap_or_default()),
            port.accepted.to_string(),
            port.holder.as_ref().map(ToString::to_string).unwrap_or_default(),
        ]);
    }
    let more = lives.ports().count().saturating_sub(LISTED);
    if more > 0 {
        table.add_row([format!("  and {more} more")]);
    }
    table
}

fn open_for(port: &Port, now: Timestamp) -> String {
    match port.age(now) {
        Some(Age::Exactly(time) | Age::SinceBefore(time)) => human(port.open_for + time),
        None => human(port.open_for),
    }
}

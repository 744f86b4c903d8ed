//! Resident memory while 1, 1000 and 10 000 connections or ports are held and observed.

use crate::figure::{Section, Unit};
use crate::size::Size;
use crate::worker::Worker;

pub(crate) fn run(size: Size) -> anyhow::Result<Section> {
    let mut section = Section::new(
        "Memory",
        "Resident memory of a process that observes another one (socket states and system calls, history in memory) and \
         holds clients to it: how much more there is once so many ports of the other listen, or so many connections \
         are open. The kernel's own memory for sockets is not in it.",
    );
    for (what, label) in [("ports", "ports of the observed process"), ("connections", "connections held by clients")] {
        let (mut each, mut last) = (0.0, 0);
        for whole in [1, 1000, 10_000] {
            let count = size.of(whole, 1);
            // A small share of two sizes may be the same.
            if count == last {
                continue;
            }
            last = count;
            // A process of its own each time: what one has freed would hide what the next one takes.
            let grown: f64 = Worker::spawn(&["held", what, &count.to_string()])?.go()?;
            section.value(format!("{count} {label}: resident memory gained"), grown / 1024.0, Unit::KiB);
            each = grown / count as f64;
        }
        section.value(format!("each of these {label}"), each, Unit::Bytes);
    }
    Ok(section)
}

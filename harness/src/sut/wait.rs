//! Waits for what the observer sees, up to a deadline, and puts into words what an error can show when it did not come.

use std::path::Path;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::endpoint::Endpoint;
use crate::history::{Event, ObserverChange, Record, Recorder};

/// How often a condition is looked at.
pub const POLL: Duration = Duration::from_millis(2);

/// Whether a connect to `endpoint` would find a listener, as far as the observer has reported.
pub fn listens(recorder: &Recorder, endpoint: Endpoint) -> bool {
    let netns = recorder.run().netns;
    recorder.listeners(|listeners| listeners.count(endpoint, netns) > 0)
}

/// Waits until `condition` holds for the records so far, in the order of arrival; false on expiry. The condition must not
/// use the recorder itself.
pub async fn until(recorder: &Recorder, deadline: Timestamp, mut condition: impl FnMut(&[Record]) -> bool) -> bool {
    until_true(deadline, || recorder.records(&mut condition)).await
}

/// Waits until `condition` holds; false on expiry.
pub async fn until_true(deadline: Timestamp, mut condition: impl FnMut() -> bool) -> bool {
    loop {
        if condition() {
            return true;
        }
        if Timestamp::now() >= deadline {
            return false;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Endpoints in one line.
pub fn list(endpoints: &[Endpoint]) -> String {
    if endpoints.is_empty() {
        return "nothing".into();
    }
    endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Why an observer died, when one did in the records after the first `looked_at`; that is moved to their end.
pub(super) fn observer_died(recorder: &Recorder, looked_at: &mut usize) -> Option<String> {
    recorder.records(|records| {
        let new = records.get(*looked_at..).unwrap_or_default();
        *looked_at = records.len();
        new.iter().find_map(|record| match &record.event {
            Event::Observer(ObserverChange::Died { reason }) if record.source.witnesses_ports() => Some(reason.clone()),
            _ => None,
        })
    })
}

/// The last eight records as the history's file has them, a line each, of 200 characters at the most.
pub(super) fn last_records(recorder: &Recorder) -> String {
    let last = recorder.records(|records| records[records.len().saturating_sub(8)..].to_vec());
    if last.is_empty() {
        return "  (it is empty)".into();
    }
    let line = |record: &Record| {
        let line = serde_json::to_string(record).unwrap_or_else(|error| error.to_string());
        match line.char_indices().nth(200) {
            Some((end, _)) => format!("  {}...", &line[..end]),
            None => format!("  {line}"),
        }
    };
    last.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Bytes of a log's end that are looked at.
pub(super) const TAIL: usize = 8 << 10;

/// The last twelve lines of a log, of its last 8 KiB at most.
pub fn tail(log: &Path) -> String {
    match end(log) {
        Ok(end) => lines(&end),
        Err(error) => format!("  (it cannot be read: {error})"),
    }
}

/// The last [`TAIL`] bytes of a log.
pub(super) fn end(log: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = std::fs::File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL as u64)))?;
    let mut end = Vec::new();
    file.take(TAIL as u64).read_to_end(&mut end)?;
    Ok(end)
}

/// The last twelve lines of the end of a log.
pub(super) fn lines(end: &[u8]) -> String {
    if end.is_empty() {
        return "  (it is empty)".into();
    }
    let text = String::from_utf8_lossy(end);
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(12)..];
    last.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

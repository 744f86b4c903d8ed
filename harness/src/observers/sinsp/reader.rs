//! Reads what the program prints, line by line, and appends it to the history.

use std::collections::{HashMap, HashSet};
use std::io::{BufReader, Read};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::format::{self, Line, Statistics};
use super::lines::{self, RawLine};
use super::schema::Schema;
use crate::clock::Alignment;
use crate::history::{Event, Recorder, SinspEvent, SinspFormat, SinspSaid, Source};

/// As much is kept of a line that cannot be read.
const EXCERPT: usize = 2048;

/// What the reader has seen, for those who wait for it.
#[derive(Default)]
pub(super) struct Progress {
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Default)]
pub(super) struct Seen {
    /// CPUs from which a fence's sentinel came back.
    pub(super) sentinels: HashMap<u64, HashSet<u32>>,
    /// Versions of driver and library, and what is remarkable about them.
    pub(super) versions: Option<Versions>,
    /// The program has said its last word.
    pub(super) ended: bool,
    /// Its output is at an end.
    pub(super) closed: bool,
    /// So is its standard error.
    pub(super) errors_closed: bool,
    /// The last lines of its standard error.
    pub(super) errors: String,
}

/// As a start line tells them.
#[derive(Clone, Debug, Default)]
pub(super) struct Versions {
    pub(super) api: Option<String>,
    pub(super) library: Option<String>,
    pub(super) unknown: Option<String>,
}

impl Progress {
    /// Changes what is known, and wakes who waits.
    pub(super) fn note<T>(&self, change: impl FnOnce(&mut Seen) -> T) -> T {
        let changed = change(&mut self.lock());
        self.changed.notify_all();
        changed
    }

    /// Looks at what is known.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.lock())
    }

    /// Waits until `ready`, for `time` at the most; says whether it came to that.
    pub(super) fn wait(&self, time: Duration, ready: impl Fn(&Seen) -> bool) -> bool {
        let deadline = Instant::now() + time;
        let mut seen = self.lock();
        while !ready(&seen) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            seen = self.changed.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        // Each change is made in one step, so a panic elsewhere leaves nothing half-done.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Turns lines into records.
pub struct Translator {
    format: SinspFormat,
    schema: Schema,
    alignment: Alignment,
}

/// Readings of the clocks with which a run begins, and with which it goes on.
const FIRST_READINGS: u32 = 2000;
const FURTHER_READINGS: u32 = 16;

impl Translator {
    /// For a format and its schema; the clocks of this machine are read now.
    pub fn new(format: SinspFormat, schema: Schema) -> Self {
        Self::aligned(format, schema, Alignment::measure(FIRST_READINGS).0)
    }

    /// The same with clocks that stand to each other in a known way: for streams from elsewhere.
    pub fn aligned(format: SinspFormat, schema: Schema, alignment: Alignment) -> Self {
        Self { format, schema, alignment }
    }

    /// What a whole line says.
    pub fn said(&self, text: &[u8]) -> SinspSaid {
        self.translate(format::parse(self.format, text), text, text.len() as u64)
    }

    fn translate(&self, line: Line, text: &[u8], bytes: u64) -> SinspSaid {
        match line {
            Line::Event { value, realtime } => {
                let happened = realtime.map(|realtime| self.alignment.monotonic(realtime));
                let give_or_take_ns = happened.map_or(0, |(_, uncertainty_ns)| uncertainty_ns);
                let flaws = self.schema.flaws(&value);
                let happened = happened.map(|(latest, _)| latest);
                SinspSaid::Event(SinspEvent { happened, give_or_take_ns, line: value, flaws })
            }
            Line::Sentinel { number, cpu, drops, read } => SinspSaid::Sentinel { number, cpu, drops, read },
            Line::End { complete, drops, read } => SinspSaid::Ended { complete, drops, read },
            Line::Start { .. } => SinspSaid::Remark { text: String::from_utf8_lossy(text).into_owned() },
            Line::Remark(text) => SinspSaid::Remark { text },
            Line::Garbage(why) => unreadable(text, bytes, why),
        }
    }

    fn refine(&mut self) {
        // A step widens what is told from then on, so nothing more needs to be said of it.
        let _ = self.alignment.refine(FURTHER_READINGS);
    }
}

fn unreadable(text: &[u8], bytes: u64, why: String) -> SinspSaid {
    let text = String::from_utf8_lossy(&text[..text.len().min(EXCERPT)]).into_owned();
    SinspSaid::Unreadable { text, bytes, why }
}

/// Reads until the stream ends.
pub(super) fn read(stream: impl Read, recorder: &Recorder, mut translator: Translator, progress: &Progress) {
    let mut stream = BufReader::with_capacity(1 << 16, stream);
    let mut refined = Instant::now();
    loop {
        let line = match lines::next(&mut stream) {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(error) => {
                let text = format!("its output could not be read: {error}");
                recorder.record(Source::Sinsp, Event::Sinsp(SinspSaid::Remark { text }));
                break;
            }
        };
        // Cheap beside an event, and so a step of the clock is noticed soon.
        if refined.elapsed() > Duration::from_millis(100) {
            translator.refine();
            refined = Instant::now();
        }
        take(line, recorder, &translator, progress);
    }
    progress.note(|seen| seen.closed = true);
}

fn take(line: RawLine, recorder: &Recorder, translator: &Translator, progress: &Progress) {
    if !line.is_whole() {
        let why = if line.ended { "it is longer than any event" } else { "the stream ended within it" };
        let said = unreadable(&line.kept, line.bytes, why.into());
        return recorder.record(Source::Sinsp, Event::Sinsp(said));
    }
    let parsed = format::parse(translator.format, &line.kept);
    let versions = match &parsed {
        Line::Start { api, library, unknown } => {
            Some(Versions { api: api.clone(), library: library.clone(), unknown: unknown.clone() })
        }
        _ => None,
    };
    let said = translator.translate(parsed, &line.kept, line.bytes);
    recorder.record(Source::Sinsp, Event::Sinsp(said.clone()));
    // Only now: whoever waits for it finds it in the history.
    progress.note(|seen| match said {
        SinspSaid::Sentinel { number, cpu, .. } => drop(seen.sentinels.entry(number).or_default().insert(cpu)),
        SinspSaid::Ended { .. } => seen.ended = true,
        _ => seen.versions = versions.or(seen.versions.take()),
    });
}

/// Keeps the last of what the program says to people, and takes its statistics from there.
pub(super) fn read_errors(stream: impl Read, format: SinspFormat, recorder: &Recorder, progress: &Progress) {
    const KEPT: usize = 4096;
    let mut stream = BufReader::new(stream);
    let mut statistics = Statistics::default();
    while let Ok(Some(line)) = lines::next(&mut stream) {
        let text = String::from_utf8_lossy(&line.kept[..line.kept.len().min(EXCERPT)]).into_owned();
        progress.note(|seen| {
            if seen.errors.len() + text.len() > KEPT {
                seen.errors.clear();
            }
            seen.errors += &text;
            seen.errors.push('\n');
        });
        let ended = statistics.take(&text).filter(|_| format == SinspFormat::Sysdig);
        recorder.record(Source::Sinsp, Event::Sinsp(SinspSaid::Remark { text }));
        if let Some(Line::End { complete, drops, read }) = ended {
            recorder.record(Source::Sinsp, Event::Sinsp(SinspSaid::Ended { complete, drops, read }));
        }
    }
    progress.note(|seen| seen.errors_closed = true);
}

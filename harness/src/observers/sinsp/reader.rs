//! Reads what the program prints, line by line, and appends it to the history.

use std::collections::{BTreeSet, HashMap};
use std::io::{BufReader, Read};
use std::time::{Duration, Instant};

use super::format::{self, Line, Statistics};
use super::lines::{self, RawLine};
use super::schema::Schema;
use crate::clock::Alignment;
use crate::history::{Event, Recorder, SinspEvent, SinspFormat, SinspSaid, Source};
use crate::observers::fence::{Awaited, TakesSentinels};
use crate::observers::monitor::Monitor;

/// The number of the sentinels that are made before the first fence.
pub(super) const FIRST: u64 = 0;

/// As much is kept of a line that cannot be read.
const EXCERPT: usize = 2048;

/// What the reader has seen, for those who wait for it.
pub(super) type Progress = Monitor<Seen>;

#[derive(Default)]
pub(super) struct Seen {
    /// The fence that is waited for.
    pub(super) awaited: Awaited,
    /// CPUs from which the sentinels of a fence came back, by its number.
    pub(super) sentinels: HashMap<u64, BTreeSet<u32>>,
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
    pub(super) driver: Option<portwitness_kmod::Versions>,
    pub(super) library: Option<String>,
    pub(super) unknown: Option<String>,
}

impl Seen {
    /// Those that came back already count for the fence that is waited for.
    fn count(&mut self) {
        let came = self.sentinels.get(&self.awaited.number);
        came.into_iter().flatten().for_each(|cpu| self.awaited.came(*cpu));
    }
}

impl TakesSentinels for Progress {
    fn awaited<R>(&self, change: impl FnOnce(&mut Awaited) -> R) -> R {
        self.change(|seen| {
            let result = change(&mut seen.awaited);
            seen.count();
            result
        })
    }

    /// The program reads when it likes.
    fn hurry(&self) {}

    fn wait(&self, time: Duration) -> Result<(), String> {
        self.wait(time, |seen| seen.closed || seen.awaited.is_complete());
        if self.look(|seen| seen.closed) { Err("its output is at an end".into()) } else { Ok(()) }
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
    progress.change(|seen| seen.closed = true);
}

fn take(line: RawLine, recorder: &Recorder, translator: &Translator, progress: &Progress) {
    if !line.is_whole() {
        let why = if line.ended { "it is longer than any event" } else { "the stream ended within it" };
        let said = unreadable(&line.kept, line.bytes, why.into());
        return recorder.record(Source::Sinsp, Event::Sinsp(said));
    }
    let parsed = format::parse(translator.format, &line.kept);
    let versions = match &parsed {
        Line::Start { driver, library, unknown } => {
            Some(Versions { driver: *driver, library: library.clone(), unknown: unknown.clone() })
        }
        _ => None,
    };
    let said = translator.translate(parsed, &line.kept, line.bytes);
    recorder.record(Source::Sinsp, Event::Sinsp(said.clone()));
    // Only now: whoever waits for it finds it in the history.
    progress.change(|seen| match said {
        SinspSaid::Sentinel { number, cpu, .. } => {
            seen.sentinels.entry(number).or_default().insert(cpu);
            seen.count();
        }
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
        progress.change(|seen| {
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
    progress.change(|seen| seen.errors_closed = true);
}

//! Runs of the sinsp suite that were recorded in a VM, ten cases each, judged again with another stream in their place.

use std::io::Cursor;

use portwitness::checks::{self, Judgement};
use portwitness::clock::{Alignment, Reading};
use portwitness::history::{Event, History, Record, RunInfo, SinspFormat, SinspSaid, Source};
use portwitness::observers::sinsp::{Schema, Translator};
use reference_sinsp::{Fault, Liar};
use serde_json::json;

/// The schema that the suite has for our own program.
pub(crate) const SCHEMA: &str = include_str!("../../sinsp/schema/sinsp-events.json");

/// Our own program on Debian 12's driver of 2022 and on sid's, sysdig and sinsp-example on both; and our own and sinsp-example
/// on Debian 13's.
pub(crate) const RUNS: [(&str, &[u8]); 8] = [
    ("API 1", include_bytes!("api-1.jsonl.zst")),
    ("API 8", include_bytes!("api-8.jsonl.zst")),
    ("sysdig", include_bytes!("sysdig.jsonl.zst")),
    ("sinsp-example", include_bytes!("sinsp-example.jsonl.zst")),
    ("sinsp-example 0.23", include_bytes!("sinsp-example-0.23.jsonl.zst")),
    ("sysdig 0.41", include_bytes!("sysdig-0.41.jsonl.zst")),
    ("API 8, schema 3", include_bytes!("api-8-schema-3.jsonl.zst")),
    ("sinsp-example 0.20", include_bytes!("sinsp-example-0.20.jsonl.zst")),
];

/// What a run's program prints.
pub(crate) fn format(records: &[Record]) -> SinspFormat {
    let format = records.iter().find_map(|record| match &record.event {
        Event::Sinsp(SinspSaid::Started(capture)) => Some(capture.format),
        _ => None,
    });
    format.expect("nothing was captured")
}

fn schema(format: SinspFormat) -> &'static str {
    match format {
        SinspFormat::SinspEvents => SCHEMA,
        SinspFormat::Sysdig => include_str!("../../sinsp/schema/sysdig.json"),
        SinspFormat::SinspExample => include_str!("../../sinsp/schema/sinsp-example.json"),
    }
}

pub(crate) fn load(packed: &[u8]) -> (RunInfo, Vec<Record>) {
    let text = String::from_utf8(zstd::decode_all(Cursor::new(packed)).unwrap()).unwrap();
    let mut lines = text.lines();
    let run: RunInfo = serde_json::from_str(lines.next().unwrap()).unwrap();
    (run, lines.map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// The run with its stream told anew, by a liar or not, and read as if it came from a program.
pub(crate) fn told(run: &RunInfo, records: &[Record], fault: Option<Fault>) -> History {
    let offset = &run.realtime;
    let realtime = (offset.at.0 + offset.uncertainty_ns / 2).wrapping_add_signed(offset.offset_ns);
    let reading = Reading { before: offset.at.0, realtime, after: offset.at.0 + offset.uncertainty_ns };
    let format = format(records);
    let schema = Schema::parse(schema(format)).unwrap();
    let translator = Translator::aligned(format, schema, Alignment::new(reading));
    let mut liar = Liar::new(fault);
    let mut all = Vec::new();
    for record in records {
        let Some(line) = line_of(record, format) else {
            all.push(record.clone());
            continue;
        };
        for line in liar.tell(&line).0 {
            let event = Event::Sinsp(translator.said(line.as_bytes()));
            all.push(Record { at: record.at, uncertainty_ns: 0, source: Source::Sinsp, event });
        }
    }
    History::new(run.clone(), all)
}

/// The number of the first descriptor whose close is a sentinel.
const SENTINELS: u64 = 0x5057_0000;

/// The line that a record was read from.
fn line_of(record: &Record, format: SinspFormat) -> Option<String> {
    match &record.event {
        Event::Sinsp(SinspSaid::Event(event)) => Some(event.line.to_string()),
        Event::Sinsp(SinspSaid::Sentinel { number, cpu, .. }) if format != SinspFormat::SinspEvents => {
            let fd = SENTINELS + number;
            let line = json!({"evt.type": "close", "evt.dir": ">", "evt.cpu": cpu, "evt.args": format!("fd={fd} ")});
            Some(line.to_string())
        }
        Event::Sinsp(SinspSaid::Sentinel { number, cpu, drops, read }) => {
            let line = json!({"type": "fence", "number": number, "cpu": cpu, "drops": drops, "read": read});
            Some(line.to_string())
        }
        _ => None,
    }
}

pub(crate) fn judged(history: &History) -> Judgement {
    checks::judge(history)
}

#[test]
fn recorded_streams_of_every_driver_pass() {
    for (name, packed) in RUNS {
        let (run, records) = load(packed);
        for history in [History::new(run.clone(), records.clone()), told(&run, &records, None)] {
            let judgement = judged(&history);
            assert_eq!(judgement.cases.len(), 10, "{name}");
            for case in &judgement.cases {
                assert!(case.verdict.passed(), "{name} {}: {}", case.planned.case, case.verdict);
                // Without that of fields, of which sinsp-example has none.
                assert!(case.checks.len() >= 8, "{name} {}: {:?}", case.planned.case, case.checks);
            }
        }
    }
}

/// Only sinsp-example 0.23 prints no direction: a line of an older one without it is wrong, but for an exit of 0.20, which looks
/// just the same.
#[test]
fn a_direction_is_missed_where_the_program_has_one() {
    let reading = Reading { before: 0, realtime: 0, after: 0 };
    let schema = Schema::parse(schema(SinspFormat::SinspExample)).unwrap();
    let translator = Translator::aligned(SinspFormat::SinspExample, schema, Alignment::new(reading));
    for (index, has_one, alike) in [(3, true, "nothing"), (4, false, "res="), (7, true, "res=")] {
        let (_, records) = load(RUNS[index].1);
        let lines = records.iter().filter_map(|record| match &record.event {
            Event::Sinsp(SinspSaid::Event(event)) if event.line.get("evt.category").is_none() => {
                Some(event.line.clone())
            }
            _ => None,
        });
        let mut looked_at = 0;
        for mut line in lines {
            let had = line.as_object_mut().unwrap().remove("evt.dir").is_some();
            assert_eq!(had, has_one, "{line}");
            let alike = line["evt.args"].as_str().unwrap().starts_with(alike);
            let SinspSaid::Event(read) = translator.said(line.to_string().as_bytes()) else { panic!("{line}") };
            assert_eq!(read.flaws.is_empty(), alike, "{line}: {:?}", read.flaws);
            looked_at += usize::from(has_one != alike);
        }
        assert!(looked_at > 10, "{looked_at}");
    }
}

/// sysdig 0.41 alone does not say of an enter that it has not failed; whoever says nothing of an exit is wrong.
#[test]
fn whether_a_call_failed_is_missed_where_the_program_says_it() {
    let reading = Reading { before: 0, realtime: 0, after: 0 };
    let schema = Schema::parse(schema(SinspFormat::Sysdig)).unwrap();
    let translator = Translator::aligned(SinspFormat::Sysdig, schema, Alignment::new(reading));
    for (index, is_newer) in [(2, false), (5, true)] {
        let (_, records) = load(RUNS[index].1);
        let mut looked_at = [0, 0];
        for record in &records {
            let Event::Sinsp(SinspSaid::Event(event)) = &record.event else { continue };
            let mut line = event.line.clone();
            line["evt.failed"] = serde_json::Value::Null;
            let enters = line["evt.dir"] == ">";
            let SinspSaid::Event(read) = translator.said(line.to_string().as_bytes()) else { panic!("{line}") };
            assert_eq!(read.flaws.is_empty(), is_newer && enters, "{line}: {:?}", read.flaws);
            looked_at[usize::from(enters)] += 1;
        }
        assert!(looked_at.iter().all(|count| *count > 5), "{looked_at:?}");
    }
}

/// The schema decides, where it was recorded: one API has had two of them.
#[test]
fn a_stream_is_judged_by_the_schema_of_its_driver() {
    for (index, schema, word, says) in [
        (6, Some("3.5.0"), "pass", ""),
        (6, Some("4.1.0"), "fail", ""),
        (6, None, "fail", ""),
        (6, Some("9.0.0"), "unknown", "which events a driver of API 8.0.3, schema 9.0.0 gives is not known"),
        (1, None, "pass", ""),
        (1, Some("3.5.0"), "fail", ""),
    ] {
        let (run, mut records) = load(RUNS[index].1);
        for record in &mut records {
            if let Event::Sinsp(SinspSaid::Started(capture)) = &mut record.event {
                capture.schema = schema.map(str::to_owned);
            }
        }
        let judgement = judged(&History::new(run, records));
        assert_eq!(judgement.cases.len(), 10);
        for case in &judgement.cases {
            let verdict = case.verdict.to_string();
            assert!(
                case.verdict.word() == word && verdict.contains(says),
                "{} by {schema:?}: {verdict}",
                RUNS[index].0
            );
        }
    }
}

/// Which records are left out.
type Picks = fn(&Event) -> bool;

#[test]
fn without_the_statement_or_the_stream_nothing_is_judged() {
    for (name, packed) in RUNS {
        let (run, records) = load(packed);
        let without = |drop: Picks| {
            let left = records.iter().filter(|record| !drop(&record.event)).cloned().collect();
            judged(&History::new(run.clone(), left))
        };
        let all: [(&str, Picks); 4] = [
            ("statement", |event| matches!(event, Event::Stated(_))),
            ("fence", |event| matches!(event, Event::Sinsp(SinspSaid::Fenced { .. }))),
            ("beginning", |event| matches!(event, Event::Sinsp(SinspSaid::Started(_)))),
            ("whole stream", |event| matches!(event, Event::Sinsp(_))),
        ];
        for (what, drop) in all {
            for case in without(drop).cases {
                assert_eq!(case.verdict.word(), "unknown", "{name} without its {what}: {}", case.verdict);
            }
        }
    }
}

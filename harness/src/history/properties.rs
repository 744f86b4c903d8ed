//! Whatever is recorded is read back as it was; whatever else lies in a file is read or refused by name, never a panic.
#![allow(clippy::unwrap_used)]

pub(crate) mod arbitrary;

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::{History, HistoryError, Record, Recorder, RunInfo};
use crate::properties::config;

/// A file of its own in a folder that lives as long as the test.
fn file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.jsonl");
    (folder, path)
}

fn record(path: &Path, run: &RunInfo, records: &[Record]) {
    let recorder = Recorder::create(path, run.clone()).unwrap();
    records.iter().for_each(|record| recorder.append(record.clone()));
    recorder.finish().unwrap();
}

/// The first line, from the second on, that is no record, where the reader may not take it for one that broke off.
fn first_bad_line(bytes: &[u8]) -> Option<usize> {
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let bad = (1..lines.len()).find(|at| serde_json::from_slice::<Record>(lines[*at]).is_err())?;
    lines[bad].ends_with(b"\n").then_some(bad + 1)
}

/// Reads it, and checks that an error names the place.
fn read(path: &Path, bytes: &[u8]) -> Result<(), TestCaseError> {
    std::fs::write(path, bytes).unwrap();
    let loaded = History::load(path);
    let header = bytes.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
    match loaded {
        Ok(history) => {
            prop_assert!(history.records.is_sorted_by_key(|record| record.at));
            prop_assert_eq!(first_bad_line(bytes), None, "a broken line was passed over");
            // Whatever was recorded can be judged, and the judgement shown.
            let judgement = crate::checks::judge(&history);
            prop_assert!(judgement.verdict != crate::checks::Verdict::Pass || !history.run.cases.is_empty());
        }
        Err(error) => {
            let text = error.to_string();
            prop_assert!(text.contains(path.to_str().unwrap()), "{}", text);
            if let HistoryError::BadLine { line, .. } = error {
                prop_assert_eq!(first_bad_line(bytes), Some(line));
                prop_assert!(text.contains(&format!("history.jsonl:{line} ")), "{}", text);
            } else {
                let fine = serde_json::from_slice::<serde_json::Value>(header).is_ok_and(|header| {
                    header["portwitness_history"] == super::FORMAT_VERSION
                        && serde_json::from_value::<RunInfo>(header).is_ok()
                });
                prop_assert!(!fine, "a good header was refused: {}", text);
            }
        }
    }
    Ok(())
}

/// One way to damage a file.
#[derive(Clone, Debug)]
enum Damage {
    Flip {
        at: usize,
        bits: u8,
    },
    Cut {
        at: usize,
    },
    Overwrite {
        at: usize,
        with: Vec<u8>,
    },
    Insert {
        at: usize,
        what: String,
    },
    DuplicateLine {
        line: usize,
        to: usize,
    },
    SwapLines {
        one: usize,
        other: usize,
    },
    /// Another value in place of the one after the n-th colon.
    Replace {
        colon: usize,
        value: String,
    },
}

fn damage() -> impl Strategy<Value = Damage> {
    let value = prop::sample::select(vec![
        "null",
        "-1",
        "1e400",
        "18446744073709551616",
        "18446744073709551615",
        "-9223372036854775808",
        "0.5",
        "\"\"",
        "[]",
        "{}",
        "true",
        "\"0xffffffffffffffffffff\"",
        "\"127.0.0.1:65536\"",
        "[[[[[[1]]]]]]",
        "2",
    ]);
    prop_oneof![
        (any::<usize>(), 1u8..).prop_map(|(at, bits)| Damage::Flip { at, bits }),
        any::<usize>().prop_map(|at| Damage::Cut { at }),
        (any::<usize>(), prop::collection::vec(any::<u8>(), 1..20))
            .prop_map(|(at, with)| Damage::Overwrite { at, with }),
        (
            any::<usize>(),
            prop_oneof![Just("[".repeat(100_000)), Just("{\"a\":".repeat(300)), Just("\n".into()), any::<String>()]
        )
            .prop_map(|(at, what)| Damage::Insert { at, what }),
        any::<(usize, usize)>().prop_map(|(line, to)| Damage::DuplicateLine { line, to }),
        any::<(usize, usize)>().prop_map(|(one, other)| Damage::SwapLines { one, other }),
        (any::<usize>(), value).prop_map(|(colon, value)| Damage::Replace { colon, value: value.into() }),
    ]
}

fn apply(damage: &Damage, bytes: &mut Vec<u8>) {
    let length = bytes.len().max(1);
    let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let count = lines.len().max(1);
    match damage {
        Damage::Flip { at, bits } => bytes[at % length] ^= bits,
        Damage::Cut { at } => bytes.truncate(at % length),
        Damage::Overwrite { at, with } => {
            let at = at % length;
            let end = bytes.len().min(at + with.len());
            bytes.splice(at..end, with.iter().copied());
        }
        Damage::Insert { at, what } => drop(bytes.splice(at % length..at % length, what.bytes())),
        Damage::DuplicateLine { line, to } => {
            lines.insert(to % count, lines[line % count].clone());
            *bytes = lines.concat();
        }
        Damage::SwapLines { one, other } => {
            lines.swap(one % count, other % count);
            *bytes = lines.concat();
        }
        Damage::Replace { colon, value } => {
            let colons: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == b':').collect();
            let Some(colon) = colons.get(colon % colons.len().max(1)) else { return };
            let is_end = |at: &usize| matches!(bytes[*at], b',' | b'}' | b'\n');
            let end = (colon + 1..bytes.len()).find(is_end).unwrap_or(bytes.len());
            bytes.splice(colon + 1..end, value.bytes());
        }
    }
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn what_is_recorded_is_read_back(run in arbitrary::run(), records in prop::collection::vec(arbitrary::record(), 0..12)) {
        let (_folder, path) = file();
        record(&path, &run, &records);
        let read = History::load(&path).unwrap();
        let found: &RunInfo = &read.run;
        prop_assert_eq!(found, &run);
        prop_assert_eq!(read.cut_at_line, None);
        prop_assert_eq!(read.records, History::new(run, records).records);
    }

    #[test]
    fn a_line_is_one_line(record in arbitrary::record()) {
        prop_assert!(!serde_json::to_string(&record).unwrap().contains(['\n', '\r']));
    }

    #[test]
    fn a_damaged_history_is_read_or_refused_by_name(
        run in arbitrary::run(),
        records in prop::collection::vec(arbitrary::record(), 1..8),
        damages in prop::collection::vec(damage(), 1..4),
    ) {
        let (_folder, path) = file();
        record(&path, &run, &records);
        let mut bytes = std::fs::read(&path).unwrap();
        for damage in &damages {
            if !bytes.is_empty() {
                apply(damage, &mut bytes);
            }
        }
        read(&path, &bytes)?;
    }

    #[test]
    fn any_bytes_are_read_or_refused_by_name(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let (_folder, path) = file();
        read(&path, &bytes)?;
        // The same behind a good header.
        record(&path, &arbitrary::plain_run(), &[]);
        let mut whole = std::fs::read(&path).unwrap();
        whole.extend(bytes);
        read(&path, &whole)?;
    }
}

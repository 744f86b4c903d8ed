//! JSON lines on standard output, one a verdict, for programs; and `report.json`.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use super::{Report, Reporter};
use crate::checks::CaseJudgement;
use crate::history::{PlannedCase, RunInfo};

/// Writes `report.json`.
pub fn write(report: &Report, path: &Path) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(report)?;
    text.push(b'\n');
    super::write_whole(path, &text)
}

/// Prints a line for the run, one for each case as it is judged, and one at the end.
pub struct Lines;

/// What stands in a line.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Line<'a> {
    Run { run: &'a RunInfo, watched_by: &'a str, place: Cow<'a, str> },
    Case(&'a CaseJudgement),
    End { verdict: &'static str, exit_code: u8, place: Cow<'a, str>, report: &'a Report },
}

impl Reporter for Lines {
    fn begin(&mut self, run: &RunInfo, watched_by: &str, place: &Path) {
        print(&Line::Run { run, watched_by, place: place.to_string_lossy() });
    }

    fn doing(&mut self, _what: &str) {}

    fn case_begins(&mut self, _case: &PlannedCase) {}

    fn case_judged(&mut self, case: &CaseJudgement) {
        print(&Line::Case(case));
    }

    fn end(&mut self, report: &Report, place: &Path) {
        let verdict = report.judgement.verdict.word();
        print(&Line::End { verdict, exit_code: report.exit_code, place: place.to_string_lossy(), report });
    }
}

fn print(line: &Line<'_>) {
    // A reader that went away loses its lines, not the run.
    let _ = bytes(line).map_err(io::Error::from).and_then(|line| io::stdout().lock().write_all(&line));
}

/// The line with its end: whole, or not at all.
pub(super) fn bytes(line: &Line<'_>) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    Ok(bytes)
}

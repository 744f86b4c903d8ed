//! JSON lines on standard output, one a verdict, for programs; and `report.json`.

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

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'a> {
    Run { run: &'a RunInfo, watched_by: &'a str, place: &'a Path },
    Case(&'a CaseJudgement),
    End { verdict: &'static str, exit_code: u8, place: &'a Path, report: &'a Report },
}

impl Reporter for Lines {
    fn begin(&mut self, run: &RunInfo, watched_by: &str, place: &Path) {
        print(&Line::Run { run, watched_by, place });
    }

    fn doing(&mut self, _what: &str) {}

    fn case_begins(&mut self, _case: &PlannedCase) {}

    fn case_judged(&mut self, case: &CaseJudgement) {
        print(&Line::Case(case));
    }

    fn end(&mut self, report: &Report, place: &Path) {
        let verdict = report.judgement.verdict.word();
        print(&Line::End { verdict, exit_code: report.exit_code, place, report });
    }
}

fn print(line: &Line<'_>) {
    let mut out = io::stdout().lock();
    // A reader that went away loses its lines, not the run.
    let _ = serde_json::to_writer(&mut out, line).map_err(io::Error::from).and_then(|()| writeln!(out));
}

//! What people and programs get to read of a run. Reports see verdicts, never observers.

pub mod json;
pub mod junit;
#[cfg(test)]
mod properties;
mod ranges;
pub mod terminal;

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::checks::{CaseJudgement, Judgement};
use crate::history::{PlannedCase, RunInfo};

/// A run with its verdicts, as `report.json` holds it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// What was run.
    pub run: RunInfo,
    /// Every verdict and figure.
    #[serde(flatten)]
    pub judgement: Judgement,
    /// What else the reader should know: an interruption, a history that breaks off.
    pub notes: Vec<String>,
    /// The exit code of the run.
    pub exit_code: u8,
}

/// Something that follows a run while it goes on.
pub trait Reporter {
    /// The run begins: this many cases, on this system.
    fn begin(&mut self, run: &RunInfo, watched_by: &str, place: &Path);
    /// The system is being started, or brought to where a case begins.
    fn doing(&mut self, what: &str);
    /// A case begins.
    fn case_begins(&mut self, case: &PlannedCase);
    /// A case was judged.
    fn case_judged(&mut self, case: &CaseJudgement);
    /// The run is over.
    fn end(&mut self, report: &Report, place: &Path);
}

/// Tells several reporters.
pub struct Everyone(pub Vec<Box<dyn Reporter>>);

impl Reporter for Everyone {
    fn begin(&mut self, run: &RunInfo, watched_by: &str, place: &Path) {
        self.0.iter_mut().for_each(|reporter| reporter.begin(run, watched_by, place));
    }

    fn doing(&mut self, what: &str) {
        self.0.iter_mut().for_each(|reporter| reporter.doing(what));
    }

    fn case_begins(&mut self, case: &PlannedCase) {
        self.0.iter_mut().for_each(|reporter| reporter.case_begins(case));
    }

    fn case_judged(&mut self, case: &CaseJudgement) {
        self.0.iter_mut().for_each(|reporter| reporter.case_judged(case));
    }

    fn end(&mut self, report: &Report, place: &Path) {
        self.0.iter_mut().for_each(|reporter| reporter.end(report, place));
    }
}

/// Writes a file that is there as a whole or not at all, whatever happens meanwhile.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let written = std::fs::write(&new, bytes).and_then(|()| std::fs::rename(&new, path));
    written.inspect_err(|_| {
        // Half a report is worse than none.
        let _ = std::fs::remove_file(&new);
    })
}

/// Bytes for people: `97.3 MB` (10^6).
pub(crate) fn megabytes(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

//! `judge`: the verdicts of a stored run, from its history alone.

use std::path::PathBuf;

use clap::Args;

use super::CliError;
use crate::checks;
use crate::exit_code::Exit;
use crate::history::History;
use crate::report::{Report, Reporter, json, terminal};
use crate::store::RunDir;

#[derive(Args)]
pub(super) struct Options {
    /// A run directory, or a history.jsonl.
    run_dir: PathBuf,
    /// JSON lines on standard output instead of the text on standard error.
    #[arg(long)]
    json: bool,
}

pub(super) fn judge(options: &Options) -> Result<Exit, CliError> {
    let path = match options.run_dir.is_dir() {
        true => RunDir::open(&options.run_dir).history(),
        false => options.run_dir.clone(),
    };
    let history = History::load(&path)?;
    let judgement = checks::judge(&history);
    let mut notes = Vec::new();
    if let Some(line) = history.cut_at_line {
        let records = history.records.len();
        notes.push(format!("{} breaks off in line {line}: judged by the {records} records before it", path.display()));
    }
    let exit = Exit::of(&judgement.verdict);
    let report = Report { run: history.run, judgement, notes, exit_code: exit as u8 };
    if options.json {
        let mut lines = json::Lines;
        for case in &report.judgement.cases {
            lines.case_judged(case);
        }
        lines.end(&report, &options.run_dir);
    } else {
        terminal::to_stderr(&terminal::render(&report));
    }
    Ok(exit)
}

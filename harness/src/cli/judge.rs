//! `judge`: the verdicts of a stored run, from its history alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::CliError;
use crate::checks;
use crate::exit_code::Exit;
use crate::history::HistoryReader;
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
    check(&path)?;
    let mut reader = HistoryReader::open(&path)?;
    let run = reader.run().clone();
    if run.cases.is_empty() {
        let why = "has no cases, so there is nothing to judge: `record` keeps what happened, for people to read";
        return Err(CliError::new(Exit::NothingRan, anyhow::anyhow!("{} {why}", path.display())));
    }
    let mut records = 0_usize;
    let judgement = checks::judge_stream(Arc::new(run.clone()), reader.by_ref().inspect(|_| records += 1))?;
    let mut notes = Vec::new();
    if let Some(line) = reader.cut_at_line() {
        notes.push(format!("{} breaks off in line {line}: judged by the {records} records before it", path.display()));
    }
    let exit = Exit::of(&judgement.verdict);
    let report = Report { run, judgement, notes, exit_code: exit as u8 };
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

/// Whether there is a file to read, which ends.
fn check(path: &Path) -> Result<(), CliError> {
    let takes = "`judge` takes a run directory or its history.jsonl";
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(()),
        Ok(_) => Err(anyhow::anyhow!("{} is not a regular file; {takes}", path.display()).into()),
        Err(error) => Err(anyhow::anyhow!("could not read {}: {error}; {takes}", path.display()).into()),
    }
}

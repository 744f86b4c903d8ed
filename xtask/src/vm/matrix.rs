//! What works on which kernel: a boot of each, what is tried there, and the table of the README.

use std::process::ExitCode;

use super::guest::{Ended, Guest, load};
use super::options::Options;
use super::steps::{Outcome, Step};
use crate::debian::Series;
use crate::kmod;
use crate::test::{MODULE_TESTS, Programs, module_tests};
use crate::workspace::Workspace;

/// The rungs of the observers, each with the test that opens and closes a port under its eyes.
const RUNGS: [&str; 4] = ["tp_btf", "raw_tp", "tracepoint", "sock_diag"];

/// Seconds; a step takes some seconds of a translated guest.
const DEADLINE: u64 = 60;

/// A row of the table.
#[derive(Debug, Default, PartialEq)]
struct Row {
    kernel: String,
    boot: String,
    rungs: String,
    scap: String,
    kmod: String,
    sinsp: String,
    code: u8,
}

/// Boots each kernel, tries everything, and prints the table; the exit code is the worst of the rows.
pub(super) fn show(workspace: &Workspace, options: &Options) -> anyhow::Result<ExitCode> {
    let programs = Programs::build(workspace)?;
    let mut rows = Vec::new();
    for &series in &options.kernels {
        rows.push(row(workspace, options, &programs, series).unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            let kernel = format!("{series}: {}", error.to_string().lines().next().unwrap_or_default());
            Row { kernel, code: crate::SETUP_FAILED, ..Row::default() }
        }));
    }
    print!("{}", table(&rows));
    Ok(ExitCode::from(rows.iter().map(|row| row.code).max().unwrap_or(crate::SETUP_FAILED)))
}

fn row(workspace: &Workspace, options: &Options, programs: &Programs, series: Series) -> anyhow::Result<Row> {
    let guest = Guest::prepare(workspace, options, series)?;
    let (ended, outcomes) = guest.run_steps(&steps(workspace, programs, &guest)?)?;
    eprintln!("vm: {}: {ended}", guest.release());
    Ok(Row::of(&guest, &ended, &outcomes))
}

fn steps(workspace: &Workspace, programs: &Programs, guest: &Guest<'_>) -> anyhow::Result<Vec<Step>> {
    let tests = programs.test("harness")?;
    let mut steps: Vec<_> = RUNGS
        .iter()
        .map(|rung| {
            Step::new(rung, DEADLINE, &[&tests, "--exact", &format!("observers::ladder::{rung}")])
                .saying("test result: ok. 1 passed")
        })
        .collect();
    if let Some(module) = guest.module() {
        let xtask = workspace.program.display().to_string();
        let events = kmod::events_for(workspace, guest.library())?.display().to_string();
        let load = load(workspace, module);
        steps.push(module_tests(programs, module)?);
        steps.push(Step::new("load", DEADLINE, &load.iter().map(String::as_str).collect::<Vec<_>>()));
        steps.push(Step::new(SCAP, DEADLINE, &[&xtask, "kmod", "status"]).saying("by `cargo xtask kmod load`"));
        steps.push(Step::new(SINSP, DEADLINE, &[&events, "-n", "20"]).saying("\"complete\":true"));
        steps.push(Step::new("unload", DEADLINE, &[&xtask, "kmod", "unload"]).saying("is unloaded"));
    }
    Ok(steps)
}

/// Names of the steps that have columns of their own.
const SCAP: &str = "scap";
const SINSP: &str = "sinsp";

impl Row {
    fn of(guest: &Guest<'_>, ended: &Ended, outcomes: &[Outcome]) -> Self {
        let cell =
            |name: &str, shown: &dyn Fn(&Outcome) -> String| match outcomes.iter().find(|outcome| outcome.name == name)
            {
                Some(outcome) if outcome.good => shown(outcome),
                Some(_) => "**fails**".to_owned(),
                None => "no".to_owned(),
            };
        let rungs = RUNGS.iter().filter(|&&rung| outcomes.iter().any(|outcome| outcome.name == rung && outcome.good));
        Self {
            kernel: guest.release().to_owned(),
            boot: format!("{:.1} s on {}", ended.boot.as_secs_f64(), ended.accelerator),
            rungs: rungs.copied().collect::<Vec<_>>().join(", "),
            // Of `scap: VERSION is loaded by ...; API A, schema S; N users`.
            scap: cell(SCAP, &|outcome| outcome.said.split("; ").nth(1).unwrap_or_default().to_owned()),
            kmod: cell(MODULE_TESTS, &|_| "pass".to_owned()),
            sinsp: cell(SINSP, &|_| "yes".to_owned()),
            code: ended.code,
        }
    }
}

fn table(rows: &[Row]) -> String {
    let mut table =
        "| kernel | up after | observers that hold their bounds | scap module | tests of kmod | libsinsp reads it | exit code |\n\
                     |---|---:|---|---|---|---|---:|\n"
            .to_owned();
    for Row { kernel, boot, rungs, scap, kmod, sinsp, code } in rows {
        table += &format!("| {kernel} | {boot} | {rungs} | {scap} | {kmod} | {sinsp} | {code} |\n");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_line_of_markdown() {
        let row = Row {
            kernel: "6.1.0-56-amd64".to_owned(),
            boot: "6.4 s on tcg".to_owned(),
            rungs: "tp_btf, raw_tp".to_owned(),
            scap: "API 1.0.0, schema 1.0.0".to_owned(),
            kmod: "pass".to_owned(),
            sinsp: "yes".to_owned(),
            code: 0,
        };
        let table = table(&[row]);
        let line = "| 6.1.0-56-amd64 | 6.4 s on tcg | tp_btf, raw_tp | API 1.0.0, schema 1.0.0 | pass | yes | 0 |";
        assert_eq!(table.lines().nth(2), Some(line), "{table}");
    }
}

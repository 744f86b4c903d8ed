//! `list`: the cases of the suites, with their place in the specification.

use clap::Args;

use super::run::Selection;
use super::{CliError, find_suite};
use crate::exit_code::Exit;
use crate::suite::Suite;

#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    selection: Selection,
    /// One JSON object a case, on standard output.
    #[arg(long)]
    json: bool,
}

pub(super) fn list(suites: &[Suite], options: &Options) -> Result<Exit, CliError> {
    let suite = find_suite(suites, options.selection.suite_name())?;
    let (_, plan) = options.selection.plan(suite)?;
    for group in &plan.groups {
        if !options.json {
            out!("{} ({} cases)", group.name, group.cases.len());
        }
        for case in &group.cases {
            if options.json {
                let line = serde_json::json!({
                    "suite": group.name, "number": case.number, "title": case.title, "spec": case.spec,
                    "checks": case.checks.iter().map(crate::checks::Check::name).collect::<Vec<_>>(),
                });
                out!("{line}");
            } else {
                out!("  {:>5}  {:<60} {}", case.number, case.title, case.spec);
            }
        }
    }
    Ok(Exit::Passed)
}

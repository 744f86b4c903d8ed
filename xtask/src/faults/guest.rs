//! A matrix whose runs take the scap module: they are made in a guest, and compared here.

use std::path::Path;
use std::time::Duration;

use super::Arguments;
use crate::debian::Series;
use crate::kmod;
use crate::vm::{self, Guest, Options, Scap};
use crate::workspace::Workspace;

/// The kernel where none is named: that of Debian 12, whose driver tells of each call as it is entered and as it is left.
const KERNEL: Series = Series::Numbered(6, 1);

/// A run of the suite takes this long, at the most: with a program that falls silent each case waits for its fence in vain, six
/// minutes in all on a busy machine.
const A_RUN: Duration = Duration::from_secs(900);

/// Boots, and makes in the folder `runs` what is asked for, one run at a time: the module has few places for readers. There are
/// so many `faults`, or the correct program alone. Returns the exit code.
///
/// # Errors
/// When there can be no guest, or it falls over.
pub(super) fn run(
    workspace: &Workspace,
    arguments: &Arguments,
    faults: usize,
    suites: &Path,
    runs: &Path,
) -> anyhow::Result<u8> {
    vm::possible(workspace)?;
    let options = Options {
        scap: Scap::Always,
        out: Some(runs.to_owned()),
        deadline: A_RUN * if arguments.none { 1 } else { faults as u32 } * u32::from(arguments.repeat),
        ..Options::default()
    };
    let guest = Guest::prepare(workspace, &options, arguments.kernel.unwrap_or(KERNEL))?;
    kmod::events_for(workspace, guest.library())?;
    let program = [workspace.program.as_path(), Path::new("faults")].map(|word| word.display().to_string());
    let inside = ["--run-only", "--jobs", "1", "--runs", "/out", "--suites"].map(str::to_owned);
    let ended = guest.run(&[&program[..], &asked(arguments), &inside, &[suites.display().to_string()]].concat())?;
    eprintln!("vm: {}: {ended}", guest.release());
    Ok(ended.code)
}

/// The words of the command line that say which runs are wanted.
fn asked(arguments: &Arguments) -> Vec<String> {
    let Arguments { names, suite, none, repeat, load, cases, short, expectations, .. } = arguments;
    let mut words = names.clone();
    words.extend(["--suite", suite.suite(), "--repeat", &repeat.to_string()].map(str::to_owned));
    let flags = [(*none, "--none"), (*load, "--load"), (*short, "--short")];
    words.extend(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| (*flag).to_owned()));
    words.extend(cases.iter().flat_map(|case| ["--case".to_owned(), case.clone()]));
    words.extend(expectations.iter().flat_map(|path| ["--expectations".to_owned(), path.display().to_string()]));
    words
}

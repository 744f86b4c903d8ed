//! `cargo xtask faults`: runs a suite on its reference once per fault, and compares what is caught with what should be.

mod compare;
mod document;
mod expected;
mod guest;
mod load;
mod matrix;
mod queue;
mod reference;
mod suite;
mod tally;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Parser;

use crate::debian::Series;
use crate::workspace::{Workspace, is_root};
use crate::{run, setup};
use compare::Compared;
use expected::{Expectations, Fault};
use load::Load;
use queue::Queue;
use reference::Reference;
use suite::{Outcome, Suites, Wanted};

/// Something is not as expected: the same code as the harness gives for a failure.
const NOT_AS_EXPECTED: u8 = 100;
/// As a shell reports SIGINT.
const INTERRUPTED: u8 = 130;
const USAGE_ERROR: u8 = 2;

/// Runs a suite on its reference once per fault: exactly the cases that should fail do.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask faults",
    after_help = "exit codes: 0 as expected, 2 usage, 96 set-up failed, 100 not as expected, \
                                                     130 interrupted"
)]
struct Arguments {
    /// Only these faults (default: all that tests/SUITE/faults.toml names)
    names: Vec<String>,
    /// Whose reference
    #[arg(long, value_enum, default_value_t = Reference::Tunnel)]
    suite: Reference,
    /// Suites that run at once: they sleep most of the time; in a VM one after the other
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Run the correct reference instead: no case may fail
    #[arg(long, conflicts_with_all = ["names", "short", "check"])]
    none: bool,
    /// How often each is run
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    repeat: u16,
    /// Keep every CPU busy meanwhile
    #[arg(long)]
    load: bool,
    /// Only these cases: 2.6, 2.5-2.8 or 2; may be repeated
    #[arg(long = "case", value_name = "NUMBER")]
    cases: Vec<String>,
    /// For each fault only the few cases that faults.toml names as telling
    #[arg(long, conflicts_with = "cases")]
    short: bool,
    /// Run nothing: compare the last runs again, after faults.toml was edited
    #[arg(long, conflicts_with_all = ["none", "load", "cases", "short"])]
    again: bool,
    /// Compare the document with the outcome instead of writing it
    #[arg(long)]
    check: bool,
    /// Linux of the VM, for a suite that takes the scap module: 6.1, 6.12... (default: 6.1)
    #[arg(long, value_name = "SERIES")]
    kernel: Option<Series>,
    /// Leave the comparison to who has this run in a VM
    #[arg(long, hide = true)]
    run_only: bool,
    /// Use this program instead of building one; the reference lies beside it
    #[arg(long, value_name = "PATH", hide = true)]
    suites: Option<PathBuf>,
    /// Where the runs are kept (default: target/faults/SUITE)
    #[arg(long, value_name = "DIR", hide = true)]
    runs: Option<PathBuf>,
    /// Other expectations
    #[arg(long, value_name = "PATH", hide = true)]
    expectations: Option<PathBuf>,
}

/// Parses `args`, sets up, runs, compares, and writes `FAULTS.md` when everything was run.
pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> anyhow::Result<ExitCode> {
    let command = [OsString::from("cargo xtask faults")];
    let arguments = match Arguments::try_parse_from(command.iter().chain(args)) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return Ok(if error.use_stderr() { ExitCode::from(USAGE_ERROR) } else { ExitCode::SUCCESS });
        }
    };
    let of_suite = || workspace.root.join("tests").join(arguments.suite.suite()).join("faults.toml");
    let file = arguments.expectations.clone().unwrap_or_else(of_suite);
    let expectations = Expectations::load(&file)?;
    let faults = match expectations.named(&arguments.names) {
        Ok(faults) => faults,
        Err(unknown) => {
            eprintln!("error: {unknown}");
            return Ok(ExitCode::from(USAGE_ERROR));
        }
    };
    if arguments.kernel.is_some() && !arguments.suite.needs_module() {
        eprintln!("error: --kernel is for the suite sinsp, which runs in a VM");
        return Ok(ExitCode::from(USAGE_ERROR));
    }
    if !is_root() {
        bail!("not root: the suites watch the kernel and make network namespaces; as root: sudo -E cargo xtask faults");
    }
    let program = match &arguments.suites {
        Some(program) => program.clone(),
        None => {
            setup::ensure(workspace)?;
            run::build(workspace)?
        }
    };
    let kept = || workspace.target_dir.join("faults").join(arguments.suite.suite());
    let runs = arguments.runs.clone().unwrap_or_else(kept);
    let suites = Suites::new(arguments.suite, program.clone(), runs.clone())?;
    let began = Instant::now();
    let lacking = expectations.lacking(&suites.faults()?);
    if arguments.names.is_empty() && !arguments.none && !lacking.is_empty() {
        bail!("{} says nothing of: {}", workspace.shown(&file), lacking.join(", "));
    }
    // Runs that are there already: of before, or of a guest.
    let mut stored = arguments.again;
    if arguments.suite.needs_module() && arguments.suites.is_none() && !stored {
        match guest::run(workspace, &arguments, faults.len(), &program, &runs)? {
            0 => stored = true,
            code => return Ok(ExitCode::from(code)),
        }
    }
    let queue = Queue::new(usize::from(arguments.jobs))?;
    let _load = arguments.load.then(Load::start);
    let runs = Runs { suites: &suites, queue: &queue, began, stored, run_only: arguments.run_only };
    if arguments.none {
        return never_cries_wolf(&arguments, &runs);
    }
    fault_by_fault(workspace, &arguments, &runs, &faults, &expectations.cases)
}

/// Where outcomes come from.
struct Runs<'a> {
    suites: &'a Suites,
    queue: &'a Queue,
    began: Instant,
    /// The runs are over.
    stored: bool,
    /// Nobody here wants to know the outcomes.
    run_only: bool,
}

impl Runs<'_> {
    /// The outcomes in the order of `wanted`; or the exit code with which everything ends here.
    fn outcomes(
        &self,
        wanted: &[&Wanted],
        in_short: impl Fn(&Wanted, &Outcome) -> String + Sync,
    ) -> Result<Vec<anyhow::Result<Outcome>>, ExitCode> {
        if self.stored {
            return Ok(wanted.iter().map(|wanted| self.suites.stored(wanted)).collect());
        }
        let outcomes = self.queue.run(self.suites, wanted, in_short);
        match (self.queue.interrupted(), self.run_only) {
            (true, _) => Err(ExitCode::from(INTERRUPTED)),
            (false, true) => Err(ExitCode::SUCCESS),
            (false, false) => Ok(outcomes),
        }
    }
}

fn fault_by_fault(
    workspace: &Workspace,
    arguments: &Arguments,
    runs: &Runs<'_>,
    faults: &[&Fault],
    telling: &[String],
) -> anyhow::Result<ExitCode> {
    let mut wanted: Vec<(usize, Wanted)> = Vec::new();
    for (index, fault) in faults.iter().enumerate() {
        let cases = match (arguments.short, arguments.cases.is_empty()) {
            (true, _) => fault.short.clone(),
            (false, true) => [telling, &fault.also].concat(),
            (false, false) => arguments.cases.clone(),
        };
        for round in 0..arguments.repeat {
            wanted.push((index, Wanted { fault: fault.name.clone(), round, cases: cases.clone() }));
        }
    }
    // What takes longest begins first.
    wanted.sort_by_key(|(index, _)| !faults[*index].slow);
    let all: Vec<&Wanted> = wanted.iter().map(|(_, wanted)| wanted).collect();
    let in_short = |wanted: &Wanted, outcome: &Outcome| {
        let of = faults.iter().find(|fault| fault.name == wanted.fault);
        of.map_or_else(String::new, |fault| Compared::new(fault, outcome).in_short())
    };
    let outcomes = match runs.outcomes(&all, in_short) {
        Ok(outcomes) => outcomes,
        Err(code) => return Ok(code),
    };
    let mut compared: Vec<(usize, Compared)> = Vec::new();
    for ((index, _), outcome) in wanted.iter().zip(outcomes) {
        let outcome = outcome.with_context(|| format!("the suite did not run with fault {}", faults[*index].name))?;
        compared.push((*index, Compared::new(faults[*index], &outcome)));
    }
    compared.sort_by_key(|(index, _)| *index);
    let compared: Vec<Compared> = compared.into_iter().map(|(_, compared)| compared).collect();
    print!("{}", matrix::render(&compared));
    eprintln!("faults: {} runs in {:.0} s", compared.len(), runs.began.elapsed().as_secs_f64());
    let good = compared.iter().all(Compared::as_expected);

    let whole = arguments.names.is_empty() && arguments.cases.is_empty() && !arguments.short;
    let path = workspace.root.join(arguments.suite.document());
    let shown = workspace.shown(&path);
    let written = whole && arguments.expectations.is_none() && arguments.repeat == 1;
    let same = match (written, arguments.check) {
        (true, true) => document::is_current(&path, arguments.suite, telling, &compared)?,
        (true, false) if good => {
            document::write(&path, &workspace.root, arguments.suite, telling, &compared)?;
            true
        }
        (true, false) => {
            eprintln!("faults: not as expected, so {shown} stays as it was");
            true
        }
        (false, _) => true,
    };
    if !same {
        eprintln!(
            "faults: {shown} is out of date: cargo xtask faults --suite {} writes it anew",
            arguments.suite.suite()
        );
    }
    Ok(if good && same { ExitCode::SUCCESS } else { ExitCode::from(NOT_AS_EXPECTED) })
}

fn never_cries_wolf(arguments: &Arguments, runs: &Runs<'_>) -> anyhow::Result<ExitCode> {
    let wanted: Vec<Wanted> = (0..arguments.repeat)
        .map(|round| Wanted { fault: "none".into(), round, cases: arguments.cases.clone() })
        .collect();
    let all: Vec<&Wanted> = wanted.iter().collect();
    let outcomes = match runs.outcomes(&all, |_, outcome| tally::in_short(outcome)) {
        Ok(outcomes) => outcomes,
        Err(code) => return Ok(code),
    };
    let outcomes: Vec<_> = outcomes.into_iter().collect::<anyhow::Result<_>>()?;
    print!("{}", tally::render(&outcomes));
    Ok(if tally::any_failed(&outcomes) { ExitCode::from(NOT_AS_EXPECTED) } else { ExitCode::SUCCESS })
}

//! `portwitness-bench`: what observing costs, side by side with nothing, bpftrace, strace and polling, against goals.
//!
//! Each benchmark runs in a process of its own, and in a network namespace of its own; its loads are children that are this
//! program again. It never passes or fails: a goal that is missed stands in the table.

mod benchmarks;
mod cpu;
mod figure;
mod load;
mod machine;
mod memory;
mod observing;
mod pairs;
mod part;
mod report;
mod size;
mod stats;
mod watcher;
mod work;
mod worker;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Parser;

use benchmarks::{ALL, Benchmark};
use figure::Section;
use machine::Machine;
use report::{Entry, Report};
use rustix::process::{Signal, set_parent_process_death_signal};
use size::Size;

/// Set-up failed: the same code as the harness gives for it.
const SETUP_FAILED: u8 = 96;

/// The share of a quick run.
const QUICK: f64 = 0.1;

#[derive(Parser)]
#[command(about = "Measures what portwitness costs, against its goals and its peers")]
enum Cli {
    /// Runs benchmarks and prints their tables.
    Run(Run),
    /// One benchmark, as JSON; `run` starts it.
    #[command(hide = true)]
    Measure {
        name: String,
        factor: f64,
        #[arg(long)]
        without_peers: bool,
    },
    /// Puts a part that was measured in a VM into a file.
    #[command(hide = true)]
    Insert { part: PathBuf, whole: PathBuf },
    /// A load; the benchmarks start it.
    #[command(subcommand, hide = true)]
    Work(work::Work),
}

#[derive(clap::Args)]
struct Run {
    /// Which benchmarks; all without any.
    names: Vec<String>,
    /// A tenth of everything: under 3 minutes.
    #[arg(long)]
    quick: bool,
    /// Writes all of it to this file; what was measured in a VM stays in it.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Writes the part of that file that is measured in a VM.
    #[arg(long, value_name = "FILE", hide = true)]
    part: Option<PathBuf>,
    /// A share of the whole.
    #[arg(long, hide = true)]
    factor: Option<f64>,
}

fn main() -> ExitCode {
    let done = match Cli::parse() {
        Cli::Run(run) => run_all(&run),
        Cli::Measure { name, factor, without_peers } => measure(&name, Size::new(factor, !without_peers)),
        Cli::Insert { part, whole } => insert(&part, &whole),
        Cli::Work(work) => work::run(work),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(SETUP_FAILED)
        }
    }
}

fn run_all(run: &Run) -> anyhow::Result<()> {
    let chosen: Vec<&Benchmark> = match &run.names[..] {
        [] => ALL.iter().collect(),
        names => names.iter().map(|name| benchmarks::find(name)).collect::<Result<_, _>>()?,
    };
    let size = Size::new(run.factor.unwrap_or(if run.quick { QUICK } else { 1.0 }), true);
    let machine = Machine::look();
    let mut entries = Vec::new();
    for benchmark in chosen {
        eprintln!("bench: {}", benchmark.name);
        let (began, before, others) = (Instant::now(), machine::load(), machine::tracing_programs());
        let outcome = in_child(benchmark, size).map_err(|error| format!("{error:#}"));
        let entry = Entry {
            name: benchmark.name,
            outcome,
            loads: [before, machine::load()],
            others: [others, machine::tracing_programs()],
            took_s: began.elapsed().as_secs_f64(),
        };
        match &entry.outcome {
            Ok(section) => println!("{}\n{}\n", section.title, report::terminal(section)),
            Err(why) => eprintln!("bench: {} could not be measured: {why}", entry.name),
        }
        entries.push(entry);
    }
    let report = Report { machine, command: command(run), entries };
    if report.has_goals() {
        println!("Goals\n{}", report.summary());
    }
    if let Some(path) = &run.write {
        let before = std::fs::read_to_string(path).unwrap_or_default();
        let kept = part::of(&before).map(|part| part::put(&report.markdown(), part));
        std::fs::write(path, kept.unwrap_or_else(|| report.markdown())).with_context(|| path.display().to_string())?;
        eprintln!("bench: written to {}", path.display());
    }
    if let Some(path) = &run.part {
        let failed = report.entries.iter().find_map(|entry| entry.outcome.as_ref().err());
        if let Some(why) = failed {
            bail!("{why}");
        }
        std::fs::write(path, part::marked(&report.in_a_vm())).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn insert(part: &Path, whole: &Path) -> anyhow::Result<()> {
    let read = |path: &Path| std::fs::read_to_string(path).with_context(|| path.display().to_string());
    let text = part::put(&read(whole)?, &read(part)?);
    std::fs::write(whole, text).with_context(|| whole.display().to_string())
}

/// What a user types for this.
fn command(run: &Run) -> String {
    let mut command = String::from("cargo xtask bench");
    for name in &run.names {
        command.push(' ');
        command.push_str(name);
    }
    if run.quick { command + " --quick" } else { command }
}

/// Runs a benchmark in a process of its own: one that breaks ends alone.
fn in_child(benchmark: &Benchmark, size: Size) -> anyhow::Result<Section> {
    let program = std::env::current_exe().context("the path of this program")?;
    let child = Command::new(program)
        .args(["measure", benchmark.name, &size.factor().to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .output()
        .context("cannot start this program again")?;
    if !child.status.success() {
        bail!("{} ({})", String::from_utf8_lossy(&child.stderr).trim(), child.status);
    }
    eprint!("{}", String::from_utf8_lossy(&child.stderr));
    serde_json::from_slice(&child.stdout).context("what it printed")
}

fn measure(name: &str, size: Size) -> anyhow::Result<()> {
    let benchmark = benchmarks::find(name)?;
    // Nobody waits for it when `run` has been killed.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    portwitness::sut::hosts::enter_private()?;
    let section = (benchmark.run)(size)?;
    println!("{}", serde_json::to_string(&section)?);
    Ok(())
}

//! The benchmarks that take the scap module, in a guest whose clock counts instructions: their part of `BENCHMARKS.md`.

use std::ffi::OsString;
use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context, ensure};

use crate::kmod;
use crate::vm::{self, Guest, Options, Scap, Step};
use crate::workspace::Workspace;

/// Seconds; translated and counted, a guest does 50 to 150 million instructions a second.
const DEADLINE: u64 = 2400;

/// Runs `[vm options] [--quick]`: a boot, and everything in it. A whole run is put into `BENCHMARKS.md`.
pub(super) fn run(workspace: &Workspace, args: &[OsString]) -> anyhow::Result<ExitCode> {
    let parsed = Options::parse(args);
    let (options, quick) = match parsed {
        Ok((options, [])) => (options, false),
        Ok((options, [word])) if word == "--quick" => (options, true),
        Ok((_, [word, ..])) => {
            let word = word.display();
            return Ok(crate::usage(&format!(
                "error: bench --vm has no option {word}: it takes those of vm, and --quick"
            )));
        }
        Err(error) => return Ok(crate::usage(&format!("error: {error:#}"))),
    };
    vm::possible(workspace)?;
    let bench = super::build(workspace)?.display().to_string();
    let options = Options { scap: Scap::Always, counted: true, ..options };
    for &series in &options.kernels {
        let guest = Guest::prepare(workspace, &options, series)?;
        let module = guest.module().context("the scap module was not built")?;
        let events = kmod::events_for(workspace, guest.library())?.display().to_string();
        let load = vm::load(workspace, module);
        let mut measure = vec![bench.as_str(), "run", "scap", "--part", "/out/part.md"];
        measure.extend(quick.then_some("--quick"));
        let (ended, outcomes) = guest.run_steps(&[
            Step::new("load", 60, &load.iter().map(String::as_str).collect::<Vec<_>>()),
            Step::new("bench", DEADLINE, &measure).with("PORTWITNESS_SINSP_EVENTS", &events).saying("scap beside eBPF"),
        ])?;
        eprintln!("vm: {}: {ended}", guest.release());
        let log = ended.out.join("bench.log");
        print!("{}", fs::read_to_string(&log).with_context(|| log.display().to_string())?);
        ensure!(
            ended.code == 0 && outcomes.iter().all(|outcome| outcome.good),
            "the benchmarks failed in the guest; logs in {}",
            ended.out.display()
        );
        if !quick {
            let (part, whole) = (ended.out.join("part.md"), workspace.root.join("BENCHMARKS.md"));
            let inserted =
                Command::new(&bench).arg("insert").args([&part, &whole]).status().context("cannot start it")?;
            ensure!(inserted.success(), "{} was not written", whole.display());
            eprintln!("bench: written to {}", whole.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

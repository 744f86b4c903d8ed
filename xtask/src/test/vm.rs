//! What `cargo xtask test` has a guest do: one boot, and every command that runs there.

use std::env;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;

use super::Programs;
use crate::debian::Series;
use crate::kmod;
use crate::vm::{self, Guest, Options, Scap, Step};
use crate::workspace::{Workspace, is_root};

/// The kernel whose scap module sysdig and libsinsp of Debian 12 speak to as well.
const KERNEL: Series = Series::Numbered(6, 1);

/// How the part in the VM ended.
#[derive(Debug)]
pub(super) enum Vm {
    /// All steps were good.
    Good(String),
    /// At least one was not.
    Failed(String),
    /// This machine can have no VM: why.
    Skipped(String),
}

/// Boots once and carries out [`steps`].
///
/// # Errors
/// When the guest does not boot, falls over, or something of it cannot be fetched or built.
pub(super) fn run(workspace: &Workspace) -> anyhow::Result<Vm> {
    if !is_root() {
        return Ok(Vm::Skipped("not root: a guest reads what only root may read here".to_owned()));
    }
    if env::consts::ARCH != "x86_64" {
        return Ok(Vm::Skipped(format!("VMs are made for x86_64 only, this is {}", env::consts::ARCH)));
    }
    if let Err(error) = vm::emulator(workspace) {
        return Ok(Vm::Skipped(format!("{error:#}")));
    }
    vm::possible(workspace)?;
    let options = Options { kernels: vec![KERNEL], scap: Scap::Always, ..Options::default() };
    let guest = Guest::prepare(workspace, &options, KERNEL)?;
    let programs = Programs::build(workspace)?;
    let steps = steps(workspace, &programs, &guest)?;
    let start = Instant::now();
    let (ended, mut outcomes) = guest.run_steps(&steps)?;
    let here = machines(&programs)?;
    outcomes.push(vm::carry_out_one(&here, &ended.out.join("machines.log"))?);
    let all: Vec<&Step> = steps.iter().chain([&here]).collect();
    let is_good = |step: &&&Step| outcomes.iter().any(|outcome| outcome.good && outcome.name == step.name);
    let failed: Vec<_> = all.iter().filter(|step| !is_good(step)).map(|step| step.name.as_str()).collect();
    let summary = format!(
        "Linux {} with scap on {}, up after {:.1} s: {} of {} steps good in {:.0} s",
        guest.release(),
        ended.accelerator,
        ended.boot.as_secs_f64(),
        all.len() - failed.len(),
        all.len(),
        start.elapsed().as_secs_f64()
    );
    Ok(if ended.code == 0 && failed.is_empty() {
        Vm::Good(summary)
    } else {
        Vm::Failed(format!("{summary}; failed: {}; logs in {}", failed.join(", "), ended.out.display()))
    })
}

/// Machines that go wrong: a test that boots its own, so it runs here.
fn machines(programs: &Programs) -> anyhow::Result<Step> {
    let step = Step::new("machines", 480, &[&programs.test("machines")?, "--ignored", "--test-threads=1"]);
    Ok(Step {
        command: ["setpriv", "--pdeathsig", "KILL", "--"].map(str::to_owned).into_iter().chain(step.command).collect(),
        ..step
    }
    .saying("test result: ok. 8 passed"))
}

/// Name of the step of [`module_tests`].
pub(crate) const MODULE_TESTS: &str = "module";

/// kmod's tests of a real module, which load and unload it by themselves: nobody else may have loaded it.
pub(crate) fn module_tests(programs: &Programs, module: &Path) -> anyhow::Result<Step> {
    let step = Step::new(MODULE_TESTS, 60, &[&programs.test("module")?, "--ignored", "--test-threads=1"]);
    Ok(step.with("PORTWITNESS_SCAP_MODULE", &module.display().to_string()).saying("test result: ok. 8 passed"))
}

/// Everything that runs in the guest, in this order.
fn steps(workspace: &Workspace, programs: &Programs, guest: &Guest<'_>) -> anyhow::Result<Vec<Step>> {
    let module = guest.module().context("the scap module was not built")?;
    let xtask = workspace.program.display().to_string();
    let suites = workspace.target_dir.join("debug/suites").display().to_string();
    let events = kmod::events_for(workspace, guest.release())?.display().to_string();
    let harness = programs.test("harness")?;
    let load = vm::load(workspace, module);
    let load: Vec<&str> = load.iter().map(String::as_str).collect();
    let tests = workspace.root.join("tests");
    Ok(vec![
        module_tests(programs, module)?,
        Step::new("observers", 120, &[&harness, "observers::ladder", "observers::connections", "observers::causes"])
            .inside(&tests)
            .saying("test result: ok"),
        Step::new("load", 30, &load).saying("scap is loaded: API 1.0.0"),
        Step::new("status", 30, &[&xtask, "kmod", "status"]).saying("by `cargo xtask kmod load`"),
        Step::new("sinsp-events", 60, &[&events, "-n", "200"]).saying("\"complete\":true"),
        // With scap's probes at the same tracepoints.
        Step::new(
            "tunnel",
            150,
            &[&suites, "run", "tunnel", "--sut", "reference", "--case", "1.1", "--case", "2.5", "--runs", "/out"],
        )
        .inside(&workspace.root),
        Step::new("unload", 30, &[&xtask, "kmod", "unload"]).saying("is unloaded"),
    ])
}

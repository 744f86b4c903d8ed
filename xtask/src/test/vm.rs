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
    let step = Step::new("machines", 900, &[&programs.test("machines")?, "--ignored", "--test-threads=1"]);
    Ok(Step {
        command: ["setpriv", "--pdeathsig", "KILL", "--"].map(str::to_owned).into_iter().chain(step.command).collect(),
        ..step
    }
    .saying("a_kernel_that_panics_is_tried_twice_and_its_console_is_kept ... ok"))
}

/// Name of the step of [`module_tests`].
pub(crate) const MODULE_TESTS: &str = "module";

/// kmod's tests of a real module, which load and unload it by themselves: nobody else may have loaded it.
pub(crate) fn module_tests(programs: &Programs, module: &Path) -> anyhow::Result<Step> {
    let step = Step::new(MODULE_TESTS, 120, &[&programs.test("module")?, "--ignored", "--test-threads=1"]);
    Ok(step
        .with("PORTWITNESS_SCAP_MODULE", &module.display().to_string())
        .saying("it_is_loaded_says_what_its_file_says_and_is_unloaded ... ok")
        .saying("somebody_else_s_module_is_left_alone ... ok"))
}

/// Everything that runs in the guest, in this order.
fn steps(workspace: &Workspace, programs: &Programs, guest: &Guest<'_>) -> anyhow::Result<Vec<Step>> {
    let module = guest.module().context("the scap module was not built")?;
    let xtask = workspace.program.display().to_string();
    let events = kmod::events_for(workspace, guest.release())?.display().to_string();
    kmod::program_for(workspace, "sysdig", guest.release())?;
    let harness = programs.test("harness")?;
    let suites = workspace.target_dir.join("debug/suites").display().to_string();
    let load = vm::load(workspace, module);
    let load: Vec<&str> = load.iter().map(String::as_str).collect();
    let tests = workspace.root.join("tests");
    Ok(vec![
        module_tests(programs, module)?,
        Step::new("observers", 240, &[&harness, "observers::ladder", "observers::connections", "observers::causes"])
            .inside(&tests)
            .saying("observers::ladder::tp_btf ... ok")
            .saying("observers::ladder::tracepoint ... ok"),
        Step::new("load", 60, &load).saying("scap is loaded: API 1.0.0"),
        Step::new("status", 60, &[&xtask, "kmod", "status"]).saying("by `cargo xtask kmod load`"),
        Step::new("sinsp-events", 90, &[&events, "-n", "200"]).saying("\"complete\":true"),
        Step::new("sinsp", 420, &[&suites, "run", "sinsp", "--runs", "/out"]).saying("128 passed, 0 failed, 0 unknown"),
        // Of each kind of case some, with a program of others: the whole takes minutes.
        Step::new(
            "sysdig",
            240,
            &[
                &suites, "run", "sinsp", "--sut", "sysdig", "--runs", "/out", "--case", "4.1-4.8", "--case", "8-9",
                "--case", "12",
            ],
        )
        .saying("33 passed, 0 failed, 0 unknown"),
        // The tunnel suite with two witnesses, and its liars. A ring of API 1.0 is too large to be filled by one storm.
        Step::new(
            "agreement",
            420,
            &[
                &harness,
                "second_witness",
                "--ignored",
                "--test-threads=1",
                "--skip",
                "the_storm",
                "--skip",
                "events_that_are_lost",
            ],
        )
        .inside(&tests)
        .saying("two_witnesses_tell_the_same ... ok")
        .saying("liars_are_found_by_what_they_lie_about ... ok"),
        Step::new("unload", 60, &[&xtask, "kmod", "unload"]).saying("is unloaded"),
    ])
}

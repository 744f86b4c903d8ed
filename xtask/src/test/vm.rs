//! What `cargo xtask test` has guests do: a boot of each of two kernels beside each other, and every command that runs there.

use std::env;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use anyhow::Context;

use super::Programs;
use crate::debian::Series;
use crate::kmod;
use crate::vm::{self, Guest, Options, Scap, Step};
use crate::workspace::{Workspace, is_root};

/// The kernel whose scap module, of API 1, sysdig and libsinsp of Debian 12 speak to as well.
const OLDER: Series = Series::Numbered(6, 1);

/// A kernel for which that one does not build: its module is of API 8.
const NEWER: Series = Series::Numbered(6, 12);

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

/// Why this machine can have no VM.
fn obstacle(workspace: &Workspace) -> Option<String> {
    if !is_root() {
        return Some("not root: a guest reads what only root may read here".to_owned());
    }
    if env::consts::ARCH != "x86_64" {
        return Some(format!("VMs are made for x86_64 only, this is {}", env::consts::ARCH));
    }
    vm::emulator(workspace).err().map(|error| format!("{error:#}"))
}

/// Fetches and builds what [`run`] will need, as far as it is not there yet, behind whatever else wants a CPU.
///
/// # Errors
/// As [`run`], which does again what could not be done.
pub(super) fn fetch(workspace: &Workspace) -> anyhow::Result<()> {
    // Of this thread, and of what it starts.
    rustix::process::setpriority_process(None, 10).context("cannot be nice")?;
    if obstacle(workspace).is_some() {
        return Ok(());
    }
    vm::possible(workspace)?;
    for series in [OLDER, NEWER] {
        let options = with_scap(series);
        let guest = Guest::prepare(workspace, &options, series)?;
        if series == OLDER {
            kmod::events_for(workspace, guest.library())?;
            kmod::program_for(workspace, "sysdig", guest.library())?;
        }
    }
    Ok(())
}

/// Boots one kernel for [`steps`], and another for [`newer_steps`].
///
/// # Errors
/// When a guest does not boot, falls over, or something of it cannot be fetched or built.
pub(super) fn run(workspace: &Workspace) -> anyhow::Result<Vm> {
    if let Some(why) = obstacle(workspace) {
        return Ok(Vm::Skipped(why));
    }
    vm::possible(workspace)?;
    let programs = Programs::build(workspace)?;
    let start = Instant::now();
    let [of_older, of_newer] = [OLDER, NEWER].map(with_scap);
    let older = Guest::prepare(workspace, &of_older, OLDER)?;
    let newer = Guest::prepare(workspace, &of_newer, NEWER)?;
    let older_steps = steps(workspace, &programs, &older)?;
    let newer_steps = newer_steps(workspace, &programs, &newer)?;
    // A translated kernel keeps one CPU busy, and the first has the most to do: the others take turns beside it.
    let (older, (newer, machines)) = thread::scope(|scope| {
        let beside = scope.spawn(|| {
            let newer = boot(&newer, &newer_steps)?;
            let machines = vm::carry_out_one(&machines(&programs)?, &newer.out.join("machines.log"))?;
            anyhow::Ok((newer, machines))
        });
        let older = boot(&older, &older_steps);
        let beside = beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        anyhow::Ok((older?, beside?))
    })?;
    let bad = older.bad.iter().chain(&newer.bad).chain((!machines.good).then_some(&machines.name));
    let bad: Vec<&str> = bad.map(String::as_str).collect();
    let summary = format!("{}; {}; {:.0} s in all", older.summary, newer.summary, start.elapsed().as_secs_f64());
    Ok(if bad.is_empty() {
        Vm::Good(summary)
    } else {
        let logs = [&older, &newer].map(|tried| tried.out.display().to_string()).join(" and ");
        Vm::Failed(format!("{summary}; failed: {}; logs in {logs}", bad.join(", ")))
    })
}

/// What came of a boot.
struct Tried {
    summary: String,
    /// Steps that were not good, or never came.
    bad: Vec<String>,
    out: PathBuf,
}

fn with_scap(series: Series) -> Options {
    Options { kernels: vec![series], scap: Scap::Always, ..Options::default() }
}

/// Boots a guest and carries out these steps.
fn boot(guest: &Guest<'_>, steps: &[Step]) -> anyhow::Result<Tried> {
    let (ended, outcomes) = guest.run_steps(steps)?;
    let is_good = |step: &Step| outcomes.iter().any(|outcome| outcome.good && outcome.name == step.name);
    let mut bad: Vec<_> = steps.iter().filter(|step| !is_good(step)).map(|step| step.name.clone()).collect();
    let good = steps.len() - bad.len();
    if ended.code != 0 && bad.is_empty() {
        bad.push(format!("the guest (exit code {})", ended.code));
    }
    let summary = format!(
        "Linux {} with scap on {}, up after {:.1} s: {good} of {} steps good in {:.0} s",
        guest.release(),
        ended.accelerator,
        ended.boot.as_secs_f64(),
        steps.len(),
        ended.total.as_secs_f64()
    );
    Ok(Tried { summary, bad, out: ended.out })
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

/// A module of another API is refused by name; no other may be loaded.
fn foreign(harness: &str, tests: &Path, module: &Path) -> Step {
    let step = Step::new("foreign", 120, &[harness, "second_witness::foreign", "--ignored", "--test-threads=1"]);
    step.inside(tests)
        .with("PORTWITNESS_SCAP_MODULE", &module.display().to_string())
        .saying("a_module_of_another_api_is_named_with_those_that_are_known ... ok")
}

/// The sinsp suite with a program of others, of each kind of case some: the whole takes minutes.
fn sysdig(suites: &str) -> Step {
    let words = [suites, "run", "sinsp", "--sut", "sysdig", "--runs", "/out"];
    let cases = ["4.1-4.3", "8.1", "8.7", "9.1-9.3", "12.1"].map(|cases| ["--case", cases]);
    Step::new("sysdig", 240, &[&words[..], cases.as_flattened()].concat()).saying("9 passed, 0 failed, 0 unknown")
}

/// The tunnel suite with two witnesses, its liars, what is lost, and storms.
fn agreement(harness: &str, tests: &Path) -> Step {
    let words = [harness, "second_witness", "--ignored", "--test-threads=1"];
    let skipped = ["--skip", "the_storm", "--skip", "second_witness::foreign"];
    Step::new("agreement", 480, &[&words[..], &skipped].concat())
        .inside(tests)
        .saying("two_witnesses_tell_the_same ... ok")
        .saying("both_ends_of_every_kind_of_connection_are_told_alike ... ok")
        .saying("liars_are_found_by_what_they_lie_about ... ok")
        .saying("events_that_are_lost_make_it_unknown ... ok")
        .saying("what_a_storm_loses_is_counted_to_the_last_call ... ok")
}

/// What is another with the newest driver of Debian: its module, how its rings are read, and what they lose.
fn newer_steps(workspace: &Workspace, programs: &Programs, guest: &Guest<'_>) -> anyhow::Result<Vec<Step>> {
    let module = guest.module().context("the scap module was not built")?;
    let (harness, tests) = (programs.test("harness")?, workspace.root.join("tests"));
    let load = vm::load(workspace, module);
    let load: Vec<&str> = load.iter().map(String::as_str).collect();
    let xtask = workspace.program.display().to_string();
    let agreement = ["second_witness::together", "second_witness::storm", "two_witnesses_tell_the_same"];
    let skipped = ["--ignored", "--test-threads=1", "--skip", "the_storm"];
    let agreement = Step::new("agreement", 300, &[&[harness.as_str()][..], &agreement, &skipped].concat());
    let steps = vec![
        module_tests(programs, module)?,
        foreign(&harness, &tests, module),
        Step::new("load", 60, &load).saying("scap is loaded: API 8.0."),
        agreement
            .inside(&tests)
            .saying("two_witnesses_tell_the_same ... ok")
            .saying("both_ends_of_every_kind_of_connection_are_told_alike ... ok")
            .saying("events_that_are_lost_make_it_unknown ... ok")
            .saying("what_a_storm_loses_is_counted_to_the_last_call ... ok"),
        Step::new("unload", 60, &[&xtask, "kmod", "unload"]).saying("is unloaded"),
    ];
    // Both guests say what they do at the same time.
    let named = |step: Step| {
        let name = format!("{NEWER}-{}", step.name);
        step.named(name)
    };
    Ok(steps.into_iter().map(named).collect())
}

/// Everything that runs in the older guest, in this order.
fn steps(workspace: &Workspace, programs: &Programs, guest: &Guest<'_>) -> anyhow::Result<Vec<Step>> {
    let module = guest.module().context("the scap module was not built")?;
    let xtask = workspace.program.display().to_string();
    let events = kmod::events_for(workspace, guest.library())?.display().to_string();
    kmod::program_for(workspace, "sysdig", guest.library())?;
    let harness = programs.test("harness")?;
    let suites = workspace.target_dir.join("debug/suites").display().to_string();
    let load = vm::load(workspace, module);
    let load: Vec<&str> = load.iter().map(String::as_str).collect();
    let tests = workspace.root.join("tests");
    let observers = ["ladder", "connections", "causes", "truth::without_btf"].map(|part| format!("observers::{part}"));
    let observers: Vec<&str> = [&harness].into_iter().chain(&observers).map(String::as_str).collect();
    Ok(vec![
        module_tests(programs, module)?,
        foreign(&harness, &tests, module),
        Step::new("observers", 300, &observers)
            .inside(&tests)
            .saying("observers::truth::without_btf_too ... ok")
            .saying("observers::ladder::tp_btf ... ok")
            .saying("observers::ladder::tracepoint ... ok"),
        Step::new("load", 60, &load).saying("scap is loaded: API 1.0.0"),
        Step::new("status", 60, &[&xtask, "kmod", "status"]).saying("by `cargo xtask kmod load`"),
        Step::new("sinsp-events", 90, &[&events, "-n", "200"]).saying("\"complete\":true"),
        Step::new("sinsp", 420, &[&suites, "run", "sinsp", "--runs", "/out"]).saying("128 passed, 0 failed, 0 unknown"),
        sysdig(&suites),
        agreement(&harness, &tests),
        Step::new("unload", 60, &[&xtask, "kmod", "unload"]).saying("is unloaded"),
    ])
}

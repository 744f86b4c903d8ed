//! `cargo xtask vm`: a command in a VM, with any of Debian's kernels and the scap module.

mod accelerator;
mod boot;
mod console;
mod control;
mod cpio;
mod emulator;
mod guest;
mod initramfs;
mod job;
mod matrix;
mod modules;
mod options;
mod qemu;
mod run_dir;
mod steps;

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};

use crate::debian::Series;
use crate::setup;
use crate::workspace::Workspace;

use emulator::Emulator;
pub(crate) use guest::{Guest, load};
use options::USAGE;
pub(crate) use options::{Options, Scap};
pub(crate) use steps::{Step, carry_out_one};

/// Runs `[options] [-- COMMAND]`; without a command, tells how each kernel stands.
pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> anyhow::Result<ExitCode> {
    with_options(workspace, Options::default(), args, |command| match command {
        [first, ..] if first.starts_with('-') => bail!("there is no option {first} (try: cargo xtask vm --help)"),
        command => Ok(command.to_vec()),
    })
}

/// Takes options from the front of `args`, has `command` made of the rest, and runs that in a VM for each kernel.
pub(crate) fn with_options(
    workspace: &Workspace,
    defaults: Options,
    args: &[OsString],
    command: impl FnOnce(&[String]) -> anyhow::Result<Vec<String>>,
) -> anyhow::Result<ExitCode> {
    if args.first().is_some_and(|arg| arg == "--help" || arg == "-h") {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let parsed = defaults.changed_by(args).and_then(|(options, rest)| {
        let words = rest.iter().map(|word| word.to_str().map(str::to_owned).context("the command is not text"));
        Ok((options, words.collect::<anyhow::Result<Vec<_>>>()?))
    });
    let (options, command) = match parsed.and_then(|(options, rest)| Ok((options, command(&rest)?))) {
        Ok(parsed) => parsed,
        Err(error) => return Ok(crate::usage(&format!("error: {error:#}"))),
    };
    possible(workspace)?;
    if command.is_empty() { matrix::show(workspace, &options) } else { inside(workspace, &options, &command) }
}

/// Finds QEMU or fetches it.
///
/// # Errors
/// When there is none to be had.
pub(crate) fn emulator(workspace: &Workspace) -> anyhow::Result<()> {
    Emulator::of(workspace).map(drop)
}

/// Whether this machine can have VMs at all, with what they need installed.
pub(crate) fn possible(workspace: &Workspace) -> anyhow::Result<()> {
    ensure!(env::consts::ARCH == "x86_64", "VMs are made for x86_64 only, this is {}", env::consts::ARCH);
    setup::packages(workspace, &[("/usr/bin/xz", "xz-utils", "unpacks kernel modules")])
}

/// What runs in a guest as `xtask guest PLAN`: the steps of a plan.
pub(crate) fn steps(args: &[OsString]) -> anyhow::Result<ExitCode> {
    match args {
        [plan] => Ok(ExitCode::from(steps::carry_out(Path::new(plan), Path::new("/out"))?)),
        _ => Ok(crate::usage("usage: xtask guest PLAN (the commands `vm` and `test` have a guest do this)")),
    }
}

/// Runs `command` in a VM for each kernel; the exit code is the first that is not 0, 96 where there was none.
fn inside(workspace: &Workspace, options: &Options, command: &[String]) -> anyhow::Result<ExitCode> {
    let mut codes = Vec::new();
    let mut lines = Vec::new();
    for &series in &options.kernels {
        let (code, line) = match one(workspace, options, series, command) {
            Ok(done) => done,
            Err(error) if options.kernels.len() == 1 => return Err(error),
            Err(error) => {
                eprintln!("error: {error:#}");
                (crate::SETUP_FAILED, format!("{series}: {}", error.to_string().lines().next().unwrap_or_default()))
            }
        };
        codes.push(code);
        lines.push(line);
    }
    for line in lines {
        eprintln!("vm: {line}");
    }
    Ok(ExitCode::from(codes.into_iter().find(|code| *code != 0).unwrap_or(0)))
}

/// Runs `command` with one kernel; returns its exit code and a line about the run.
fn one(workspace: &Workspace, options: &Options, series: Series, command: &[String]) -> anyhow::Result<(u8, String)> {
    let guest = Guest::prepare(workspace, options, series)?;
    let ended = guest.run(command)?;
    let scap = if guest.module().is_some() { "with scap" } else { "without scap" };
    Ok((ended.code, format!("{}, {scap}: {ended}", guest.release())))
}

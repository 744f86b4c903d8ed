//! `cargo xtask vm`: a command in a VM, with any of Debian's kernels and the scap module.

mod accelerator;
mod boot;
mod control;
mod cpio;
mod emulator;
mod initramfs;
mod job;
mod modules;
mod options;
mod qemu;
mod run_dir;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::debian::{Kernel, Series};
use crate::kmod;
use crate::setup;
use crate::workspace::Workspace;
use boot::{End, Limits, Output, Ran, boot};
use emulator::Emulator;
use job::Job;
use qemu::{Accelerator, Machine};
use run_dir::RunDir;

use options::{Accel, Options, Scap, USAGE};

/// Under TCG on a busy host a kernel takes half a minute; one that is not up after this never is.
const BOOT: Duration = Duration::from_secs(120);

/// Runs `[options] [-- COMMAND]`.
pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> anyhow::Result<ExitCode> {
    with_options(workspace, args, |command| match command {
        [] => Ok(vec![env::current_exe()?.display().to_string(), "kmod".to_owned(), "status".to_owned()]),
        [first, ..] if first.starts_with('-') => bail!("there is no option {first} (try: cargo xtask vm --help)"),
        command => Ok(command.to_vec()),
    })
}

/// Takes options from the front of `args`, has `command` made of the rest, and runs that in a VM for each kernel.
pub(crate) fn with_options(
    workspace: &Workspace,
    args: &[OsString],
    command: impl FnOnce(&[String]) -> anyhow::Result<Vec<String>>,
) -> anyhow::Result<ExitCode> {
    if args.first().is_some_and(|arg| arg == "--help" || arg == "-h") {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let parsed = Options::parse(args).and_then(|(options, rest)| {
        let words = rest.iter().map(|word| word.to_str().map(str::to_owned).context("the command is not text"));
        Ok((options, words.collect::<anyhow::Result<Vec<_>>>()?))
    });
    match parsed.and_then(|(options, rest)| Ok((options, command(&rest)?))) {
        Ok((options, command)) => inside(workspace, &options, &command),
        Err(error) => Ok(crate::usage(&format!("error: {error:#}"))),
    }
}

/// Runs `command` in a VM for each kernel; the exit code is the first that is not 0, 96 where there was none.
fn inside(workspace: &Workspace, options: &Options, command: &[String]) -> anyhow::Result<ExitCode> {
    ensure!(env::consts::ARCH == "x86_64", "VMs are made for x86_64 only, this is {}", env::consts::ARCH);
    setup::packages(workspace, &NEEDED)?;
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

/// Program that has to be there, package, purpose.
const NEEDED: [(&str, &str, &str); 1] = [("/usr/bin/xz", "xz-utils", "unpacks kernel modules")];

/// Runs `command` with one kernel; returns its exit code and a line about the run.
fn one(workspace: &Workspace, options: &Options, series: Series, command: &[String]) -> anyhow::Result<(u8, String)> {
    let kernel = Kernel::fetch(workspace, series)?;
    let mut job = Job::new(command, &env::current_dir()?, env::vars());
    let scap = scap(workspace, options, &kernel)?;
    if let Some(module) = &scap {
        job.before.push(vec![
            env::current_exe()?.display().to_string(),
            "kmod".to_owned(),
            "load".to_owned(),
            "--module".to_owned(),
            module.display().to_string(),
        ]);
    }
    let dir = RunDir::claim(workspace, &kernel.release, options.out.as_deref())?;
    let image = kernel.image()?;
    let emulator = Emulator::of(workspace)?;
    let machine = Machine {
        emulator: &emulator,
        accelerator: Accelerator::Tcg,
        cpus: options.cpus,
        memory: options.memory,
        image: &image,
        initramfs: &dir.initramfs,
        out: &dir.out,
        console: &dir.console,
        control: &dir.control,
    };
    let accelerator = match options.accel {
        Accel::Kvm => Accelerator::Kvm,
        Accel::Tcg => Accelerator::Tcg,
        Accel::Auto => {
            let nothing = Job { command: vec!["true".to_owned()], folder: "/".to_owned(), ..Job::default() };
            write(&dir.initramfs, &initramfs::build(workspace, &kernel, &nothing)?)?;
            accelerator::choose(workspace, &machine)?
        }
    };
    write(&dir.initramfs, &initramfs::build(workspace, &kernel, &job)?)?;
    let machine = Machine { accelerator, ..machine };
    let limits = Limits { boot: BOOT, command: options.deadline };
    eprintln!("vm: Linux {} on {}: {}", kernel.release, accelerator.name(), command.join(" "));
    let mut ran = boot(&machine, limits, Output::Pass)?;
    if let End::NoBoot(why) = &ran.end {
        eprintln!("vm: no boot: {why}; once more, since translated kernels stumble now and then");
        ran = boot(&machine, limits, Output::Pass)?;
    }
    let code = exit_code(&ran, &dir.console, options.deadline).with_context(|| format!("Linux {}", kernel.release))?;
    let about_scap = if scap.is_some() { "with scap" } else { "without scap" };
    let (boot, total) = (ran.boot.as_secs_f64(), ran.total.as_secs_f64());
    let name = &kernel.release;
    Ok((
        code,
        format!(
            "{name} on {}, {about_scap}: up after {boot:.1} s, exit code {code} after {total:.1} s",
            accelerator.name()
        ),
    ))
}

/// The scap module for `kernel`, as far as it is wanted.
fn scap(workspace: &Workspace, options: &Options, kernel: &Kernel) -> anyhow::Result<Option<PathBuf>> {
    if options.scap == Scap::Never {
        return Ok(None);
    }
    match kmod::module_for(workspace, kernel, &options.driver) {
        Ok(module) => Ok(Some(module)),
        Err(error) if options.scap == Scap::WherePossible => {
            eprintln!("vm: note: without the scap module, since it cannot be built: {error:#}");
            Ok(None)
        }
        Err(error) => Err(error.context("no scap module")),
    }
}

fn exit_code(ran: &Ran, console: &Path, deadline: Duration) -> anyhow::Result<u8> {
    let why = match &ran.end {
        End::Code(code) => return Ok(*code),
        End::NoBoot(why) => format!("the guest did not boot: {why}"),
        End::Died => "the guest ended before the command did: its kernel fell over, or was told to stop".to_owned(),
        End::Late => format!("the command took longer than {} s: --deadline SECONDS gives it more", deadline.as_secs()),
    };
    let log = fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&log);
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.is_empty() {
        bail!("{why}; its console, {}, is empty", console.display());
    }
    let tail: String = lines[lines.len().saturating_sub(15)..].iter().map(|line| format!("    {line}\n")).collect();
    bail!("{why}; the last lines of its console, {}:\n{tail}", console.display())
}

fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    fs::write(path, content).with_context(|| path.display().to_string())
}

//! All that a machine of one kernel takes, fetched and built, and its boots.

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};

use super::accelerator;
use super::boot::{End, Limits, Output, Ran, boot};
use super::console;
use super::emulator::Emulator;
use super::initramfs;
use super::job::Job;
use super::options::{Accel, Options, Scap};
use super::qemu::{Accelerator, Machine};
use super::run_dir::RunDir;
use super::steps::{self, Outcome, Step};
use crate::debian::{Kernel, Series};
use crate::kmod;
use crate::workspace::Workspace;

/// Under TCG a kernel takes 5 to 15 s, on a host with ten times as much to do 40 s; one that is not up after this never is.
const BOOT: Duration = Duration::from_secs(180);
/// What a plan takes beside its steps: their logs, and the way down.
const AROUND: Duration = Duration::from_secs(60);

/// A kernel, its scap module as far as it is wanted, and QEMU.
#[derive(Debug)]
pub(crate) struct Guest<'a> {
    workspace: &'a Workspace,
    options: &'a Options,
    emulator: Emulator,
    kernel: Kernel,
    scap: Option<PathBuf>,
}

/// How a guest came to its end.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Exit code of the command.
    pub(crate) code: u8,
    /// Until the command started.
    pub(crate) boot: Duration,
    /// All in all.
    pub(crate) total: Duration,
    /// `kvm` or `tcg`.
    pub(crate) accelerator: &'static str,
    /// The host's folder that was `/out`.
    pub(crate) out: PathBuf,
}

impl fmt::Display for Ended {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (boot, total) = (self.boot.as_secs_f64(), self.total.as_secs_f64());
        write!(formatter, "up after {boot:.1} s on {}, exit code {} after {total:.1} s", self.accelerator, self.code)
    }
}

impl<'a> Guest<'a> {
    /// Fetches and builds what is not there yet.
    ///
    /// # Errors
    /// Without QEMU or the kernel and without a way to fetch them; when the module is demanded and does not build.
    pub(crate) fn prepare(workspace: &'a Workspace, options: &'a Options, series: Series) -> anyhow::Result<Self> {
        let emulator = Emulator::of(workspace)?;
        let kernel = Kernel::fetch(workspace, series)?;
        let scap = scap(workspace, options, &kernel)?;
        // Two guests that boot beside each other would both fetch it.
        initramfs::busybox(workspace)?;
        Ok(Self { workspace, options, emulator, kernel, scap })
    }

    /// What `uname -r` says there.
    pub(crate) fn release(&self) -> &str {
        &self.kernel.release
    }

    /// The scap module for this kernel.
    pub(crate) fn module(&self) -> Option<&Path> {
        self.scap.as_deref()
    }

    /// The Debian release whose libsinsp reads the module's events.
    pub(crate) fn library(&self) -> &'static str {
        self.options.driver.library(self.release())
    }

    /// Boots, runs `command` with the scap module loaded, and waits for the end.
    pub(crate) fn run(&self, command: &[String]) -> anyhow::Result<Ended> {
        let mut job = Job::new(command, &env::current_dir()?, env::vars());
        if let Some(module) = &self.scap {
            job.before.push(load(self.workspace, module));
        }
        self.boot(&self.claim()?, &job, self.options.deadline)
    }

    /// Boots, carries out `steps` one after the other, and tells what came of those that ended; a step that wants the module
    /// loads it.
    pub(crate) fn run_steps(&self, steps: &[Step]) -> anyhow::Result<(Ended, Vec<Outcome>)> {
        let dir = self.claim()?;
        steps::write_plan(&dir.plan, steps, &dir.out)?;
        let xtask = self.workspace.program.display().to_string();
        let command = [xtask, "guest".to_owned(), dir.plan.display().to_string()];
        let job = Job::new(&command, &env::current_dir()?, env::vars());
        let ended = self.boot(&dir, &job, steps.iter().map(|step| step.deadline()).sum::<Duration>() + AROUND)?;
        let outcomes = steps::read_outcomes(&dir.out)?;
        Ok((ended, outcomes))
    }

    fn claim(&self) -> anyhow::Result<RunDir> {
        RunDir::claim(self.workspace, &self.kernel.release, self.options.out.as_deref())
    }

    fn boot(&self, dir: &RunDir, job: &Job, deadline: Duration) -> anyhow::Result<Ended> {
        let image = self.kernel.image()?;
        let machine = Machine {
            emulator: &self.emulator,
            accelerator: Accelerator::Tcg,
            counted: self.options.counted,
            cpus: if self.options.counted { 1 } else { self.options.cpus },
            memory: self.options.memory,
            append: self.options.append.as_deref().unwrap_or_default(),
            image: &image,
            initramfs: &dir.initramfs,
            out: &dir.out,
            console: &dir.console,
            control: &dir.control,
        };
        let accelerator = self.accelerator(&machine)?;
        write(machine.initramfs, &initramfs::build(self.workspace, &self.kernel, job)?)?;
        let machine = Machine { accelerator, ..machine };
        let limits = Limits { boot: BOOT, command: deadline };
        eprintln!("vm: Linux {} on {}: {}", self.kernel.release, accelerator.name(), job.command.join(" "));
        dir.has_room()?;
        dir.keep_console()?;
        let mut ran = boot(&machine, limits, Output::Pass)?;
        if let End::NoBoot(why) = &ran.end {
            eprintln!("vm: no boot: {why}; once more, since translated kernels stumble now and then");
            dir.keep_console()?;
            ran = boot(&machine, limits, Output::Pass)?;
        }
        let code = exit_code(&ran, &dir.console, deadline).with_context(|| format!("Linux {}", self.kernel.release))?;
        let code = match (code, dir.has_room()) {
            (0, Err(full)) => return Err(full.context("the command ended well, but what it wrote may be cut short")),
            (code, Err(full)) => {
                eprintln!("vm: note: {full:#}");
                code
            }
            (code, Ok(())) => code,
        };
        Ok(Ended { code, boot: ran.boot, total: ran.total, accelerator: accelerator.name(), out: dir.out.clone() })
    }

    fn accelerator(&self, machine: &Machine<'_>) -> anyhow::Result<Accelerator> {
        match self.options.accel {
            // Only a translator counts instructions.
            _ if self.options.counted => Ok(Accelerator::Tcg),
            Accel::Kvm => Ok(Accelerator::Kvm),
            Accel::Tcg => Ok(Accelerator::Tcg),
            Accel::Auto => {
                let nothing = Job { command: vec!["true".to_owned()], folder: "/".to_owned(), ..Job::default() };
                write(machine.initramfs, &initramfs::build(self.workspace, &self.kernel, &nothing)?)?;
                accelerator::choose(self.workspace, machine)
            }
        }
    }
}

/// The command that loads `module`.
pub(crate) fn load(workspace: &Workspace, module: &Path) -> Vec<String> {
    let (xtask, module) = (workspace.program.display().to_string(), module.display().to_string());
    [&xtask, "kmod", "load", "--module", &module].map(str::to_owned).to_vec()
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
    match console::telling(&String::from_utf8_lossy(&log)) {
        Some((what, lines)) => bail!("{why}; {what} of its console, {}:\n{lines}", console.display()),
        None => bail!("{why}; its console, {}, is empty", console.display()),
    }
}

fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    fs::write(path, content).with_context(|| path.display().to_string())
}

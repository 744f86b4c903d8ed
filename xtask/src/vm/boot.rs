//! A machine from its start to its end, within a deadline.

use std::fs;
use std::io::{self, Read, Write};
use std::process::{Child, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::console;
use super::control::Progress;
use super::qemu::Machine;

/// How long a machine may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Until the command starts.
    pub(super) boot: Duration,
    /// From then until it has ended.
    pub(super) command: Duration,
}

/// What becomes of what the command (and QEMU) prints.
#[derive(Debug, Clone, Copy)]
pub(super) enum Output {
    /// It is printed as it comes.
    Pass,
    /// Nobody sees it.
    Drop,
}

/// How a machine ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The command ended with this code.
    Code(u8),
    /// The machine never came as far as the command.
    NoBoot(String),
    /// It ended before the command did.
    Died,
    /// The command took too long.
    Late,
}

/// A machine that was.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) end: End,
    /// Until the command started.
    pub(super) boot: Duration,
    /// All in all.
    pub(super) total: Duration,
}

/// How often the guest's progress is looked at.
const LOOK: Duration = Duration::from_millis(30);

/// Starts the machine, passes on what its command prints, and waits for its end.
///
/// # Errors
/// When QEMU cannot be started, or a file of the machine not be written.
pub(super) fn boot(machine: &Machine<'_>, limits: Limits, output: Output) -> anyhow::Result<Ran> {
    for file in [machine.control, machine.console] {
        fs::write(file, "").with_context(|| file.display().to_string())?;
    }
    let mut command = machine.command();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut qemu = command.spawn().context("cannot start qemu-system-x86_64")?;
    let threads = match output {
        Output::Pass => [
            qemu.stdout.take().map(|pipe| pass_on(pipe, io::stdout)),
            qemu.stderr.take().map(|pipe| pass_on(pipe, io::stderr)),
        ],
        Output::Drop => [
            qemu.stdout.take().map(|pipe| pass_on(pipe, io::sink)),
            qemu.stderr.take().map(|pipe| pass_on(pipe, io::sink)),
        ],
    };
    let ran = watch(&mut qemu, machine, limits);
    let _ = qemu.kill();
    qemu.wait().context("cannot wait for QEMU")?;
    for thread in threads.into_iter().flatten() {
        let _ = thread.join();
    }
    ran
}

fn watch(qemu: &mut Child, machine: &Machine<'_>, limits: Limits) -> anyhow::Result<Ran> {
    let start = Instant::now();
    let mut running_since = None;
    let end = loop {
        // In this order: what was told before the machine ended is read after it has.
        let ended = qemu.try_wait().context("cannot wait for QEMU")?;
        let told = fs::read_to_string(machine.control).with_context(|| machine.control.display().to_string())?;
        let progress = Progress::read(&told);
        if progress != Progress::Booting && running_since.is_none() {
            running_since = Some(start.elapsed());
        }
        match (progress, ended) {
            // The machine ends by itself after that, with all output written.
            (Progress::Ended(code), Some(_)) => break End::Code(code),
            (Progress::Ended(code), None) if start.elapsed() > running_since.unwrap_or_default() + limits.command => {
                break End::Code(code);
            }
            (Progress::Failed(why), _) => break End::NoBoot(format!("the guest says: {why}")),
            (Progress::Booting, Some(status)) => {
                break End::NoBoot(ended_early(machine, status));
            }
            (Progress::Running, Some(_)) => break End::Died,
            (Progress::Booting, None) if start.elapsed() > limits.boot => {
                break End::NoBoot(format!("it is not up after {} s", limits.boot.as_secs()));
            }
            (Progress::Running, None) if start.elapsed() > running_since.unwrap_or_default() + limits.command => {
                break End::Late;
            }
            (Progress::Booting | Progress::Running | Progress::Ended(_), None) => thread::sleep(LOOK),
        }
    };
    Ok(Ran { end, boot: running_since.unwrap_or_default(), total: start.elapsed() })
}

/// Why a machine ended before its command: its kernel's own word for it, where there is one.
fn ended_early(machine: &Machine<'_>, status: ExitStatus) -> String {
    let console = fs::read(machine.console).unwrap_or_default();
    match console::panic(&String::from_utf8_lossy(&console)) {
        Some(panic) => panic,
        None if status.success() => "the machine was switched off from inside (has it enough --memory?)".to_owned(),
        None => format!("QEMU ended with {status} (has it enough --memory?)"),
    }
}

/// Copies as it comes; a reader of ours that went away does not end the machine.
fn pass_on<W: Write + 'static>(mut from: impl Read + Send + 'static, to: fn() -> W) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = [0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let _ = to().write_all(&buffer[..read]).and_then(|()| to().flush());
        }
    })
}

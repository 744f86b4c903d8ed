//! Runs a program that prints sinsp events, and tells its lines on, true or not; or tells those of a file.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::Context;
use clap::{Parser, Subcommand};
use reference_sinsp::{Fault, Liar, Then};
use rustix::process::{Signal, set_parent_process_death_signal};

/// Tells sinsp events on, true or not.
#[derive(Parser)]
struct Cli {
    /// The way to lie; `none` for none.
    #[arg(long, default_value = "none", value_parser = fault)]
    fault: std::sync::Arc<Option<Fault>>,
    #[command(subcommand)]
    source: Source,
}

#[derive(Subcommand)]
enum Source {
    /// What a program prints.
    Of {
        /// The program and its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// What stands in a file; then it waits for a signal.
    Replay {
        /// Lines as the program printed them.
        file: PathBuf,
        /// A filter, which whoever starts it hands over: the file has what it has.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        filter: Vec<String>,
    },
}

fn fault(name: &str) -> Result<std::sync::Arc<Option<Fault>>, String> {
    if name == "none" {
        return Ok(None.into());
    }
    let known = || Fault::all().iter().map(|fault| fault.name()).collect::<Vec<_>>().join(", ");
    let found = Fault::all().iter().copied().find(|fault| fault.name() == name);
    found.map(|fault| Some(fault).into()).ok_or_else(|| format!("it is no fault [possible values: none, {}]", known()))
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    // The signal that ends it reaches the program that it runs, too: that has last words, which are told on.
    let signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM])?;
    let liar = Liar::new(*cli.fault);
    match cli.source {
        Source::Of { command } => {
            let mut child = start(&command)?;
            let output = child.stdout.take().context("its output is not read")?;
            let then = tell(BufReader::new(output), liar)?;
            if then == Then::Die {
                let _ = child.kill();
            }
            let status = child.wait()?;
            let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
            Ok(if then == Then::Die { ExitCode::SUCCESS } else { ExitCode::from(code) })
        }
        Source::Replay { file, .. } => {
            let lines = File::open(&file).with_context(|| file.display().to_string())?;
            if tell(BufReader::new(lines), liar)? == Then::Go {
                let mut signals = signals;
                signals.forever().next();
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn start(command: &[String]) -> anyhow::Result<Child> {
    let mut program = Command::new(&command[0]);
    program.args(&command[1..]).stdin(Stdio::null()).stdout(Stdio::piped());
    // SAFETY: between fork and exec the closure makes one system call and touches no memory.
    unsafe {
        program.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
    program.spawn().with_context(|| format!("{} could not be started", command[0]))
}

/// Tells until there is nothing more.
fn tell(lines: BufReader<impl Read>, mut liar: Liar) -> anyhow::Result<Then> {
    let mut output = std::io::stdout().lock();
    for line in lines.lines() {
        let (told, then) = liar.tell(&line?);
        for line in told {
            writeln!(output, "{line}")?;
        }
        output.flush()?;
        if then == Then::Die {
            return Ok(then);
        }
    }
    Ok(Then::Go)
}

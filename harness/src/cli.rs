//! The command line: suites (`list`, `run`), stored runs (`judge`), any service (`watch`, `window`, `record`), and `doctor`.

/// A line on standard output; a reader that went away loses it, and nothing panics.
macro_rules! out {
    ($($part:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stdout(), $($part)*);
    }};
}

mod doctor;
mod handler;
mod judge;
mod list;
mod observing;
mod record;
mod run;
mod signals;
mod span;
mod watch;
mod window;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::exit_code::Exit;
use crate::handlers::Registered;
use crate::report::terminal;
use crate::suite::Suite;

/// An integration-test harness for networked systems, with the kernel as its witness.
#[derive(Parser)]
#[command(name = "portwitness", version, max_term_width = 110, after_help = EXIT_CODES)]
struct Cli {
    /// Say more: -v what the programs in the kernel and the observers say, -vv every step of the clients.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 all passed, 2 usage, 4 nothing ran, 96 set-up failed, 97 something is unknown and \
                          nothing failed, 100 something failed, 130 interrupted.";

#[derive(Subcommand)]
enum Command {
    /// List the cases of the suites.
    List(list::Options),
    /// Run a suite against a system, and judge what the kernel saw.
    Run(run::Options),
    /// Tell what the sockets of any service do, as it happens.
    Watch(watch::Options),
    /// Assert when a port of any service closes and reopens, or that it stays open.
    Window(window::Options),
    /// Run a command, and keep what it did as a run directory.
    Record(record::Options),
    /// Judge a stored run again; needs no root.
    Judge(judge::Options),
    /// Try out a dialogue file.
    Handler(handler::Options),
    /// Say what this machine can observe, what it lacks, and the way out.
    Doctor(doctor::Options),
}

/// Parses the command line, does what it says with these suites, and returns the exit code.
pub fn main(suites: &[Suite]) -> ExitCode {
    main_with_handlers(suites, &[])
}

/// The same, with handlers in Rust for the cases of these suites: each runs in a process of its own, which is this program.
pub fn main_with_handlers(suites: &[Suite], handlers: &[Registered]) -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(log_filter(cli.verbose))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    let done = match cli.command {
        Command::List(options) => list::list(suites, &options).map(ExitCode::from),
        Command::Run(options) => run::run(suites, &options).map(ExitCode::from),
        Command::Watch(options) => watch::watch(&options).map(ExitCode::from),
        Command::Window(options) => window::window(&options).map(ExitCode::from),
        Command::Record(options) => record::record(&options),
        Command::Judge(options) => judge::judge(&options).map(ExitCode::from),
        Command::Handler(options) => handler::handler(handlers, &options).map(ExitCode::from),
        Command::Doctor(options) => doctor::doctor(suites, &options).map(ExitCode::from),
    };
    match done {
        Ok(exit) => exit,
        Err(error) => {
            // It may quote what a system wrote into its log.
            terminal::to_stderr(&format!("error: {}\n", terminal::plain(&error.why.to_string())));
            error.exit.into()
        }
    }
}

/// Why a command could not do its work.
struct CliError {
    exit: Exit,
    why: anyhow::Error,
}

impl CliError {
    fn new(exit: Exit, why: impl Into<anyhow::Error>) -> Self {
        Self { exit, why: why.into() }
    }
}

/// Whatever is not said otherwise is a set-up that failed.
impl<E: Into<anyhow::Error>> From<E> for CliError {
    fn from(why: E) -> Self {
        Self::new(Exit::SetupFailed, why)
    }
}

fn find_suite<'a>(suites: &'a [Suite], name: Option<&str>) -> Result<&'a Suite, CliError> {
    let known = || suites.iter().map(|suite| suite.name).collect::<Vec<_>>().join(", ");
    match name {
        Some(name) if !suites.is_empty() => suites.iter().find(|suite| suite.name == name).ok_or_else(|| {
            CliError::new(Exit::Usage, anyhow::anyhow!("there is no suite `{name}`; there is: {}", known()))
        }),
        _ => suites.first().ok_or_else(|| {
            CliError::new(
                Exit::NothingRan,
                anyhow::anyhow!("this program has no suites: build one that has, or use `judge`"),
            )
        }),
    }
}

fn log_filter(verbose: u8) -> EnvFilter {
    let default = match verbose {
        0 => "warn",
        1 => "info,portwitness=debug,portwitness::clients=info,portwitness::backends=info",
        _ => "info,portwitness=debug",
    };
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default))
}

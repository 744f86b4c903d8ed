//! `handler`: `try` carries out one dialogue and shows the exchange; `run`, hidden, is the process of a handler.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::CliError;
use crate::checks::conversation;
use crate::clock::Timestamp;
use crate::endpoint::Endpoint;
use crate::exit_code::Exit;
use crate::handlers::{Dialogue, Registered, Scenario, child};
use crate::history::{HandlerEnd, HandlerStep};
use crate::report::terminal::plain;

#[derive(Args)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Carry out one dialogue file, and show the exchange and the reports that the system must send.
    Try(Try),
    /// The process of a handler: its scenario comes on standard input.
    #[command(hide = true)]
    Run,
}

#[derive(Args)]
struct Try {
    /// The dialogue.
    file: PathBuf,
    /// The system's address, or a name.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Its port.
    #[arg(long)]
    port: u16,
    /// The address to connect from (default: as the kernel chooses).
    #[arg(long, value_name = "ADDRESS")]
    source: Option<IpAddr>,
    /// What `${marker}` stands for.
    #[arg(long, default_value = "try")]
    marker: String,
    /// Give a variable of the dialogue a value; may be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
}

pub(super) fn handler(registered: &[Registered], options: &Options) -> Result<Exit, CliError> {
    match &options.command {
        Command::Run => child::main(registered).map(|()| Exit::Passed).map_err(CliError::from),
        Command::Try(options) => try_out(options),
    }
}

fn try_out(options: &Try) -> Result<Exit, CliError> {
    let dialogue = Dialogue::load(&options.file).map_err(|error| CliError::new(Exit::Usage, error))?;
    let mut scenario = Scenario::dialogue(&dialogue, target(options)?);
    scenario.address = options.source;
    scenario.marker.clone_from(&options.marker);
    for text in &options.set {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            CliError::new(Exit::Usage, anyhow::anyhow!("`--set {text}` has no value: write `--set NAME=VALUE`"))
        })?;
        let known = dialogue.variable_names().collect::<Vec<_>>();
        if !known.contains(&name) {
            let known = if known.is_empty() { "none".into() } else { known.join(", ") };
            let why = anyhow::anyhow!("the dialogue has no variable `{name}` in its [variables]; it has: {known}");
            return Err(CliError::new(Exit::Usage, why));
        }
        scenario = scenario.with(name, value);
    }
    let began = Timestamp::now();
    let show = move |at: Timestamp, step: HandlerStep| {
        if let Some(line) = line(&step) {
            out!("{:>9.3} ms  {}", at.ms_after(began), plain(&line));
        }
    };
    Ok(match child::carry_out(&[], scenario, Box::new(show)) {
        HandlerEnd::Done => Exit::Passed,
        HandlerEnd::Broken { .. } => Exit::SetupFailed,
        _ => Exit::Failed,
    })
}

fn target(options: &Try) -> Result<Endpoint, CliError> {
    let host = options.host.trim_matches(['[', ']']);
    let found = (host, options.port).to_socket_addrs().ok().and_then(|mut found| found.next());
    let found: SocketAddr = found.ok_or_else(|| {
        let why = anyhow::anyhow!("`--host {host}` is no address and no name that is known here");
        CliError::new(Exit::Usage, why)
    })?;
    Ok(found.into())
}

fn line(step: &HandlerStep) -> Option<String> {
    conversation::line(step).or_else(|| {
        Some(match step {
            HandlerStep::Failed { place, expected, seen } => format!("FAIL  {place}: expected {expected}; {seen}"),
            HandlerStep::End { outcome: HandlerEnd::Done } => "PASS  the conversation went as it should".into(),
            HandlerStep::End { outcome } if *outcome != HandlerEnd::Failed => format!("ERROR it {outcome}"),
            _ => return None,
        })
    })
}

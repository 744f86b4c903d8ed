//! A small correct TCP-over-WebSocket tunnel with active/standby failover, and fault switches: the reference for the tunnel suite.
//!
//! One server and some clients share named tunnels. Each client holds one WebSocket to the server, and every TCP connection is a
//! stream in it ([`link`], [`stream`]). The first data on a client's port makes that client the active one ([`failover`]): the
//! server's ports and the other clients' ports close, and reopen after the reconnect timeout ([`listener`], [`schedule`]).

mod backend;
mod cli;
mod client;
mod failover;
mod fault;
mod frame;
mod keeper;
mod link;
mod listener;
mod resources;
mod schedule;
mod server;
mod stream;
mod supervisor;
mod tamper;

use std::{
    future::pending,
    io::{self, IsTerminal as _},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use crate::{
    cli::{Cli, Command},
    fault::{Fault, Faults},
};

/// Exit code of a process with [`Fault::DiesAtStart`].
const DIED_AT_START: u8 = 3;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colours).init();

    let faults = cli.command.faults();
    if faults.has(Fault::DiesAtStart) {
        eprintln!("reference-tunnel: fault dies-at-start: exiting before any port is open");
        return ExitCode::from(DIED_AT_START);
    }
    match run(cli.command, faults).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("reference-tunnel: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the role asked for until it fails or a signal asks it to stop.
async fn run(command: Command, faults: Faults) -> anyhow::Result<()> {
    let stop = stop_requested(faults)?;
    if command.wants_a_supervisor() {
        info!("stopping on {}", supervisor::run(stop).await?);
        return Ok(());
    }
    let role = async {
        match command {
            Command::Server(config) => {
                if let Some(parent) = config.supervised_by {
                    keeper::die_with(parent)?;
                }
                server::run(config).await
            }
            Command::Client(config) => client::run(config).await,
            Command::Hold { parent } => {
                keeper::die_with(parent)?;
                pending().await
            }
        }
    };
    tokio::select! {
        result = role => result,
        name = stop => {
            info!("stopping on {name}");
            Ok(())
        }
    }
}

/// Waits for SIGTERM or SIGINT; the handlers are in place when this returns, before any port is open.
fn stop_requested(faults: Faults) -> anyhow::Result<impl Future<Output = &'static str>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {
                    if !faults.has(Fault::IgnoresStop) {
                        return "SIGTERM";
                    }
                    warn!("fault ignores-stop: SIGTERM ignored");
                }
                _ = interrupt.recv() => return "SIGINT",
            }
        }
    })
}

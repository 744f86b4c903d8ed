//! A small correct honeypot for FTP, HTTP, SMTP and Telnet, and fault switches: the reference for the minipot suite.
//!
//! A master ([`master`]) starts itself once for each port ([`minipot`]). Each child serves at most five connections in one loop; what
//! they say is decided by state machines that know no I/O ([`protocol`]). Reports ([`report`]) go through a pipe to the master
//! ([`reporter`]), which forwards them over ZeroMQ.

mod cli;
mod fault;
mod master;
mod minipot;
mod privileges;
mod protocol;
mod report;
mod reporter;
mod signals;

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
};

use clap::Parser as _;

use crate::{cli::Cli, fault::Fault};

/// Exit code of a process with [`Fault::DiesAtStart`].
const DIED_AT_START: u8 = 3;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let colours = io::stderr().is_terminal();
    tracing_subscriber::fmt().with_max_level(cli.log_level()).with_writer(io::stderr).with_ansi(colours).init();
    if cli.faults().has(Fault::DiesAtStart) {
        eprintln!("reference-minipot: fault dies-at-start: exiting before any port is open");
        return ExitCode::from(DIED_AT_START);
    }
    let result = match cli.serve {
        Some(minipot) => minipot::run(minipot, &cli).map(|()| ExitCode::SUCCESS),
        None => master::run(&cli),
    };
    result.unwrap_or_else(|error| {
        eprintln!("reference-minipot: {error:#}");
        ExitCode::FAILURE
    })
}

//! The suites of portwitness, as a program: the same command line as any crate that brings suites of its own.

use std::process::ExitCode;

mod minipot;
mod sinsp;
mod tunnel;

fn main() -> ExitCode {
    portwitness::cli::main_with_handlers(&[tunnel::SUITE, minipot::SUITE, sinsp::SUITE], minipot::HANDLERS)
}

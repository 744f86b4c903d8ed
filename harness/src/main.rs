//! The program without suites of its own: it judges stored runs and tells what a machine can observe.

use std::process::ExitCode;

fn main() -> ExitCode {
    portwitness::cli::main(&[])
}

//! `cargo xtask bench`: set-up, the peers to compare with, a release build, then the benchmarks.

mod vm;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, ensure};

use crate::setup;
use crate::workspace::{Workspace, become_command};

/// Runs the benchmarks with `args` and ends as they end. A run of all of them is written to `BENCHMARKS.md`; with `--vm`, those
/// that take the scap module are run in a guest, and their part of it is written.
pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> anyhow::Result<ExitCode> {
    let args = args.strip_prefix(&[OsString::from("--")]).unwrap_or(args);
    setup::ensure(workspace)?;
    if let [first, args @ ..] = args
        && first == "--vm"
    {
        return vm::run(workspace, args);
    }
    setup::peers(workspace);
    let mut bench = Command::new(build(workspace)?);
    bench.arg("run").args(args);
    if args.iter().all(|arg| arg == OsStr::new("--quick")) {
        bench.arg("--write").arg(workspace.root.join("BENCHMARKS.md"));
    }
    Err(become_command(&mut bench))
}

/// Builds the benchmarks for release; returns their program.
fn build(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let mut build = workspace.cargo("build");
    let status = build.args(["--release", "--package", "portwitness-bench"]).status().context("cannot start cargo")?;
    ensure!(status.success(), "the benchmarks do not build: cargo build ended with {status}");
    Ok(workspace.target_dir.join("release/portwitness-bench"))
}

//! `cargo xtask bench`: set-up, the peers to compare with, a release build, then the benchmarks.

use std::ffi::{OsStr, OsString};
use std::process::{Command, ExitCode};

use anyhow::{Context, ensure};

use crate::setup;
use crate::workspace::{Workspace, become_command};

/// Runs the benchmarks with `args` and ends as they end. A run of all of them is written to `BENCHMARKS.md`.
pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> anyhow::Result<ExitCode> {
    setup::ensure(workspace)?;
    setup::peers(workspace);
    let mut build = workspace.cargo("build");
    let status = build.args(["--release", "--package", "portwitness-bench"]).status().context("cannot start cargo")?;
    ensure!(status.success(), "the benchmarks do not build: cargo build ended with {status}");

    let args = args.strip_prefix(&[OsString::from("--")]).unwrap_or(args);
    let mut bench = Command::new(workspace.target_dir.join("release/portwitness-bench"));
    bench.arg("run").args(args);
    if args.iter().all(|arg| arg == OsStr::new("--quick")) {
        bench.arg("--write").arg(workspace.root.join("BENCHMARKS.md"));
    }
    Err(become_command(&mut bench))
}

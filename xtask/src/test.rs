//! `cargo xtask test`: set-up, then every test of the workspace, here or in a VM.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context, ensure};

use crate::setup;
use crate::vm;
use crate::workspace::{Workspace, become_command, is_root};

/// Everything but the eBPF programs, which are built for another target.
const PACKAGES: [&str; 3] = ["--workspace", "--exclude", "portwitness-ebpf"];

/// Runs `cargo test` with `args` and ends as it ends; with `--vm [options]` first, builds here and runs inside a VM.
pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> anyhow::Result<ExitCode> {
    setup::ensure(workspace)?;
    if !is_root() {
        eprintln!(
            "note: not root: the tests of the eBPF observer and those that run a suite (package suites, test harness) \
             need root and fail; the others run. As root: sudo -E cargo xtask test"
        );
    }
    // The tests start the suites and the reference systems as programs, and find them beside each other in the target folder.
    let mut build = workspace.cargo("build");
    let status = build.args(PACKAGES).arg("--bins").status().context("cannot start cargo")?;
    ensure!(status.success(), "the programs under test do not build: cargo build ended with {status}");
    if let [first, args @ ..] = args
        && first == "--vm"
    {
        return vm::with_options(workspace, args, |args| {
            let mut build = workspace.cargo("test");
            let status = build.args(PACKAGES).args(["--tests", "--no-run"]).status().context("cannot start cargo")?;
            ensure!(status.success(), "the tests do not build: cargo test ended with {status}");
            // Without the tests in documentation: those are compiled as they run, which takes too long there.
            let mut test = workspace.cargo("test");
            test.args(PACKAGES).args(["--tests", "--offline"]).args(args);
            let words = [test.get_program()].into_iter().chain(test.get_args());
            Ok(words.map(|word| word.to_string_lossy().into_owned()).collect())
        });
    }
    Err(become_command(workspace.cargo("test").args(PACKAGES).args(args)))
}

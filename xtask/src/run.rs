//! `cargo xtask run`: set-up, a release build, then the suites, here or in a VM.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, ensure};

use crate::debian::Kernel;
use crate::kmod;
use crate::setup;
use crate::vm;
use crate::workspace::{Workspace, become_command};

/// Runs `suites run` with `args` and ends as it ends; with `--vm [options]` first, inside a VM.
pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> anyhow::Result<ExitCode> {
    setup::ensure(workspace)?;
    let suites = build(workspace)?;

    // `cargo xtask run -- --profile full` is what many type; the dashes were meant for cargo.
    let args = args.strip_prefix(&[OsString::from("--")]).unwrap_or(args);
    if let [first, args @ ..] = args
        && first == "--vm"
    {
        let suites = suites.display().to_string();
        programs(workspace, args)?;
        return vm::with_options(workspace, vm::Options::default(), args, |args| {
            ensure!(
                !args.iter().any(|arg| arg == "--runs"),
                "in a VM, runs are kept in the out folder: --vm --out DIR"
            );
            Ok([&[suites, "run".to_owned()], args, &["--runs".to_owned(), "/out".to_owned()]].concat())
        });
    }
    Err(become_command(Command::new(suites).arg("run").args(args)))
}

/// Builds what the suite sinsp runs beside its own programs, for each kernel of a command line of `vm`.
fn programs(workspace: &Workspace, args: &[OsString]) -> anyhow::Result<()> {
    // A wrong command line is told about later.
    let Ok((options, rest)) = vm::Options::parse(args) else { return Ok(()) };
    let is_sinsp = |arg: &OsString| arg.to_str().is_some_and(|arg| arg == "sinsp" || arg.starts_with("sinsp/"));
    if !rest.iter().any(is_sinsp) {
        return Ok(());
    }
    for series in options.kernels {
        let library = options.driver.library(&Kernel::fetch(workspace, series)?.release);
        kmod::program_for(workspace, sut(rest), library)?;
    }
    Ok(())
}

/// The system under test that a command line of `suites run` names, empty where it names none.
fn sut(args: &[OsString]) -> &str {
    let words = || args.iter().filter_map(|arg| arg.to_str());
    let joined = words().filter_map(|word| word.strip_prefix("--sut=")).next_back();
    let apart = words().zip(words().skip(1)).filter(|(option, _)| *option == "--sut").map(|(_, name)| name).last();
    joined.or(apart).unwrap_or_default()
}

/// Builds the suites and the reference systems for release; returns the suites' program, beside which the others lie.
pub(crate) fn build(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let mut build = workspace.cargo("build");
    build.args(["--release", "--package", "suites", "--package", "reference-tunnel", "--package", "reference-minipot"]);
    build.args(["--package", "reference-sinsp"]);
    let status = build.status().context("cannot start cargo")?;
    ensure!(status.success(), "the suites do not build: cargo build ended with {status}");
    Ok(workspace.target_dir.join("release/suites"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_under_test_is_found_where_it_is_named() {
        let named = |line: &str| sut(&line.split(' ').map(OsString::from).collect::<Vec<_>>()).to_owned();
        assert_eq!(named("sinsp --sut sysdig --case 1.1"), "sysdig");
        assert_eq!(named("--sut=sinsp-example sinsp"), "sinsp-example");
        assert_eq!(named("sinsp --case 1.1"), "");
        assert_eq!(named("sinsp --sut"), "");
    }
}

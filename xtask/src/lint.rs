//! `cargo xtask lint`: format, clippy on both targets, and the project's own rules.

mod files;
mod imports;
mod source;

use std::process::{Command, ExitCode};

use anyhow::Context;
use portwitness_toolchain::{Job, Toolchain};

use crate::workspace::Workspace;

/// Runs every check, also after one has found something; ends with 1 when any did.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<ExitCode> {
    let sources = source::rust_files(&workspace.root)?;
    let mut found: Vec<String> = sources.iter().flat_map(files::violations).collect();
    found.extend(imports::violations(&sources));
    for violation in &found {
        eprintln!("{violation}");
    }
    eprintln!("lint: {} files, {} violations of the project's rules", sources.len(), found.len());

    let mut good = found.is_empty();
    let manifest = workspace.root.join("Cargo.toml");
    let mut format = Command::new("cargo");
    good &= passes("format", format.args(["fmt", "--all", "--check", "--manifest-path"]).arg(manifest))?;
    let mut clippy = workspace.cargo("clippy");
    good &= passes("clippy", clippy.args(["--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))?;
    good &= ebpf(workspace)?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The eBPF programs as they are really built. Debian's toolchain comes without clippy: rustc's own warnings then.
fn ebpf(workspace: &Workspace) -> anyhow::Result<bool> {
    let toolchain = match Toolchain::find(&workspace.root) {
        Ok(toolchain) => toolchain,
        Err(lacking) => {
            eprintln!("lint: skipped: eBPF programs: {lacking}; run cargo xtask setup");
            return Ok(true);
        }
    };
    let has_clippy = toolchain.compiler.clippy().is_some();
    let job = Job {
        workspace: workspace.root.clone(),
        log: workspace.setup_dir().join("lint-ebpf.log"),
        arch: std::env::consts::ARCH.to_owned(),
        flags: if has_clippy { Vec::new() } else { vec!["-Dwarnings".to_owned()] },
    };
    let mut command = toolchain.cargo(if has_clippy { "clippy" } else { "check" }, &job)?;
    command.args(["--release", "--quiet"]);
    if has_clippy {
        command.args(["--", "-D", "warnings"]);
        return passes("clippy on the eBPF programs", &mut command);
    }
    passes("warnings of rustc on the eBPF programs (this toolchain has no clippy)", &mut command)
}

fn passes(name: &str, command: &mut Command) -> anyhow::Result<bool> {
    let status = command.status().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    eprintln!("lint: {}: {name}", if status.success() { "good" } else { "BAD" });
    Ok(status.success())
}

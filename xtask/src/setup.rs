//! `cargo xtask setup`: checks each thing that building and running needs, and installs only what is missing.

mod apt;
mod linker;
pub(crate) mod logged;
mod progress;
mod tracefs;
mod tunnel;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use portwitness_toolchain::{Compiler, Linker, stamp_file, tools_dir};

use crate::workspace::Workspace;
use apt::{Package, missing_c_compiler, missing_cpp_compiler};
use progress::Progress;
use tunnel::{Tunnel, missing_python};

/// Debian's compiler with `core` for eBPF; `rust-src` on rustup's nightly does as well.
const COMPILER: [&str; 3] = ["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"];

/// What benchmarks compare with: packages of Debian, each with a program of its own name.
const PEERS: [&str; 3] = ["bpftrace", "strace", "iperf3"];

/// Sets up and says a line about everything.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<ExitCode> {
    install(workspace, &Progress::all())?;
    Ok(ExitCode::SUCCESS)
}

/// Sets up and speaks only of what was missing.
pub(crate) fn ensure(workspace: &Workspace) -> anyhow::Result<()> {
    install(workspace, &Progress::news()).context("set-up failed")
}

/// Installs those programs that a benchmark compares with and that are missing. One that cannot be had is left out of the
/// comparison, so a failure is a note.
pub(crate) fn peers(workspace: &Workspace) {
    let why = "a benchmark compares with it";
    let missing = |name: &&str| !std::env::split_paths(&path()).any(|folder| folder.join(name).is_file());
    let packages: Vec<_> = PEERS.into_iter().filter(missing).map(|name| Package { name, why }).collect();
    let progress = Progress::news();
    if let Err(error) = apt::install(workspace, &packages, &progress) {
        progress.note(&format!("not compared: {error:#}"));
    }
}

fn path() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

/// Installs the packages whose program is not there: (program, package, purpose).
pub(crate) fn packages(workspace: &Workspace, wanted: &[(&str, &'static str, &'static str)]) -> anyhow::Result<()> {
    let missing = wanted.iter().filter(|(program, ..)| !Path::new(program).exists());
    let missing: Vec<_> = missing.map(|&(_, name, why)| Package { name, why }).collect();
    let setup_dir = workspace.setup_dir();
    fs::create_dir_all(&setup_dir).with_context(|| setup_dir.display().to_string())?;
    apt::install(workspace, &missing, &Progress::news())
}

fn install(workspace: &Workspace, progress: &Progress) -> anyhow::Result<()> {
    let setup_dir = workspace.setup_dir();
    fs::create_dir_all(&setup_dir).with_context(|| setup_dir.display().to_string())?;
    let tools = tools_dir(&workspace.root);
    let tunnel = Tunnel::of(workspace)?;
    let (no_linker, no_tunnel) = (Linker::find(&tools).is_err(), !tunnel.is_installed());

    // All packages at once, and first: one privileged step, and nothing is half done when it is refused.
    let mut packages = Vec::new();
    if Compiler::find().is_err() {
        packages.extend(COMPILER.map(|name| Package { name, why: "compiles the eBPF programs" }));
    }
    if no_linker || no_tunnel {
        packages.extend(missing_c_compiler());
    }
    packages.extend(missing_cpp_compiler());
    if no_tunnel {
        packages.extend(missing_python());
    }
    apt::install(workspace, &packages, progress)?;

    let compiler = Compiler::find().context(
        "no package gave one that works; another way is: rustup toolchain install nightly --component rust-src",
    )?;
    progress.ok(&format!("{}: compiles the eBPF programs", compiler.describe()));
    let linker = match Linker::find(&tools) {
        Ok(linker) => linker,
        Err(missing) => linker::install(workspace, &compiler, &missing, progress)?,
    };
    progress.ok(&format!("{}: links the eBPF object", linker.describe()));

    if no_tunnel {
        tunnel.install(workspace, progress)?;
    }
    progress.ok(&format!("{} in {}: the real system under test", tunnel::NAME, workspace.shown(&tunnel.venv)));
    tracefs::mount(progress);

    leave_stamp(workspace, &format!("{}\n{}\n", compiler.describe(), linker.describe()))?;
    progress.end();
    Ok(())
}

/// Tells the harness's build script that another toolchain is there; an unchanged one leaves the file alone.
fn leave_stamp(workspace: &Workspace, toolchain: &str) -> anyhow::Result<()> {
    let stamp = stamp_file(&workspace.root);
    if fs::read_to_string(&stamp).is_ok_and(|last| last == toolchain) {
        return Ok(());
    }
    fs::create_dir_all(tools_dir(&workspace.root))
        .and_then(|()| fs::write(&stamp, toolchain))
        .with_context(|| stamp.display().to_string())
}

//! Packages of the system: which are missing, and one privileged step that installs them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use super::logged;
use super::progress::Progress;
use crate::workspace::{Workspace, is_root};

/// A package that is missing, and what for.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: &'static str,
    pub(super) why: &'static str,
}

/// The C compiler and its headers, unless there is one.
pub(super) fn missing_c_compiler() -> Vec<Package> {
    if Path::new("/usr/bin/cc").exists() && Path::new("/usr/include/stdio.h").exists() {
        return Vec::new();
    }
    ["gcc", "libc6-dev"].map(|name| Package { name, why: "links programs, builds Python modules" }).into()
}

/// The C++ compiler, unless there is one.
pub(super) fn missing_cpp_compiler() -> Vec<Package> {
    let there = std::env::var_os("CXX").is_some() || Path::new("/usr/bin/c++").exists();
    if there { Vec::new() } else { vec![Package { name: "g++", why: "builds ZeroMQ, which comes as source" }] }
}

/// Installs `packages` with apt-get; nothing to do for an empty list.
///
/// # Errors
/// Without root or apt-get: names the packages and the command that installs them.
pub(super) fn install(workspace: &Workspace, packages: &[Package], progress: &Progress) -> anyhow::Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = packages.iter().map(|package| package.name).collect();
    let list = by_purpose(packages);
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!(
            "this machine lacks what these Debian packages hold, and has no apt-get: install your system's own{list}"
        );
    }
    if !is_root() {
        bail!(
            "packages are missing, and only root may install them:{list}\nrun `sudo apt-get update && sudo apt-get install \
             --no-install-recommends {}`, then this again",
            names.join(" ")
        );
    }
    progress.installing(&format!("packages{list}"), || {
        let updated = logged::run(apt_get().arg("update"), &workspace.setup_dir().join("apt-update.log"));
        // A broken foreign source fails the update, but what is needed may be there nevertheless: the installation tells.
        let installed = logged::run(
            apt_get().args(["install", "--yes", "--no-install-recommends", "--no-remove"]).args(&names),
            &workspace.setup_dir().join("apt-install.log"),
        );
        match (installed, updated) {
            (Err(error), Err(update)) => Err(error.context(format!("{update:#}"))),
            (result, _) => result,
        }
        .with_context(|| format!("cannot install {}", names.join(" ")))
    })
}

/// A line a purpose, with the packages that serve it.
fn by_purpose(packages: &[Package]) -> String {
    let groups = packages.chunk_by(|one, next| one.why == next.why);
    let line = |group: &[Package]| {
        let names: Vec<_> = group.iter().map(|package| package.name).collect();
        format!("\n    {}: {}", names.join(" "), group[0].why)
    };
    groups.map(line).collect()
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    // Another apt-get may be at work, as on a machine that has just been made.
    command.args(["-o", "DPkg::Lock::Timeout=120"]).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

//! `scap.ko` for one of Debian's kernels, built by the compiler of its release.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::Context;
use portwitness_kmod::{Build, Headers};

use super::driver::Driver;
use crate::debian::{Apt, Kernel, Unpack, series_of};
use crate::workspace::Workspace;

/// What kbuild calls beside the compiler that the headers depend on.
const TOOLS: [&str; 8] = ["binutils", "coreutils", "dash", "findutils", "grep", "make", "mawk", "sed"];

/// The module, from the last build when the driver is the same.
pub(crate) fn module_for(workspace: &Workspace, kernel: &Kernel, driver: &Driver) -> anyhow::Result<PathBuf> {
    let series = series_of(&kernel.release).with_context(|| format!("`{}` is no kernel's release", kernel.release))?;
    // Two builds in one folder would delete each other's files.
    let _alone = workspace.lock("kmod-build")?;
    let (source, label) = driver.source(workspace, series)?;
    let place = workspace.root.join("target/kmod/modules").join(&kernel.release);
    let module = place.join(label.as_deref().unwrap_or("folder")).join("scap.ko");
    if label.is_some() && module.exists() {
        return Ok(module);
    }
    let root = builder(workspace, kernel)?;
    let headers = Headers::inside(&root, &kernel.release)?;
    eprintln!("kmod: building scap ({}) for Linux {}", source.versions(), kernel.release);
    let work = root.join("work").join(label.as_deref().unwrap_or("folder"));
    let built = Build { source: &source, headers: &headers, work: &work }.run().map_err(super::with_way_out)?;
    put(&built, &module)?;
    Ok(module)
}

/// Copies under another name first, so that a module is there whole or not at all.
pub(super) fn put(built: &Path, module: &Path) -> anyhow::Result<()> {
    let shown = || module.display().to_string();
    fs::create_dir_all(module.parent().unwrap_or(module)).with_context(shown)?;
    let unfinished = module.with_extension(format!("{}", std::process::id()));
    fs::copy(built, &unfinished).and_then(|_| fs::rename(&unfinished, module)).with_context(shown)
}

/// A root folder with the kernel's headers, its compiler, and what kbuild needs of a system.
fn builder(workspace: &Workspace, kernel: &Kernel) -> anyhow::Result<PathBuf> {
    let root = workspace.root.join("target/kmod/builders").join(&kernel.release);
    if root.is_dir() {
        return Ok(root);
    }
    eprintln!("kmod: fetching headers and compiler of Linux {} from Debian {}", kernel.release, kernel.debian.name);
    let mut packages = vec![format!("linux-headers-{}", kernel.release)];
    packages.extend(TOOLS.map(str::to_owned));
    let unpack = Unpack::into(&root)?;
    unpack.add(&Apt::of(workspace, kernel.debian)?.download_with_dependencies(&packages)?)?;
    let dir = unpack.dir();
    for folder in ["dev", "proc", "tmp", "work"] {
        fs::create_dir_all(dir.join(folder)).with_context(|| dir.display().to_string())?;
    }
    // What the packages' scripts would have made.
    for (link, target) in [("awk", "mawk"), ("sh", "dash")] {
        let link = dir.join("usr/bin").join(link);
        if !link.exists() {
            symlink(target, &link).with_context(|| link.display().to_string())?;
        }
    }
    unpack.finish()
}

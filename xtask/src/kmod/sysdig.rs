//! sysdig of a Debian release, unpacked with the libraries of that release and installed nowhere.

use std::path::PathBuf;

use anyhow::Context;

use super::launcher;
use crate::debian::{Apt, Unpack, release, remembered};
use crate::workspace::Workspace;

/// The program as it is run.
pub(super) fn program(workspace: &Workspace, debian: &str) -> anyhow::Result<PathBuf> {
    let _alone = workspace.lock("kmod-sysdig")?;
    let version = remembered(workspace, &format!("sysdig-{debian}"), || {
        let versions = Apt::of(workspace, release(debian)?)?.versions("sysdig")?;
        versions.into_iter().next().with_context(|| {
            format!("Debian {debian} has no sysdig: bookworm (for its driver, API 1) and sid (API 8) have one, --driver says which")
        })
    })?;
    let root = workspace.root.join("target/kmod/sysdig").join(version.replace(['/', ':', '~'], "_"));
    if !root.is_dir() {
        eprintln!("kmod: fetching sysdig {version} and its libraries from Debian {debian}");
        let unpack = Unpack::into(&root)?;
        let package = format!("sysdig={version}");
        unpack.add(&Apt::of(workspace, release(debian)?)?.download_with_dependencies(&[package])?)?;
        unpack.finish()?;
    }
    let place = workspace.root.join("target/kmod/sinsp").join(debian);
    launcher::put(
        &place,
        "sysdig",
        "cargo xtask kmod sysdig",
        &launcher::started_by_its_loader(&root, "usr/bin/sysdig"),
    )
}

//! Debian 12's sysdig, unpacked with the libraries of its release and installed nowhere.

use std::path::PathBuf;

use anyhow::Context;

use super::launcher;
use crate::debian::{Apt, Unpack, release, remembered};
use crate::workspace::Workspace;

/// The one release that has the package; its libsinsp speaks API 1.
const RELEASE: &str = "bookworm";

/// The program as it is run.
pub(super) fn program(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let _alone = workspace.lock("kmod-sysdig")?;
    let version = remembered(workspace, &format!("sysdig-{RELEASE}"), || {
        let versions = Apt::of(workspace, release(RELEASE)?)?.versions("sysdig")?;
        versions.into_iter().next().with_context(|| format!("Debian {RELEASE} has no sysdig"))
    })?;
    let root = workspace.root.join("target/kmod/sysdig").join(version.replace(['/', ':', '~'], "_"));
    if !root.is_dir() {
        eprintln!("kmod: fetching sysdig {version} and its libraries from Debian {RELEASE}");
        let unpack = Unpack::into(&root)?;
        let package = format!("sysdig={version}");
        unpack.add(&Apt::of(workspace, release(RELEASE)?)?.download_with_dependencies(&[package])?)?;
        unpack.finish()?;
    }
    let script = workspace.root.join("target/kmod/sinsp/sysdig");
    launcher::put_script(&script, &launcher::started_by_its_loader(&root, "usr/bin/sysdig"))?;
    Ok(script)
}

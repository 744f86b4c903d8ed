//! Which driver: Debian's packages hold three, and a checkout may be any.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use portwitness_kmod::Source;

use crate::debian::{Apt, Unpack, release, remembered, series_of};
use crate::workspace::Workspace;

/// Which source the module is built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Driver {
    /// Debian 12's where it builds, since sysdig and libsinsp of the same release speak to it; else the newest.
    Fitting,
    /// That of a Debian release.
    Debian(&'static str),
    /// A folder.
    Folder(PathBuf),
}

/// Debian 12's driver (0.1.1dev of 2022, API 1.0) builds for older ones only: `class_create` lost a parameter in Linux 6.4.
const TOO_NEW: (u32, u32) = (6, 4);

const PACKAGE: &str = "falcosecurity-scap-dkms";

impl Driver {
    /// What `--scap-src` and `--driver` say.
    pub(crate) fn of_option(option: &str, value: &str) -> anyhow::Result<Self> {
        Ok(match option {
            "--driver" => Self::Debian(release(value)?.name),
            _ => Self::Folder(value.into()),
        })
    }

    /// The Debian release whose libsinsp reads this driver's events in the kernel `release`; of a folder, nobody knows, so
    /// that which fits the kernel is tried.
    pub(crate) fn library(&self, release: &str) -> &'static str {
        match self {
            Self::Debian(name) => name,
            Self::Fitting | Self::Folder(_) => fitting(series_of(release).unwrap_or_default()),
        }
    }

    /// The source for a kernel of `series`, and a name for what is built from it; none for a folder, which may change.
    pub(super) fn source(&self, workspace: &Workspace, series: (u32, u32)) -> anyhow::Result<(Source, Option<String>)> {
        let name = match self {
            Self::Folder(folder) => return Ok((Source::open(folder)?, None)),
            Self::Debian(name) => name,
            Self::Fitting => fitting(series),
        };
        let version = remembered(workspace, &format!("{PACKAGE}-{name}"), || {
            let versions = Apt::of(workspace, release(name)?)?.versions(PACKAGE)?;
            versions.into_iter().next().with_context(|| {
                format!("Debian {name} has no {PACKAGE}: try --driver bookworm, trixie or sid, or --scap-src DIR")
            })
        })?;
        let label = version.replace(['/', ':', '~'], "_");
        let root = workspace.root.join("target/kmod/drivers").join(&label);
        if !root.is_dir() {
            eprintln!("kmod: fetching the driver {version} from Debian {name}");
            let unpack = Unpack::into(&root)?;
            unpack.add(&Apt::of(workspace, release(name)?)?.download(&[format!("{PACKAGE}={version}")])?)?;
            unpack.finish()?;
        }
        Ok((Source::open(&source_folder(&root.join("usr/src"))?)?, Some(label)))
    }
}

/// The Debian release whose driver, and whose libsinsp, is taken for a kernel of `series` where nothing else is asked for.
fn fitting(series: (u32, u32)) -> &'static str {
    if series < TOO_NEW { "bookworm" } else { "sid" }
}

/// The one folder `scap-VERSION` in `usr/src`.
fn source_folder(dir: &Path) -> anyhow::Result<PathBuf> {
    let entries = dir.read_dir().with_context(|| dir.display().to_string())?;
    let mut found: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
    ensure!(
        found.len() == 1,
        "{}: {} folders where one was expected: {PACKAGE} has changed",
        dir.display(),
        found.len()
    );
    Ok(found.remove(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_of_the_release_of_the_driver() {
        for (driver, kernel, library) in [
            (Driver::Fitting, "6.1.0-56-amd64", "bookworm"),
            (Driver::Fitting, "6.12.95+deb12-amd64", "sid"),
            (Driver::Debian("trixie"), "6.1.0-56-amd64", "trixie"),
            (Driver::Folder("/checkout".into()), "7.3.4+deb13-amd64", "sid"),
        ] {
            assert_eq!(driver.library(kernel), library, "{driver:?} on {kernel}");
        }
    }
}

//! sinsp-example, the example program of falcosecurity/libs, built with the libsinsp of a Debian release.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, anyhow, bail, ensure};

use super::library::Library;
use crate::debian::{Apt, release};
use crate::setup::logged;
use crate::workspace::Workspace;

/// Where the source has it.
const EXAMPLES: &str = "userspace/libsinsp/examples";
/// The files of it that the program is made of.
const SOURCES: [&str; 3] = ["test.cpp", "util.cpp", "util.h"];

/// The program as it is run: from the last build of this version, or built from the source of Debian's package, or from that
/// of a checkout where one is named.
pub(super) fn program(workspace: &Workspace, debian: &str, checkout: Option<&Path>) -> anyhow::Result<PathBuf> {
    let _alone = workspace.lock("kmod-events")?;
    if let Some(folder) = checkout {
        sources(folder)?;
    }
    let library = Library::fetch(workspace, debian)?;
    if checkout.is_some() || !library.has("sinsp-example") {
        let source = match checkout {
            Some(folder) => folder.to_owned(),
            None => fetched(workspace, debian, &library.version)?,
        };
        let from = source.display().to_string();
        library.build("sinsp-example", &sources(&source)?, &["test.cpp", "util.cpp"], &from)?;
    }
    library.launcher("sinsp-example", "cargo xtask kmod example")
}

/// The files in a folder of sources.
fn sources(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let paths = SOURCES.map(|name| folder.join(EXAMPLES).join(name));
    match paths.iter().find(|path| !path.exists()) {
        Some(missing) => {
            bail!("{} is not there: no source of falcosecurity/libs, or one without examples", missing.display())
        }
        None => Ok(paths.to_vec()),
    }
}

/// The examples of the package's source, without Debian's patches: none is about them.
fn fetched(workspace: &Workspace, debian: &str, version: &str) -> anyhow::Result<PathBuf> {
    // A binary package that was built again has the source of the first.
    let version =
        version.rsplit_once("+b").filter(|(_, n)| n.parse::<u32>().is_ok()).map_or(version, |(first, _)| first);
    let folder = workspace.root.join("target/kmod/libs").join(version.replace(['/', ':', '~'], "_"));
    if folder.join(EXAMPLES).is_dir() {
        return Ok(folder);
    }
    eprintln!("kmod: fetching the source of libsinsp {version} from Debian {debian}");
    let archives = Apt::of_sources(workspace, release(debian)?)
        .and_then(|apt| apt.source(&format!("falcosecurity-libs={version}")))
        .map_err(|error| {
            anyhow!(
                "{error:#}other ways: the source of another release (--driver trixie), which reads the module of that release's \
                 driver; cargo xtask kmod example --scap-src DIR, a checkout of falcosecurity/libs of version {version}"
            )
        })?;
    let original = archives.iter().find(|path| path.to_string_lossy().contains(".orig.tar."));
    let original = original.with_context(|| format!("the source of {version} has no .orig.tar"))?;
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--no-same-owner", "--strip-components=1", "--wildcards", "--directory"]).arg(&folder);
    tar.arg("--file").arg(original).arg(format!("*/{EXAMPLES}/*"));
    logged::run(&mut tar, &folder.join("tar.log"))
        .with_context(|| format!("the source of libsinsp {version} has no {EXAMPLES}"))?;
    if let Some(place) = original.parent() {
        fs::remove_dir_all(place).with_context(|| place.display().to_string())?;
    }
    ensure!(folder.join(EXAMPLES).is_dir(), "the source of libsinsp {version} has no {EXAMPLES}");
    Ok(folder)
}

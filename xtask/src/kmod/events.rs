//! sinsp-events, our program on libsinsp, built and run with the libraries of a Debian release, whatever this system is.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::library::Library;
use crate::workspace::Workspace;

const SOURCES: [&str; 4] = ["json.h", "library.h", "main.cc", "params.h"];

/// The program as it is run, on the libsinsp of this Debian release; from the last build when nothing has changed.
pub(crate) fn program(workspace: &Workspace, debian: &str) -> anyhow::Result<PathBuf> {
    let _alone = workspace.lock("kmod-events")?;
    let library = Library::fetch(workspace, debian)?;
    let sources = read(&workspace.root.join("kmod/sinsp-events"))?;
    if !library.has("sinsp-events") || library.built_from("sinsp-events") != sources {
        let paths = SOURCES.map(|name| workspace.root.join("kmod/sinsp-events").join(name));
        library.build("sinsp-events", &paths, &["main.cc"], &sources)?;
    }
    library.launcher("sinsp-events", "cargo xtask kmod events")
}

/// All sources in one text, so that any change shows.
fn read(folder: &Path) -> anyhow::Result<String> {
    let mut all = String::new();
    for name in SOURCES {
        let path = folder.join(name);
        all += &fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    }
    ensure!(!all.is_empty(), "{} is empty", folder.display());
    Ok(all)
}

//! bpf-linker: where it lies and whether its version fits.

use std::path::{Path, PathBuf};
use std::process::Command;

use thiserror::Error;

use crate::LINKER_VERSION;
use crate::environment::{home, in_path};

/// A bpf-linker of a fitting version.
#[derive(Debug, Clone)]
pub struct Linker {
    /// Absolute path of the program.
    pub path: PathBuf,
    /// Its version, such as `0.10.3`.
    pub version: String,
}

/// No bpf-linker that fits.
#[derive(Debug, Error)]
pub enum NoLinker {
    /// None was found.
    #[error("no bpf-linker in {tools}, in PATH, in ~/.cargo/bin")]
    Absent {
        /// The project's own folder for tools.
        tools: PathBuf,
    },
    /// One was found that does not fit.
    #[error("{path} has version {found}, needed is {LINKER_VERSION} or a later patch of it")]
    Version {
        /// Path of the program.
        path: PathBuf,
        /// What `--version` printed, or why it did not.
        found: String,
    },
}

impl Linker {
    /// Looks in `tools`/bin, then in `PATH`, then in the user's cargo folder; the first of a fitting version is taken.
    ///
    /// # Errors
    /// Names the first one whose version does not fit, or says that there is none.
    pub fn find(tools: &Path) -> Result<Self, NoLinker> {
        let own = Some(tools.join("bin/bpf-linker"));
        let users = home().map(|home| home.join(".cargo/bin/bpf-linker"));
        let mut unfit = None;
        for path in [own, in_path("bpf-linker"), users].into_iter().flatten().filter(|path| path.is_file()) {
            match version(&path) {
                Ok(version) if fits(&version) => return Ok(Self { path, version }),
                Ok(found) | Err(found) => unfit = unfit.or(Some(NoLinker::Version { path, found })),
            }
        }
        Err(unfit.unwrap_or_else(|| NoLinker::Absent { tools: tools.to_owned() }))
    }

    /// One phrase for people, such as `bpf-linker 0.10.3`.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("bpf-linker {}", self.version)
    }
}

/// The version that the program prints, or why it prints none.
fn version(program: &Path) -> Result<String, String> {
    let run = Command::new(program).arg("--version").output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&run.stdout);
    text.trim()
        .strip_prefix("bpf-linker ")
        .map(str::to_owned)
        .ok_or_else(|| "unknown (no answer to --version)".to_owned())
}

/// Same major and minor number as [`LINKER_VERSION`], and no earlier patch: a minor step of 0.x may read another LLVM.
fn fits(version: &str) -> bool {
    let numbers = |text: &str| text.split('.').map(str::parse).collect::<Result<Vec<u32>, _>>();
    match (numbers(version).as_deref(), numbers(LINKER_VERSION).as_deref()) {
        (Ok([major, minor, patch]), Ok([our_major, our_minor, our_patch])) => {
            (major, minor) == (our_major, our_minor) && patch >= our_patch
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_later_patch_fits_and_nothing_else() {
        assert!(fits("0.10.3") && fits("0.10.12"));
        for version in ["0.10.2", "0.9.15", "0.11.0", "1.0.0", "0.10", "nightly", ""] {
            assert!(!fits(version), "{version} must not fit");
        }
    }

    #[test]
    fn the_own_linker_is_found_and_its_version_read() {
        let folder = std::env::temp_dir().join(format!("portwitness-linker-{}", std::process::id()));
        let program = folder.join("bin/bpf-linker");
        fs::create_dir_all(folder.join("bin")).unwrap();
        fs::write(&program, "#!/bin/sh\necho bpf-linker 0.10.9\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let found = Linker::find(&folder);
        fs::remove_dir_all(&folder).unwrap();
        let found = found.unwrap();
        assert_eq!((found.path, found.version.as_str()), (program, "0.10.9"));
    }
}

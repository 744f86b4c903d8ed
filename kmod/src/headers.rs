//! Headers of a kernel, and the make that builds a module for them.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, thread};

use crate::root::command_in;

/// Where a kernel's headers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Headers {
    /// A folder of this system, installed or unpacked; the system's own compiler builds.
    Here(PathBuf),
    /// In a root folder with the compiler that its packages ask for; make is run with that as its root.
    Inside {
        /// The root.
        root: PathBuf,
        /// Release of the kernel: the headers are `/usr/src/linux-headers-RELEASE`.
        release: String,
    },
}

/// A folder without headers.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} holds no kernel headers (a Makefile and Module.symvers): install linux-headers of that kernel, or name their folder", .0.display()
)]
pub struct NoHeaders(PathBuf);

impl Headers {
    /// The headers in `dir`.
    pub fn here(dir: &Path) -> Result<Self, NoHeaders> {
        if dir.join("Makefile").is_file() && dir.join("Module.symvers").is_file() {
            return Ok(Self::Here(dir.to_owned()));
        }
        Err(NoHeaders(dir.to_owned()))
    }

    /// The headers of `release` among the packages in `root`.
    pub fn inside(root: &Path, release: &str) -> Result<Self, NoHeaders> {
        let Self::Here(_) = Self::here(&root.join(format!("usr/src/linux-headers-{release}")))? else {
            return Err(NoHeaders(root.to_owned()));
        };
        Ok(Self::Inside { root: root.to_owned(), release: release.to_owned() })
    }

    /// Make, for a module whose source is in `work`; the target is still to be added.
    pub(crate) fn make(&self, work: &Path) -> Command {
        let jobs = thread::available_parallelism().map_or(1, usize::from);
        let mut command = match self {
            Self::Here(dir) => here(dir, work),
            Self::Inside { root, release } => {
                let inside = |path: &Path| Path::new("/").join(path.strip_prefix(root).unwrap_or(path));
                let mut command = command_in(root, "make");
                command.arg("-C");
                command.arg(format!("/usr/src/linux-headers-{release}")).arg(variable("M=", &inside(work)));
                command
            }
        };
        // Kbuild takes these from the environment; a cargo that called us has set some of its own.
        for name in ["MAKEFLAGS", "MFLAGS", "CC", "ARCH", "KERNELDIR"] {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C").arg(format!("-j{jobs}"));
        command
    }
}

fn here(dir: &Path, work: &Path) -> Command {
    let mut command = Command::new("make");
    command.arg("-C").arg(dir).arg(variable("M=", work));
    // Debian's name a compiler of their release and include /usr/src/...-common: unpacked elsewhere, that lies beside them.
    let text = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
    if let Some(makefile) = text("Makefile").lines().find_map(|line| line.strip_prefix("include /")) {
        let installed = Path::new("/").join(makefile.trim());
        let mut names = installed.iter().rev();
        if let (false, Some(file), Some(common)) = (installed.exists(), names.next(), names.next()) {
            let beside = dir.parent().unwrap_or(dir).join(common).join(file);
            command.arg("-f").arg(beside).arg(variable("KBUILD_OUTPUT=", dir));
        }
    }
    if let Some(compiler) = named_compiler(&text(".kernelvariables")).filter(|name| !is_in_path(name)) {
        eprintln!("kmod: note: {compiler}, which built the kernel, is not installed: gcc builds the module");
        command.arg("CC=gcc");
    }
    command
}

/// `gcc-12` of `CC = $(...) $(CROSS_COMPILE)gcc-12`.
fn named_compiler(kernelvariables: &str) -> Option<&str> {
    let line = kernelvariables.lines().find(|line| line.starts_with("CC ="))?;
    let name = &line[line.rfind("gcc-")?..];
    Some(name.trim())
}

fn is_in_path(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

fn variable(name: &str, value: &Path) -> OsString {
    [OsStr::new(name), value.as_os_str()].into_iter().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn args(command: &Command) -> Vec<String> {
        command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect()
    }

    fn headers(makefile: &str) -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("usr/src/linux-headers-1.2-amd64");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("Makefile"), makefile).unwrap();
        fs::write(dir.join("Module.symvers"), "").unwrap();
        fs::write(dir.join(".kernelvariables"), "CC = $(if $(X),$(CCACHE)) $(CROSS_COMPILE)gcc-999\n").unwrap();
        (root, dir)
    }

    #[test]
    fn unpacked_headers_find_what_lies_beside_them() {
        let (root, dir) = headers("include /usr/src/linux-headers-1.2-common/Makefile\n");
        let made = args(&Headers::here(&dir).unwrap().make(Path::new("/work")));
        let beside = root.path().join("usr/src/linux-headers-1.2-common/Makefile");
        assert_eq!(made[..3], ["-C".to_owned(), dir.display().to_string(), "M=/work".to_owned()]);
        assert!(
            made.contains(&beside.display().to_string()) && made.contains(&format!("KBUILD_OUTPUT={}", dir.display()))
        );
        assert!(made.contains(&"CC=gcc".to_owned()), "gcc-999 is not installed: {made:?}");
    }

    #[test]
    fn headers_in_a_root_are_built_for_inside_it() {
        let (root, _) = headers("");
        let inside = Headers::inside(root.path(), "1.2-amd64").unwrap();
        let made = args(&inside.make(&root.path().join("work/x")));
        let end = made.iter().position(|arg| arg == "make").unwrap();
        assert_eq!(made[end + 1..end + 4], ["-C", "/usr/src/linux-headers-1.2-amd64", "M=/work/x"]);
        assert!(Headers::inside(root.path(), "9.9-amd64").is_err());
    }

    #[test]
    fn a_folder_without_headers_is_named() {
        let error = Headers::here(Path::new("/nonexistent")).unwrap_err().to_string();
        assert!(
            error.starts_with("/nonexistent holds no kernel headers") && error.contains("linux-headers"),
            "{error}"
        );
    }
}

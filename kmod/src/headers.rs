//! Headers of a kernel, and the make that builds a module for them.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
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
    pub(crate) fn make(&self, work: &Path) -> io::Result<Command> {
        let jobs = thread::available_parallelism().map_or(1, usize::from);
        let mut command = match self {
            Self::Here(dir) => here(dir, work)?,
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
        Ok(command)
    }

    /// The compiler that built the kernel and that this system lacks, when the system's own builds the module.
    pub fn missing_compiler(&self) -> Option<String> {
        let Self::Here(dir) = self else { return None };
        let variables = fs::read_to_string(dir.join(".kernelvariables")).unwrap_or_default();
        named_compiler(&variables).filter(|name| !is_in_path(name)).map(str::to_owned)
    }
}

fn here(dir: &Path, work: &Path) -> io::Result<Command> {
    let mut command = Command::new("make");
    command.arg("-C").arg(usable(dir, &work.join("headers"))?).arg(variable("M=", work));
    if let Some(compiler) = Headers::Here(dir.to_owned()).missing_compiler() {
        eprintln!("kmod: note: {compiler}, which built the kernel, is not installed: gcc builds the module");
        command.arg("CC=gcc");
    }
    Ok(command)
}

/// `dir`, or where that cannot be used as it is, a folder `stand_in` of links to all that is in it, which can.
///
/// Two things are in the way. Debian's headers name their other half by an absolute path, under which it does not lie when they
/// were unpacked somewhere else; from Linux 6.12 on they hold a `vmlinux`, for which kbuild calls pahole.
fn usable(dir: &Path, stand_in: &Path) -> io::Result<PathBuf> {
    let makefile = fs::read_to_string(dir.join("Makefile"))?;
    let beside = beside(dir, &makefile);
    let without_vmlinux = dir.join("vmlinux").exists() && !is_in_path("pahole");
    if beside.is_none() && !without_vmlinux {
        return Ok(dir.to_owned());
    }
    fs::create_dir_all(stand_in)?;
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let left_out = name == "vmlinux" || (name == "Makefile" && beside.is_some());
        if !left_out {
            symlink(dir.join(&name), stand_in.join(&name))?;
        }
    }
    if let Some(other_half) = beside {
        let text = format!("KBUILD_OUTPUT={}\ninclude {}\n", stand_in.display(), other_half.display());
        fs::write(stand_in.join("Makefile"), text)?;
    }
    Ok(stand_in.to_owned())
}

/// The makefile that Debian's `makefile` includes, where it lies beside `dir` and not where it is said to.
fn beside(dir: &Path, makefile: &str) -> Option<PathBuf> {
    let included = makefile.lines().find_map(|line| line.strip_prefix("include /"))?;
    let installed = Path::new("/").join(included.trim());
    let (file, common) = (installed.file_name()?, installed.parent()?.file_name()?);
    (!installed.exists()).then(|| dir.parent().unwrap_or(dir).join(common).join(file))
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
        let (root, dir) = headers("KBUILD_OUTPUT=/usr/src/x\ninclude /usr/src/linux-headers-1.2-common/Makefile\n");
        let work = root.path().join("work");
        let headers = Headers::here(&dir).unwrap();
        let made = args(&headers.make(&work).unwrap());
        let stand_in = work.join("headers");
        assert_eq!(made[..3], ["-C".to_owned(), stand_in.display().to_string(), format!("M={}", work.display())]);
        let beside = root.path().join("usr/src/linux-headers-1.2-common/Makefile");
        assert_eq!(
            fs::read_to_string(stand_in.join("Makefile")).unwrap(),
            format!("KBUILD_OUTPUT={}\ninclude {}\n", stand_in.display(), beside.display())
        );
        assert!(stand_in.join("Module.symvers").is_symlink());
        assert!(made.contains(&"CC=gcc".to_owned()), "gcc-999 is not installed: {made:?}");
        assert_eq!(headers.missing_compiler().as_deref(), Some("gcc-999"));
    }

    #[test]
    fn headers_that_can_be_used_are_and_a_vmlinux_is_hidden_from_kbuild() {
        let (root, dir) = headers("all:\n");
        let stand_in = root.path().join("headers");
        assert_eq!(usable(&dir, &stand_in).unwrap(), dir);
        fs::write(dir.join("vmlinux"), "").unwrap();
        if !is_in_path("pahole") {
            assert_eq!(usable(&dir, &stand_in).unwrap(), stand_in);
            assert!(stand_in.join("Makefile").is_symlink() && !stand_in.join("vmlinux").exists());
        }
    }

    #[test]
    fn headers_in_a_root_are_built_for_inside_it() {
        let (root, _) = headers("");
        let inside = Headers::inside(root.path(), "1.2-amd64").unwrap();
        let made = args(&inside.make(&root.path().join("work/x")).unwrap());
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

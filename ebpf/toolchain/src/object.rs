//! Building the eBPF object: the flags, the run of cargo, the file that comes out.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use thiserror::Error;

use crate::{Origin, Toolchain};

/// The target of the programs: eBPF, little endian.
pub const TARGET: &str = "bpfel-unknown-none";

/// Package of the programs.
const PACKAGE: &str = "portwitness-ebpf";

/// What to build from and where to.
#[derive(Debug, Clone)]
pub struct Job {
    /// Root of the workspace.
    pub workspace: PathBuf,
    /// File for what cargo prints; it is written anew.
    pub log: PathBuf,
    /// Architecture of the kernel that will load the object, as `target_arch` spells it: argument registers differ.
    pub arch: String,
    /// More flags for rustc.
    pub flags: Vec<String>,
}

/// A build that gave no object.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The compiler or the linker refused.
    #[error("the eBPF programs do not build: {first} (whole output in {log})")]
    Refused {
        /// First line of the output that says `error`.
        first: String,
        /// File with everything that cargo printed.
        log: PathBuf,
    },
    /// A file or a process could not be made.
    #[error("{path}: {source}")]
    Io {
        /// What was worked on.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Toolchain {
    /// Builds the programs in release mode with BTF and returns the path of the object.
    ///
    /// # Errors
    /// When a file cannot be written, or cargo ends with anything but success.
    pub fn build(&self, job: &Job) -> Result<PathBuf, BuildError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| BuildError::Io { path, source }
        };
        let log = job.log.clone();
        let output = File::create(&log).map_err(at(&log))?;
        let mut cargo = self.cargo("build", job)?;
        cargo.args(["--release", "--color", "never"]);
        cargo.stdin(Stdio::null()).stdout(output.try_clone().map_err(at(&log))?).stderr(output);
        let status = cargo.status().map_err(at(&self.compiler.cargo))?;
        let object = target_dir(&job.workspace).join(TARGET).join("release").join(PACKAGE);
        if status.success() && object.exists() {
            return Ok(object);
        }
        let text = fs::read_to_string(&log).unwrap_or_default();
        Err(BuildError::Refused { first: first_error(&text).unwrap_or_else(|| status.to_string()), log })
    }

    /// `cargo <subcommand>` on the package of the programs, with every flag that an eBPF build needs; `clippy` runs the
    /// compiler's own.
    ///
    /// # Errors
    /// When the folder with the LLVM library cannot be made.
    pub fn cargo(&self, subcommand: &str, job: &Job) -> Result<Command, BuildError> {
        let mut cargo = self.compiler.cargo();
        if let ("clippy", Some(clippy)) = (subcommand, self.compiler.clippy()) {
            // By name, cargo would take rustup's proxy, which answers for another toolchain.
            let mut command = Command::new(clippy);
            crate::forget_outer_cargo(&mut command);
            command.env("CARGO", &self.compiler.cargo).env("RUSTC", &self.compiler.rustc);
            cargo = command;
        }
        cargo.current_dir(&job.workspace).arg(subcommand);
        let target_dir = target_dir(&job.workspace);
        cargo.args(["--locked", "--package", PACKAGE, "--target", TARGET, "--target-dir"]).arg(&target_dir);
        if self.compiler.origin == Origin::RustupNightly {
            cargo.args(["-Z", "build-std=core"]);
        } else {
            // Debian's compiler is a stable one, and the inline assembly of eBPF is an unstable feature.
            cargo.env("RUSTC_BOOTSTRAP", "1");
        }
        cargo.env("CARGO_ENCODED_RUSTFLAGS", self.flags(job).join("\x1f"));
        cargo.env("LD_LIBRARY_PATH", self.llvm_folder(&target_dir)?);
        Ok(cargo)
    }

    fn flags(&self, job: &Job) -> Vec<String> {
        let mut flags = vec![
            format!("-Clinker={}", self.linker.path.display()),
            format!("--cfg=bpf_target_arch=\"{}\"", job.arch),
            // BTF is made from debug information.
            "-Cdebuginfo=2".to_owned(),
            "-Clink-arg=--btf".to_owned(),
        ];
        flags.extend(job.flags.iter().cloned());
        flags
    }

    /// A folder with a link to the compiler's LLVM and nothing else: bpf-linker loads the first `libLLVM*` that it meets in
    /// `LD_LIBRARY_PATH`, and a system's folder may hold several versions.
    fn llvm_folder(&self, target_dir: &Path) -> Result<PathBuf, BuildError> {
        let folder = target_dir.join("llvm");
        let link = folder.join("libLLVM.so");
        let made = || -> io::Result<()> {
            if fs::read_link(&link).is_ok_and(|to| to == self.compiler.llvm) {
                return Ok(());
            }
            fs::create_dir_all(&folder)?;
            match fs::remove_file(&link) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => symlink(&self.compiler.llvm, &link),
            }
        };
        // Another build that shares the folder may have made the same link in between.
        let made = || made().or_else(|error| if link.exists() { Ok(()) } else { Err(error) });
        made().map_err(|source| BuildError::Io { path: link.clone(), source })?;
        Ok(folder)
    }
}

/// One target folder for every profile of the workspace, since the object is the same; not cargo's own, whose lock an outer
/// cargo holds.
fn target_dir(workspace: &Path) -> PathBuf {
    workspace.join("target/ebpf")
}

/// First line that starts with `error`, and the place it points to.
fn first_error(output: &str) -> Option<String> {
    let mut lines = output.lines().skip_while(|line| !line.starts_with("error"));
    let error = lines.next()?.trim().to_owned();
    let place = lines.next().map(str::trim).and_then(|line| line.strip_prefix("--> "));
    Some(place.map_or(error.clone(), |place| format!("{error} at {place}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_is_told_with_its_place() {
        let output = "   Compiling x\nwarning: unused\nerror[E0425]: cannot find value `y`\n  --> ebpf/src/main.rs:3:5\nerror: aborting\n";
        let told = first_error(output);
        assert_eq!(told.as_deref(), Some("error[E0425]: cannot find value `y` at ebpf/src/main.rs:3:5"));
        assert_eq!(first_error("error: linking failed\n").as_deref(), Some("error: linking failed"));
        assert_eq!(first_error("warning: nothing\n"), None);
    }
}

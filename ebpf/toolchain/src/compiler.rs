//! The Rust compiler for eBPF: rustup's nightly with the sources of `core`, or Debian's with `core` ready-made.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use thiserror::Error;

use crate::LLVM_MAJOR;
use crate::environment::{forget_outer_cargo, home, in_path};
use crate::object::TARGET;

/// Where a compiler comes from, which decides the flags of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// rustup's nightly with `rust-src`: `core` is built along.
    RustupNightly,
    /// Debian's `rustc-web`, `cargo-web` and `libstd-rust-web-dev-bpf`: `core` is in the package.
    Debian,
}

/// A compiler that can build eBPF programs.
#[derive(Debug, Clone)]
pub struct Compiler {
    /// Where it comes from.
    pub origin: Origin,
    /// Version of rustc, such as `1.96.0`.
    pub version: String,
    /// Absolute path of `cargo`.
    pub cargo: PathBuf,
    /// Absolute path of `rustc`.
    pub rustc: PathBuf,
    /// The LLVM shared library that this compiler uses; bpf-linker loads the same one.
    pub llvm: PathBuf,
}

/// Why one place offers no compiler.
#[derive(Debug, Error)]
pub enum Lack {
    /// The program is not there.
    #[error("{0} not found")]
    Program(String),
    /// The program is there and does not answer.
    #[error("`{0}` failed: {1}")]
    Failed(String, String),
    /// `core` is lacking, as sources or as a library.
    #[error("{what} lacking ({path})")]
    Core {
        /// What it is: `rust-src` or `core for bpfel-unknown-none`.
        what: &'static str,
        /// The path that does not exist.
        path: PathBuf,
    },
    /// The compiler writes bitcode of another LLVM than bpf-linker reads.
    #[error("rustc {version} uses LLVM {llvm}, bpf-linker reads LLVM {LLVM_MAJOR}")]
    Llvm {
        /// Version of rustc.
        version: String,
        /// Its LLVM version, as `rustc -vV` prints it.
        llvm: String,
    },
    /// The shared library of LLVM is not where it belongs.
    #[error("no libLLVM.so.{LLVM_MAJOR}* in {0}")]
    Library(PathBuf),
}

/// No place offers a compiler, with the reason of each.
#[derive(Debug, Error)]
#[error("no eBPF compiler: rustup nightly: {nightly}; Debian's rustc-web: {debian}")]
pub struct NoCompiler {
    /// Why rustup's nightly cannot be used.
    pub nightly: Lack,
    /// Why Debian's packages cannot be used.
    pub debian: Lack,
}

impl Compiler {
    /// Takes rustup's nightly with `rust-src` when it is there, else Debian's packages.
    ///
    /// # Errors
    /// Says for each of the two what it lacks.
    pub fn find() -> Result<Self, NoCompiler> {
        Self::rustup_nightly().or_else(|nightly| Self::debian().map_err(|debian| NoCompiler { nightly, debian }))
    }

    /// `cargo` of this compiler, free of what an outer cargo set; builds for the host unless told otherwise.
    #[must_use]
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        forget_outer_cargo(&mut command);
        command.env("RUSTC", &self.rustc);
        command
    }

    /// Absolute path of this compiler's `cargo-clippy`, where it has one (Debian's packages have none by default).
    #[must_use]
    pub fn clippy(&self) -> Option<PathBuf> {
        Some(self.cargo.with_file_name("cargo-clippy")).filter(|path| path.exists())
    }

    /// One phrase for people, such as `Debian's rustc 1.96.0 (LLVM 22)`.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("{} rustc {} (LLVM {LLVM_MAJOR})", self.origin, self.version)
    }

    fn rustup_nightly() -> Result<Self, Lack> {
        let rustup = in_path("rustup")
            .or_else(|| home().map(|home| home.join(".cargo/bin/rustup")).filter(|path| path.exists()))
            .ok_or_else(|| Lack::Program("rustup".to_owned()))?;
        let sysroot = PathBuf::from(output(&rustup, ["run", "nightly", "rustc", "--print", "sysroot"])?.trim());
        let sources = sysroot.join("lib/rustlib/src/rust/library/core");
        if !sources.exists() {
            return Err(Lack::Core { what: "rust-src", path: sources });
        }
        Self::with(Origin::RustupNightly, &sysroot.join("bin"), &sysroot.join("lib"))
    }

    fn debian() -> Result<Self, Lack> {
        let core = Path::new("/usr/lib/rustlib").join(TARGET).join("lib");
        if !core.exists() {
            return Err(Lack::Core { what: "core for bpfel-unknown-none", path: core });
        }
        let libraries = format!("/usr/lib/{}-linux-gnu", env::consts::ARCH);
        Self::with(Origin::Debian, Path::new("/usr/bin"), Path::new(&libraries))
    }

    fn with(origin: Origin, programs: &Path, libraries: &Path) -> Result<Self, Lack> {
        let [cargo, rustc] = [programs.join("cargo"), programs.join("rustc")];
        for program in [&cargo, &rustc] {
            if !program.exists() {
                return Err(Lack::Program(program.display().to_string()));
            }
        }
        let (version, llvm) = versions(&output(&rustc, ["-vV"])?);
        if llvm.split('.').next() != Some(LLVM_MAJOR.to_string().as_str()) {
            return Err(Lack::Llvm { version, llvm });
        }
        let llvm = llvm_library(libraries).ok_or_else(|| Lack::Library(libraries.to_owned()))?;
        Ok(Self { origin, version, cargo, rustc, llvm })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RustupNightly => "rustup's nightly",
            Self::Debian => "Debian's",
        })
    }
}

/// Runs a program and returns its standard output.
fn output<const N: usize>(program: &Path, args: [&str; N]) -> Result<String, Lack> {
    let shown = format!("{} {}", program.display(), args.join(" "));
    let mut command = Command::new(program);
    forget_outer_cargo(&mut command);
    // rustup would otherwise download a toolchain that is asked for and not there.
    let run = command.args(args).env("RUSTUP_AUTO_INSTALL", "0").output();
    let run = run.map_err(|error| Lack::Failed(shown.clone(), error.to_string()))?;
    if !run.status.success() {
        let stderr = String::from_utf8_lossy(&run.stderr);
        return Err(Lack::Failed(shown, stderr.lines().next().unwrap_or("no message").to_owned()));
    }
    Ok(String::from_utf8_lossy(&run.stdout).into_owned())
}

/// Release and LLVM version out of `rustc -vV`; empty where the line is lacking.
fn versions(verbose: &str) -> (String, String) {
    let field =
        |name: &str| verbose.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
    (field("release:"), field("LLVM version:"))
}

/// The shared library itself; the `libLLVM-22*.so` beside it may be a linker script, which cannot be loaded.
fn llvm_library(folder: &Path) -> Option<PathBuf> {
    let prefix = format!("libLLVM.so.{LLVM_MAJOR}");
    let files = fs::read_dir(folder).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    files
        .into_iter()
        .find(|path| path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with(&prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_rustc() {
        let verbose = "rustc 1.96.0 (ac68faa20 2026-05-25)\nrelease: 1.96.0\nLLVM version: 22.1.8\n";
        assert_eq!(versions(verbose), ("1.96.0".to_owned(), "22.1.8".to_owned()));
        assert_eq!(versions("nothing"), (String::new(), String::new()));
    }

    #[test]
    fn an_absent_program_and_a_failing_one_are_told_apart() {
        let absent = output(Path::new("/nonexistent/rustc"), ["-vV"]);
        assert!(matches!(absent, Err(Lack::Failed(shown, _)) if shown == "/nonexistent/rustc -vV"));
        assert!(matches!(output(Path::new("/bin/false"), []), Err(Lack::Failed(_, why)) if why == "no message"));
    }

    #[test]
    fn both_reasons_reach_the_message() {
        let error = NoCompiler {
            nightly: Lack::Program("rustup".to_owned()),
            debian: Lack::Llvm { version: "1.99.0".to_owned(), llvm: "23.1.0".to_owned() },
        };
        let text = error.to_string();
        assert!(text.contains("rustup not found") && text.contains("LLVM 23.1.0"), "{text}");
    }
}

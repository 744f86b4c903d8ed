//! Finds a toolchain for eBPF programs on this machine and builds the object with it.
//!
//! A toolchain is a [`Compiler`] that has `core` for `bpfel-unknown-none` and a [`Linker`] (bpf-linker) that reads the LLVM
//! bitcode of that compiler. Nothing here installs anything: `cargo xtask setup` does, told by the typed reasons of this crate.

mod compiler;
mod environment;
mod linker;
mod object;

use std::path::{Path, PathBuf};

use thiserror::Error;

pub use compiler::{Compiler, Lack, NoCompiler, Origin};
pub use environment::forget_outer_cargo;
pub use linker::{Linker, NoLinker};
pub use object::{BuildError, Job, TARGET};

/// LLVM major version that bpf-linker 0.10 is built for; the compiler has to write the same bitcode.
pub const LLVM_MAJOR: u32 = 22;

/// Version of bpf-linker that `cargo xtask setup` installs; later patch versions of 0.10 are accepted too.
pub const LINKER_VERSION: &str = "0.10.3";

/// Where `cargo xtask setup` puts tools of its own, `bin/` inside: `<workspace>/target/tools`, whatever `CARGO_TARGET_DIR` says,
/// because a build script cannot know the latter.
#[must_use]
pub fn tools_dir(workspace: &Path) -> PathBuf {
    workspace.join("target/tools")
}

/// File that tells which toolchain was found last. `cargo xtask setup` rewrites it when the answer changes, which makes cargo run
/// the build script of the harness again.
#[must_use]
pub fn stamp_file(workspace: &Path) -> PathBuf {
    tools_dir(workspace).join("ebpf-toolchain")
}

/// A compiler and a linker that work together.
#[derive(Debug, Clone)]
pub struct Toolchain {
    /// Compiles Rust to LLVM bitcode.
    pub compiler: Compiler,
    /// Links the bitcode into an eBPF object with BTF.
    pub linker: Linker,
}

/// What an eBPF build lacks on this machine.
#[derive(Debug, Error)]
pub enum Lacking {
    /// No compiler with `core` for eBPF.
    #[error(transparent)]
    Compiler(#[from] NoCompiler),
    /// No bpf-linker of the right version.
    #[error(transparent)]
    Linker(#[from] NoLinker),
}

impl Toolchain {
    /// Looks for a compiler and a linker; takes two short processes (about 50 ms).
    ///
    /// # Errors
    /// Says which half is lacking, and what each place that was looked at lacks.
    pub fn find(workspace: &Path) -> Result<Self, Lacking> {
        Ok(Self { compiler: Compiler::find()?, linker: Linker::find(&tools_dir(workspace))? })
    }

    /// One line that names both halves, such as `Debian's rustc 1.96.0 (LLVM 22), bpf-linker 0.10.3`.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("{}, {}", self.compiler.describe(), self.linker.describe())
    }
}

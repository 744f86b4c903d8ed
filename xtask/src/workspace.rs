//! Where things lie, and the cargo that started us.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, anyhow};

/// The checkout and the target folder that this program was built into.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Root of the checkout.
    pub(crate) root: PathBuf,
    /// Cargo's target folder, whichever way it was chosen.
    pub(crate) target_dir: PathBuf,
    /// This program, by the path under which it was started: it is another file by now when a build has replaced it.
    pub(crate) program: PathBuf,
}

impl Workspace {
    /// Takes the checkout that this program was compiled from, and the target folder that it lies in (`<target>/debug/xtask`).
    pub(crate) fn locate() -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent folder")?;
        let program = env::current_exe().context("the path of xtask itself")?;
        let target_dir =
            program.ancestors().nth(2).ok_or_else(|| anyhow!("no target folder above {}", program.display()))?;
        Ok(Self { root: root.to_owned(), target_dir: target_dir.to_owned(), program: program.clone() })
    }

    /// Folder for what set-up prints and leaves half-way: `<root>/target/setup`.
    pub(crate) fn setup_dir(&self) -> PathBuf {
        self.root.join("target/setup")
    }

    /// Waits until no other xtask of this checkout holds the lock `name`; it is held as long as the file lives.
    pub(crate) fn lock(&self, name: &str) -> anyhow::Result<File> {
        let path = self.root.join("target").join(name).with_extension("lock");
        let shown = || path.display().to_string();
        fs::create_dir_all(path.parent().unwrap_or(&path)).with_context(shown)?;
        let file = File::create(&path).with_context(shown)?;
        file.lock().with_context(shown)?;
        Ok(file)
    }

    /// `path` as people read it: relative to the checkout where it lies inside.
    pub(crate) fn shown<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }

    /// `cargo <subcommand>` on this workspace, into the same target folder, from the user's working folder.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
        cargo.arg(subcommand).arg("--manifest-path").arg(self.root.join("Cargo.toml"));
        cargo.arg("--target-dir").arg(&self.target_dir);
        cargo
    }
}

/// Becomes `command`, so that signals and the exit code are its own. Returns only when that fails.
pub(crate) fn become_command(command: &mut Command) -> anyhow::Error {
    let program = command.get_program().to_owned();
    anyhow!(command.exec()).context(format!("cannot start {}", program.display()))
}

/// Whether this process may do what only root may: its own folder in /proc belongs to its effective user.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

//! QEMU: this system's where it has one, else Debian 12's, unpacked and never installed.
//!
//! An unpacked one disturbs nothing and needs no root; apt may refuse to install one, as where `qemu-utils` of another version is.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::debian::{Apt, Unpack, release};
use crate::workspace::Workspace;

const PROGRAM: &str = "qemu-system-x86_64";
const PACKAGE: &str = "qemu-system-x86";

/// The program that runs machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Emulator {
    /// In `PATH`.
    Installed,
    /// Below this folder, with all its libraries and its firmware.
    Unpacked(PathBuf),
}

impl Emulator {
    /// Looks for one, and fetches it when there is none.
    ///
    /// # Errors
    /// Without one, when it cannot be fetched.
    pub(super) fn of(workspace: &Workspace) -> anyhow::Result<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        if env::split_paths(&path).any(|folder| folder.join(PROGRAM).is_file()) {
            return Ok(Self::Installed);
        }
        let root = workspace.root.join("target/debian/qemu");
        if !root.is_dir() {
            let bookworm = release("bookworm")?;
            eprintln!(
                "vm: no {PROGRAM} is installed: fetching one from Debian {} into target/debian/qemu",
                bookworm.name
            );
            let fetch = || -> anyhow::Result<()> {
                let unpack = Unpack::into(&root)?;
                unpack.add(&Apt::of(workspace, bookworm)?.download_with_dependencies(&[PACKAGE.to_owned()])?)?;
                unpack.finish().map(drop)
            };
            fetch().with_context(|| format!("there is no QEMU: install {PACKAGE}, or let it be fetched"))?;
        }
        Ok(Self::Unpacked(root))
    }

    /// QEMU as a child that dies with us, however we die; its options are still to be added.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]);
        match self {
            Self::Installed => command.arg(PROGRAM),
            Self::Unpacked(root) => unpacked(&mut command, root),
        };
        command
    }
}

/// Started by the loader of its own release: it takes that one's libraries and nothing of this system's.
fn unpacked<'a>(command: &'a mut Command, root: &Path) -> &'a mut Command {
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    command.env("QEMU_MODULE_DIR", libraries.join("qemu"));
    command.arg(root.join("lib64/ld-linux-x86-64.so.2")).arg("--library-path");
    command.arg(format!("{}:{}", libraries.display(), libraries.join("pulseaudio").display()));
    command.arg(root.join("usr/bin").join(PROGRAM));
    for firmware in ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"] {
        command.arg("-L").arg(root.join(firmware));
    }
    command
}

//! The folder of a machine: what it boots from, what it says, and what its command leaves in `/out`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use crate::workspace::Workspace;

/// A folder that no other machine uses as long as this lives.
#[derive(Debug)]
pub(super) struct RunDir {
    pub(super) initramfs: PathBuf,
    /// What the kernel prints.
    pub(super) console: PathBuf,
    /// What the first process tells.
    pub(super) control: PathBuf,
    /// What the guest has to do, step by step.
    pub(super) plan: PathBuf,
    /// `/out` of the guest.
    pub(super) out: PathBuf,
    _lock: File,
}

/// Bytes that have to be free in the out folder.
const ROOM: u64 = 1 << 20;

/// Machines of one kernel at the same time.
const MOST: u32 = 8;

impl RunDir {
    /// Whether the out folder can take anything: a run must not end with its results cut short.
    pub(super) fn has_room(&self) -> anyhow::Result<()> {
        let disk = rustix::fs::statvfs(&self.out).with_context(|| self.out.display().to_string())?;
        let free = disk.f_bavail * disk.f_frsize;
        let (out, kib) = (self.out.display(), free / 1024);
        ensure!(
            free >= ROOM,
            "the out folder {out} is full, {kib} KiB are free: make room, or name another by --out DIR"
        );
        Ok(())
    }

    /// Keeps what the last kernel printed as `console.previous.log`: a boot begins a console of its own.
    pub(super) fn keep_console(&self) -> anyhow::Result<()> {
        let previous = self.console.with_extension("previous.log");
        match fs::rename(&self.console, &previous) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| previous.display().to_string())
            }
            _ => Ok(()),
        }
    }

    /// Takes `target/vm/RELEASE`, or `RELEASE.2` and so on while others run.
    pub(super) fn claim(workspace: &Workspace, release: &str, out: Option<&Path>) -> anyhow::Result<Self> {
        for number in 1..=MOST {
            let name = if number == 1 { release.to_owned() } else { format!("{release}.{number}") };
            let dir = workspace.root.join("target/vm").join(name);
            fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
            let path = dir.join("lock");
            let lock = File::create(&path).with_context(|| path.display().to_string())?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => continue,
                Err(fs::TryLockError::Error(error)) => return Err(error).with_context(|| path.display().to_string()),
            }
            let out = out.map_or_else(|| dir.join("out"), Path::to_owned);
            fs::create_dir_all(&out).with_context(|| format!("the out folder {}", out.display()))?;
            let out = out.canonicalize().with_context(|| out.display().to_string())?;
            let file = |name: &str| dir.join(name);
            return Ok(Self {
                initramfs: file("initramfs.cpio"),
                console: file("console.log"),
                control: file("control"),
                plan: file("plan.json"),
                out,
                _lock: lock,
            });
        }
        bail!("{MOST} machines with Linux {release} run already: wait for one to end")
    }
}

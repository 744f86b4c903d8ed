//! The guest's first root: busybox, the modules that reach the host's root, and the job.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::Context;

use super::cpio::Archive;
use super::job::Job;
use super::modules::with_dependencies;
use crate::debian::{Apt, Kernel, Unpack, release};
use crate::workspace::Workspace;

/// Ports, shared folders and the overlay; then what programs would have the kernel load by name.
const MODULES: [&str; 8] =
    ["virtio_pci", "virtio_console", "9p", "9pnet_virtio", "overlay", "inet_diag", "tcp_diag", "veth"];

/// The archive for one run.
pub(super) fn build(workspace: &Workspace, kernel: &Kernel, job: &Job) -> anyhow::Result<Vec<u8>> {
    let busybox = busybox(workspace)?;
    let modules = with_dependencies(&kernel.modules(), &MODULES)
        .with_context(|| format!("the modules of Linux {}", kernel.release))?;
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "modules", "proc", "sys"] {
        archive.folder(folder);
    }
    archive.program("bin/busybox", &read(&busybox)?);
    let order: String = modules.iter().map(|module| format!("{}\n", module.name)).collect();
    archive.file("modules/order", order.as_bytes());
    for module in &modules {
        archive.file(&format!("modules/{}.ko", module.name), &module.code);
    }
    archive.file("guest.sh", include_bytes!("guest.sh"));
    archive.file("job.sh", job.script().as_bytes());
    archive.program("init", include_bytes!("init.sh"));
    Ok(archive.finish())
}

/// A busybox that needs no libraries; fetched where it is not there yet.
pub(super) fn busybox(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let root = workspace.root.join("target/debian/busybox");
    if !root.is_dir() {
        let unpack = Unpack::into(&root)?;
        unpack.add(&Apt::of(workspace, release("bookworm")?)?.download(&["busybox-static".to_owned()])?)?;
        unpack.finish()?;
    }
    Ok(root.join("bin/busybox"))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).map_err(|error: io::Error| error).with_context(|| path.display().to_string())
}

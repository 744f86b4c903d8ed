//! What this machine offers to eBPF programs: BTF, tracefs, offsets.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{fmt, fs};

use aya::{Btf, EbpfLoader, Endianness};
use portwitness_ebpf_common::Offsets;
use rustix::mount::{MountFlags, mount};

use super::offsets;

/// What is the same for all rungs, found once.
pub(super) struct Kernel {
    pub(super) btf: Result<Btf, String>,
    pub(super) tracefs: Result<PathBuf, String>,
    pub(super) offsets: Offsets,
    pub(super) formats: Result<(), String>,
    /// For the first rung that is tried: a new one reads and parses all of the kernel's BTF, wanted or not (aya 0.14).
    loader: Mutex<Option<EbpfLoader<'static>>>,
}

impl Kernel {
    /// Reads the kernel's BTF and the formats of its tracepoints; mounts tracefs where it is not.
    pub(super) fn look() -> Self {
        let mut offsets = Offsets::NONE;
        std::thread::scope(|scope| {
            let loader = scope.spawn(EbpfLoader::new);
            let btf = read_btf(&mut offsets).inspect_err(|why| tracing::debug!("no BTF: {why}"));
            let tracefs = tracefs();
            let formats = tracefs.clone().and_then(|tracefs| offsets::from_formats(&tracefs, &mut offsets));
            Self { btf, tracefs, offsets, formats, loader: Mutex::new(loader.join().ok()) }
        })
    }

    /// A loader.
    pub(super) fn loader(&self) -> EbpfLoader<'static> {
        let made = self.loader.lock().unwrap_or_else(PoisonError::into_inner).take();
        made.unwrap_or_default()
    }
}

fn read_btf(offsets: &mut Offsets) -> Result<Btf, String> {
    let path = offsets::btf_path();
    let failed = |why: &dyn fmt::Display| format!("no BTF in {}: {why}", path.display());
    let bytes = fs::read(&path).map_err(|error| failed(&error))?;
    offsets::from_btf(&bytes, offsets).map_err(|error| failed(&error))?;
    Btf::parse(&bytes, Endianness::default()).map_err(|error| failed(&error))
}

/// Where tracefs is mounted; mounts it where nobody has.
pub(crate) fn tracefs() -> Result<PathBuf, String> {
    let places = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"].map(Path::new);
    let mounted = || places.into_iter().find(|place| place.join("events").exists()).map(Path::to_owned);
    if let Some(place) = mounted() {
        return Ok(place);
    }
    let place = places[0];
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    // Somebody else may have mounted it meanwhile.
    mount("tracefs", place, "tracefs", flags, None)
        .map_err(|error| format!("tracefs is not mounted, and mounting it on {} failed: {error}", place.display()))
        .or_else(|error| mounted().map(|_| ()).ok_or(error))?;
    // The files appear with the mount; a mount that is still being set up by another process may take a moment.
    for _ in 0..10 {
        if let Some(place) = mounted() {
            return Ok(place);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(format!("tracefs on {} has no events: this kernel was built without tracepoints", place.display()))
}

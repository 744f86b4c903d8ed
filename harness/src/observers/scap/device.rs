//! Opens the module's devices, one a CPU, and asks for the events that are wanted.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use portwitness_kmod::{Protocol, Version, Versions};

use super::ring::{InfoLayout, Order, Ring, VersionOf, control, version};
use super::wire;
use crate::observers::ObserverError;

/// Where the devices are, and what the module tells of its parameters.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// `/dev`.
    pub(super) devices: PathBuf,
    /// `/sys/module/scap/parameters`.
    pub(super) parameters: PathBuf,
}

impl Default for Place {
    fn default() -> Self {
        Self { devices: "/dev".into(), parameters: "/sys/module/scap/parameters".into() }
    }
}

/// What to do when there is no module.
pub(super) const LOAD: &str = "load it as root: cargo xtask kmod load, or run in a VM: cargo xtask run --vm";

/// The open devices: the thread that opened them is the reader, for the module, and no other can open them for it.
pub(super) struct Devices {
    files: Vec<Device>,
    protocol: Protocol,
    pub(super) api: Version,
    ring_bytes: usize,
}

struct Device {
    cpu: u32,
    file: File,
}

/// Rings of API 1 have this size (`RING_BUF_SIZE` in `driver/ppm_ringbuffer.h`); so have later ones where nothing else was asked
/// for.
const RING_BYTES: usize = 8 << 20;

impl Devices {
    /// Opens the device of every CPU that is online.
    pub(super) fn open(place: &Place) -> Result<Self, ObserverError> {
        let mut paths = numbered(&place.devices).map_err(|error| io_error("list the devices of scap", error))?;
        paths.sort_unstable();
        if paths.is_empty() {
            let lacks = format!("there is no {}: the module is not loaded", place.devices.join("scap0").display());
            return Err(lacking(lacks, LOAD));
        }
        let mut files = Vec::new();
        for (cpu, path) in paths {
            // The tail is written through the mapping of the info page.
            match File::options().read(true).write(true).open(&path) {
                Ok(file) => files.push(Device { cpu, file }),
                // The CPU is offline.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
                Err(error) => return Err(refused(&path, error)),
            }
        }
        let Some(first) = files.first() else {
            return Err(lacking("no CPU of the module's is online".into(), "load the module anew"));
        };
        let ask = |of| {
            let packed = version(first.file.as_fd(), of);
            packed.map(Version::unpack).map_err(|error| io_error("ask scap for its version", error))
        };
        let (api, schema) = (ask(VersionOf::Api)?, ask(VersionOf::Schema)?);
        let protocol = protocol(Versions { api, schema })?;
        let ring_bytes = match protocol {
            Protocol::Events => RING_BYTES,
            Protocol::CallsInPairs | Protocol::Calls => ring_bytes(&place.parameters.join("g_buffer_bytes_dim"))?,
        };
        Ok(Self { files, protocol, api, ring_bytes })
    }

    /// The CPUs that have a ring, in the order of [`Self::rings`].
    pub(super) fn cpus(&self) -> Vec<u32> {
        self.files.iter().map(|device| device.cpu).collect()
    }

    /// Maps the rings.
    pub(super) fn rings(&self) -> io::Result<Vec<Ring>> {
        let layout = layout(self.protocol);
        let map = |device: &Device| Ring::map(device.file.as_fd(), device.file.as_fd(), self.ring_bytes, layout);
        self.files.iter().map(map).collect()
    }

    /// Asks for the events that are wanted, now that every device is open: opening one asks for all, or for none.
    pub(super) fn begin(&self) -> io::Result<()> {
        let Some(first) = self.files.first() else { return Ok(()) };
        let first = first.file.as_fd();
        match self.protocol {
            Protocol::Events => {
                control(first, Order::ZeroEvents, 0)?;
                wire::wanted_1().try_for_each(|code| control(first, Order::SetEvent, code.into()))?;
                self.files.iter().try_for_each(|device| control(device.file.as_fd(), Order::EnableCapture, 0))
            }
            Protocol::CallsInPairs | Protocol::Calls => {
                wanted_calls().try_for_each(|number| control(first, Order::EnableSyscall, number as usize))?;
                TRACEPOINTS.into_iter().try_for_each(|tracepoint| control(first, Order::AttachTracepoint, tracepoint))
            }
        }
    }

    /// Asks for no more events.
    pub(super) fn end(&self) {
        for device in &self.files {
            // What fails here ends as the devices are closed.
            let _ = match self.protocol {
                Protocol::Events => control(device.file.as_fd(), Order::DisableCapture, 0),
                Protocol::CallsInPairs | Protocol::Calls => TRACEPOINTS
                    .into_iter()
                    .try_for_each(|tracepoint| control(device.file.as_fd(), Order::DetachTracepoint, tracepoint)),
            };
        }
    }
}

/// What is spoken by a module of these versions; an error names them when that is not known.
fn protocol(versions: Versions) -> Result<Protocol, ObserverError> {
    versions.protocol().ok_or_else(|| {
        let lacks = format!("the module speaks {versions}; known are {}", Versions::known());
        lacking(lacks, "load another: cargo xtask kmod load, with --driver or --scap-src")
    })
}

/// `struct ppm_ring_buffer_info`: behind the four common counters lie those of full rings by kind, if any.
fn layout(protocol: Protocol) -> InfoLayout {
    let (kinds, counts_preempted) = match protocol {
        Protocol::Events => (0, true),
        Protocol::CallsInPairs => (14, false),
        Protocol::Calls => (10, false),
    };
    let faults = 24 + 8 * kinds;
    InfoLayout { faults, preemptions: faults + 8, counts_preempted }
}

/// sys_exit, sys_enter, sched_process_exit, sched_process_exec (`driver/ppm_tp.h`): an entry without its exit is odder than an
/// exit without its entry.
const TRACEPOINTS: [usize; 4] = [1, 0, 2, 8];

fn wanted_calls() -> impl Iterator<Item = libc::c_long> {
    let calls = [
        libc::SYS_socket,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_connect,
        libc::SYS_accept,
        libc::SYS_accept4,
        libc::SYS_shutdown,
        libc::SYS_close,
        libc::SYS_dup,
        libc::SYS_dup3,
        libc::SYS_clone,
        libc::SYS_clone3,
    ];
    // Later architectures do without them.
    #[cfg(target_arch = "x86_64")]
    let older = [libc::SYS_dup2, libc::SYS_fork, libc::SYS_vfork];
    #[cfg(not(target_arch = "x86_64"))]
    let older: [libc::c_long; 0] = [];
    calls.into_iter().chain(older)
}

/// `scap0`, `scap1`, ... with their numbers.
fn numbered(folder: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let number = |path: &Path| path.file_name()?.to_str()?.strip_prefix("scap")?.parse().ok();
    let paths = fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path()));
    Ok(paths.filter_map(|path| Some((number(&path)?, path))).collect())
}

fn ring_bytes(parameter: &Path) -> Result<usize, ObserverError> {
    let text = match fs::read_to_string(parameter) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(RING_BYTES),
        Err(error) => return Err(io_error(&format!("read {}", parameter.display()), error)),
    };
    let possible = |bytes: &usize| bytes.is_power_of_two() && (8 << 10..=1 << 31).contains(bytes);
    text.trim().parse().ok().filter(possible).ok_or_else(|| {
        let lacks = format!("{} says `{}`, which is no size of a ring", parameter.display(), text.trim());
        lacking(lacks, "load another module: cargo xtask kmod load")
    })
}

fn refused(path: &Path, error: io::Error) -> ObserverError {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            lacking(format!("{} may not be opened: not root", path.display()), "run it with sudo")
        }
        io::ErrorKind::ResourceBusy => {
            let lacks = format!("{} is busy: the module has five readers already", path.display());
            lacking(lacks, "end one of them (lsof /dev/scap0)")
        }
        _ => io_error(&format!("open {}", path.display()), error),
    }
}

pub(super) fn lacking(lacks: String, way_out: &str) -> ObserverError {
    ObserverError::Lacking { observer: "scap".into(), lacks, way_out: way_out.into() }
}

pub(super) fn io_error(doing: &str, source: io::Error) -> ObserverError {
    ObserverError::Io { doing: format!("scap: could not {doing}"), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn place(folder: &Path) -> Place {
        Place { devices: folder.into(), parameters: folder.into() }
    }

    fn refusal(place: &Place) -> String {
        Devices::open(place).err().unwrap().to_string()
    }

    #[test]
    fn no_module_is_told_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("scapegoat"), "").unwrap();
        let error = refusal(&place(folder.path()));
        assert!(
            error.contains("scap0: the module is not loaded; load it as root: cargo xtask kmod load, or run"),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_device_has_no_version() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("scap0"), "").unwrap();
        let error = refusal(&place(folder.path()));
        assert!(error.contains("could not ask scap for its version"), "{error}");
    }

    #[test]
    fn refusals_are_told_apart() {
        let said = |errno| refused(Path::new("/dev/scap0"), io::Error::from_raw_os_error(errno)).to_string();
        assert!(said(libc::EACCES).contains("not root; run it with sudo"));
        assert!(said(libc::EBUSY).contains("five readers already; end one"));
        assert!(said(libc::ENOMEM).contains("could not open /dev/scap0"));
    }

    #[test]
    fn a_module_of_another_api_is_named_with_those_that_are_known() {
        let version = |text: &str| text.parse().unwrap();
        let spoken = |api, schema| protocol(Versions { api: version(api), schema: version(schema) });
        assert_eq!(spoken("1.0.0", "1.0.0").unwrap(), Protocol::Events);
        for (api, schema) in [("3.0.0", "2.0.0"), ("7.0.4", "2.16.0"), ("8.0.3", "5.0.0"), ("11.0.0", "4.1.0")] {
            let error = spoken(api, schema).unwrap_err().to_string();
            assert!(
                error.contains(&format!("speaks API {api}, schema {schema}; known are API 1 with schema 1, ")),
                "{error}"
            );
            assert!(error.contains("cargo xtask kmod load, with --driver or --scap-src"), "{error}");
        }
    }

    #[test]
    fn counters_lie_where_the_drivers_have_them() {
        let places = |protocol| (layout(protocol).faults, layout(protocol).preemptions);
        assert_eq!(places(Protocol::Events), (24, 32));
        assert_eq!(places(Protocol::CallsInPairs), (136, 144));
        assert_eq!(places(Protocol::Calls), (104, 112));
    }

    #[test]
    fn the_size_of_the_rings_is_checked() {
        let folder = tempfile::tempdir().unwrap();
        let parameter = folder.path().join("g_buffer_bytes_dim");
        assert_eq!(ring_bytes(&parameter).unwrap(), RING_BYTES);
        fs::write(&parameter, "65536\n").unwrap();
        assert_eq!(ring_bytes(&parameter).unwrap(), 65536);
        fs::write(&parameter, "65537\n").unwrap();
        assert!(ring_bytes(&parameter).unwrap_err().to_string().contains("`65537`"));
    }
}

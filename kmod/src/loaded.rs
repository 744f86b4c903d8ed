//! The scap module in the running kernel: loaded, unloaded and told apart from one that somebody else loaded.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::device;
use crate::modinfo::{Modinfo, ModinfoError};
use crate::version::Versions;

/// The module and the mark that we leave when we load it.
#[derive(Debug)]
pub struct Scap {
    sys: PathBuf,
    device: PathBuf,
    mark: PathBuf,
}

/// How the running kernel stands to scap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Not loaded.
    Absent,
    /// Loaded.
    Loaded {
        /// By [`Scap::load`], since this boot.
        ours: bool,
        /// Version of the driver, as it calls itself.
        version: String,
        /// Interface, or why the module does not tell it.
        versions: Result<Versions, String>,
        /// Readers that have its devices open.
        users: u32,
    },
}

/// Why a module was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The module's file cannot be read.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file is not a module of scap.
    #[error("{}: {error}", path.display())]
    Module {
        /// Which.
        path: PathBuf,
        /// Why.
        error: ModinfoError,
    },
    /// Its rings cannot be read.
    #[error("{}: the module speaks {versions}; known are {}: build one of another driver, with --driver or --scap-src", path.display(), Versions::known())]
    UnknownApi {
        /// Which.
        path: PathBuf,
        /// What it says.
        versions: Versions,
    },
    /// Built for another kernel.
    #[error("{}: built for Linux {built}, this is {running}: build it for this one", path.display())]
    OtherKernel {
        /// Which.
        path: PathBuf,
        /// Of its headers.
        built: String,
        /// `uname -r`.
        running: String,
    },
    /// One is there already.
    #[error("somebody else has loaded a scap module {0}: it stays as it is, and whoever loaded it has to unload it")]
    Foreign(String),
    /// We loaded one already.
    #[error("we loaded scap {0} already: unload it first (cargo xtask kmod unload)")]
    Already(String),
    /// The kernel refused.
    #[error("{}: the kernel refuses the module: {}", path.display(), refusal(*errno))]
    Refused {
        /// Which.
        path: PathBuf,
        /// With which error.
        errno: Errno,
    },
    /// It was loaded, was not as its file says, and was unloaded again.
    #[error("{}: loaded, and unloaded again: {why}", path.display())]
    Unlike {
        /// Which.
        path: PathBuf,
        /// What was wrong.
        why: String,
    },
}

/// Why a module was not unloaded.
#[derive(Debug, thiserror::Error)]
pub enum UnloadError {
    /// Not ours.
    #[error("the scap module {0} was not loaded by this program: it stays")]
    Foreign(String),
    /// Read by somebody.
    #[error("the scap module is in use by {0}: end its readers first")]
    InUse(u32),
    /// The kernel refused.
    #[error("the kernel refuses to unload scap: {}", refusal(*.0))]
    Refused(Errno),
}

impl Default for Scap {
    fn default() -> Self {
        Self { sys: "/sys/module/scap".into(), device: "/dev/scap0".into(), mark: "/run/portwitness/scap".into() }
    }
}

impl Scap {
    /// Whether it is loaded, by whom, and what it says of itself.
    pub fn status(&self) -> Status {
        if !self.sys.exists() {
            return Status::Absent;
        }
        let read = |name: &str| fs::read_to_string(self.sys.join(name)).unwrap_or_default().trim().to_owned();
        Status::Loaded {
            ours: self.identity().is_ok_and(|now| fs::read_to_string(&self.mark).is_ok_and(|mark| mark == now)),
            version: read("version"),
            users: read("refcnt").parse().unwrap_or(0),
            versions: device::versions(&self.device).map_err(|error| format!("{}: {error}", self.device.display())),
        }
    }

    /// Whether a module may be loaded: none is.
    pub fn free(&self) -> Result<(), LoadError> {
        match self.status() {
            Status::Absent => Ok(()),
            Status::Loaded { ours: true, version, .. } => Err(LoadError::Already(version)),
            Status::Loaded { version, .. } => Err(LoadError::Foreign(version)),
        }
    }

    /// Loads the module in the file `path`, compares what it then says with its file, and marks it as ours.
    pub fn load(&self, path: &Path) -> Result<Versions, LoadError> {
        let file_error = |error| LoadError::File { path: path.to_owned(), error };
        let versions = check(path)?;
        self.free()?;
        let file = File::open(path).map_err(file_error)?;
        rustix::system::finit_module(&file, c"", 0).map_err(|errno| match errno {
            // Somebody was faster than we.
            Errno::EXIST => LoadError::Foreign(String::new()),
            errno => LoadError::Refused { path: path.to_owned(), errno },
        })?;
        let marked = self.identity().and_then(|identity| {
            fs::create_dir_all(self.mark.parent().unwrap_or(&self.mark))?;
            fs::write(&self.mark, identity)
        });
        let why = match (marked, device::versions(&self.device)) {
            (Ok(()), Ok(loaded)) if loaded == versions => return Ok(versions),
            (Ok(()), Ok(loaded)) => format!("the file says {versions}, the module {loaded}"),
            (Ok(()), Err(error)) => format!("{}: {error}", self.device.display()),
            (Err(error), _) => format!("{}: {error}", self.mark.display()),
        };
        let _ = rustix::system::delete_module(c"scap", NONBLOCK);
        Err(LoadError::Unlike { path: path.to_owned(), why })
    }

    /// Unloads the module that [`Self::load`] loaded; false when none is loaded.
    pub fn unload(&self) -> Result<bool, UnloadError> {
        match self.status() {
            Status::Absent => Ok(false),
            Status::Loaded { ours: false, version, .. } => Err(UnloadError::Foreign(version)),
            Status::Loaded { users, .. } if users > 0 => Err(UnloadError::InUse(users)),
            Status::Loaded { .. } => {
                rustix::system::delete_module(c"scap", NONBLOCK).map_err(UnloadError::Refused)?;
                let _ = fs::remove_file(&self.mark);
                Ok(true)
            }
        }
    }

    /// What no other load of the module has: this boot, and the number that sysfs gave to the module's folder.
    fn identity(&self) -> io::Result<String> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        Ok(format!("{} {}\n", boot.trim(), fs::metadata(&self.sys)?.ino()))
    }
}

/// `O_NONBLOCK`: a module in use is refused, not waited for.
const NONBLOCK: i32 = 0o4000;

/// Whether the file is a scap module for this kernel, of a known interface.
fn check(path: &Path) -> Result<Versions, LoadError> {
    let code = fs::read(path).map_err(|error| LoadError::File { path: path.to_owned(), error })?;
    let module_error = |error| LoadError::Module { path: path.to_owned(), error };
    let info = Modinfo::read(&code).map_err(module_error)?;
    let versions = info.versions().map_err(module_error)?;
    if !versions.is_known() {
        return Err(LoadError::UnknownApi { path: path.to_owned(), versions });
    }
    let built = info.kernel().map_err(module_error)?.to_owned();
    let running = rustix::system::uname().release().to_string_lossy().into_owned();
    if built != running {
        return Err(LoadError::OtherKernel { path: path.to_owned(), built, running });
    }
    Ok(versions)
}

fn refusal(errno: Errno) -> String {
    match errno {
        Errno::PERM => "not permitted: it takes root, and a kernel that is not locked down".to_owned(),
        Errno::NOSYS => "it was built without modules: run this in a VM (cargo xtask vm)".to_owned(),
        Errno::KEYREJECTED => "it wants signed modules".to_owned(),
        Errno::NOEXEC => "its symbols do not fit this kernel (dmesg says which)".to_owned(),
        Errno::BUSY | Errno::AGAIN => "it is in use".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A folder that looks like a loaded module.
    fn loaded() -> (tempfile::TempDir, Scap) {
        let dir = tempfile::tempdir().unwrap();
        let sys = dir.path().join("sys/module/scap");
        fs::create_dir_all(&sys).unwrap();
        fs::write(sys.join("version"), "0.23.2\n").unwrap();
        fs::write(sys.join("refcnt"), "2\n").unwrap();
        let scap = Scap { sys, device: dir.path().join("dev/scap0"), mark: dir.path().join("run/scap") };
        (dir, scap)
    }

    fn mark(scap: &Scap, text: &str) {
        fs::create_dir_all(scap.mark.parent().unwrap()).unwrap();
        fs::write(&scap.mark, text).unwrap();
    }

    #[test]
    fn nothing_there_is_absent_and_unloading_it_is_nothing_to_do() {
        let scap = Scap { sys: "/nonexistent".into(), ..Scap::default() };
        assert_eq!(scap.status(), Status::Absent);
        assert!(!scap.unload().unwrap());
    }

    #[test]
    fn a_module_that_is_not_ours_stays() {
        let (_dir, scap) = loaded();
        assert!(matches!(scap.status(), Status::Loaded { ours: false, users: 2, .. }));
        assert_eq!(
            scap.unload().unwrap_err().to_string(),
            "the scap module 0.23.2 was not loaded by this program: it stays"
        );
        // A mark of another boot, or of a module that was replaced since, does not make it ours.
        mark(&scap, &format!("00000000-0000-0000-0000-000000000000 {}\n", fs::metadata(&scap.sys).unwrap().ino()));
        assert!(matches!(scap.unload(), Err(UnloadError::Foreign(_))));
        mark(&scap, &scap.identity().unwrap());
        assert!(matches!(scap.unload(), Err(UnloadError::InUse(2))), "ours, but it has readers");
        fs::rename(&scap.sys, scap.sys.with_extension("gone")).unwrap();
        fs::create_dir(&scap.sys).unwrap();
        assert!(matches!(scap.unload(), Err(UnloadError::Foreign(_))));
    }

    #[test]
    fn a_module_without_its_device_says_so() {
        let (_dir, scap) = loaded();
        let Status::Loaded { versions: Err(why), version, .. } = scap.status() else { panic!("it is loaded") };
        assert!(why.contains("dev/scap0: No such file") && version == "0.23.2", "{why}");
    }

    #[test]
    fn files_that_are_no_module_are_refused_before_anything_is_loaded() {
        let (dir, scap) = loaded();
        let file = dir.path().join("scap.ko");
        assert!(matches!(scap.load(&file), Err(LoadError::File { .. })));
        fs::write(&file, "no module").unwrap();
        assert!(matches!(scap.load(&file), Err(LoadError::Module { .. })));
    }
}

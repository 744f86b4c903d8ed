//! Where the socket is bound: checks what ZMQ would pass over in silence, or take away from others.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::ReportsError;

/// Bytes of a path in `sockaddr_un`, without the zero at its end (unix(7)).
const SUN_PATH: usize = 107;

/// An endpoint; a folder that was made for it goes when this does.
pub(super) struct Place {
    endpoint: String,
    made: Option<PathBuf>,
}

impl Place {
    /// Makes a folder in the system's temporary folder where no place is named.
    pub(super) fn find(bind: Option<&str>) -> Result<Self, ReportsError> {
        if let Some(endpoint) = bind {
            return Ok(Self { endpoint: endpoint.into(), made: None });
        }
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("portwitness-{}-{number}", std::process::id()));
        let failed = |error: std::io::Error| ReportsError::Bind {
            endpoint: format!("a socket in {}", folder.display()),
            why: error.to_string(),
        };
        // One that a killed process of the same number has left is ours as well.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).map_err(failed)?;
        // Whatever the umask: another user must get at the socket.
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).map_err(failed)?;
        let endpoint = format!("ipc://{}", folder.join("reports.sock").display());
        Ok(Self { endpoint, made: Some(folder) })
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What must hold before ZMQ binds: it removes whatever stands at the path, and cuts off what is too long.
    pub(super) fn check(&self) -> Result<(), ReportsError> {
        let Some(path) = self.path() else { return Ok(()) };
        let length = path.as_os_str().len();
        if length > SUN_PATH {
            return Err(ReportsError::PathTooLong { path: path.into(), length, limit: SUN_PATH });
        }
        let Ok(there) = std::fs::symlink_metadata(path) else { return Ok(()) };
        if !there.file_type().is_socket() {
            return Err(ReportsError::NoSocket { path: path.into() });
        }
        match UnixStream::connect(path) {
            Ok(_) => Err(ReportsError::InUse { endpoint: self.endpoint.clone() }),
            // Left behind by a process that has gone.
            Err(_) => Ok(()),
        }
    }

    /// Lets every user reach the socket, and warns of a folder above it that not everybody may pass.
    pub(super) fn open_up(&self) -> Result<(), ReportsError> {
        let Some(path) = self.path() else { return Ok(()) };
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o777))
            .map_err(|error| ReportsError::Bind { endpoint: self.endpoint.clone(), why: error.to_string() })?;
        let closed = |folder: &&Path| std::fs::metadata(folder).is_ok_and(|about| about.permissions().mode() & 1 == 0);
        if let Some(folder) = path.ancestors().skip(1).find(closed) {
            tracing::warn!(
                "a system that runs as another user does not reach {}: {} lets nobody else pass",
                path.display(),
                folder.display()
            );
        }
        Ok(())
    }

    /// The path of a socket in the file system; an abstract one (`ipc://@NAME`) has none.
    fn path(&self) -> Option<&Path> {
        self.endpoint.strip_prefix("ipc://").filter(|path| !path.starts_with('@')).map(Path::new)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(folder) = &self.made {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

//! The run directory: everything that a run leaves behind, and the `latest` link beside it.

use std::io;
use std::path::{Path, PathBuf};

/// A folder of one run: `history.jsonl`, `report.json`, `junit.xml`, `sut/*.log`.
#[derive(Clone, Debug)]
pub struct RunDir {
    path: PathBuf,
}

/// Why a run directory could not be made.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing} {path}: {source}; name another place (`--runs DIR`, or `-o DIR` of `record`)")]
pub struct StoreError {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl RunDir {
    /// Makes `SUITE-DATE-TIME` below `runs` and lets `latest` point to it. A second run of the same second gets a number.
    pub fn create(runs: &Path, suite: &str) -> Result<Self, StoreError> {
        let failed = |doing, path: &Path| {
            let path = path.to_path_buf();
            move |source| StoreError { doing, path, source }
        };
        std::fs::create_dir_all(runs).map_err(failed("make the folder", runs))?;
        // The processes of a system work in folders of their own: what they are told of their place must hold there.
        let runs = &std::path::absolute(runs).map_err(failed("find", runs))?;
        let stamp = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S").to_string();
        let mut path = runs.join(format!("{suite}-{stamp}"));
        let mut number = 1;
        while let Err(error) = std::fs::create_dir(&path) {
            if error.kind() != io::ErrorKind::AlreadyExists || number > 999 {
                return Err(failed("make the folder", &path)(error));
            }
            number += 1;
            path = runs.join(format!("{suite}-{stamp}-{number}"));
        }
        let logs = path.join("sut");
        std::fs::create_dir(&logs).map_err(failed("make the folder", &logs))?;
        if let Err(error) = point_latest(runs, &path) {
            // The link is for people alone: nothing is lost without it.
            let latest = runs.join("latest");
            tracing::warn!(%error, "{} does not point to this run: move away what is there", latest.display());
        }
        Ok(Self { path })
    }

    /// This very folder; one that holds a history already is refused.
    pub fn at(path: &Path) -> Result<Self, StoreError> {
        let failed = |doing, path: &Path| {
            let path = path.to_path_buf();
            move |source| StoreError { doing, path, source }
        };
        let run = Self { path: std::path::absolute(path).map_err(failed("find", path))? };
        std::fs::create_dir_all(run.sut()).map_err(failed("make the folder", path))?;
        if run.history().exists() {
            let taken = io::Error::new(io::ErrorKind::AlreadyExists, "it holds the history of another run");
            return Err(failed("use the folder", path)(taken));
        }
        Ok(run)
    }

    /// A run directory that is there already.
    pub fn open(path: &Path) -> Self {
        Self { path: path.into() }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The history.
    pub fn history(&self) -> PathBuf {
        self.path.join("history.jsonl")
    }

    /// The folder of the system's processes and their logs.
    pub fn sut(&self) -> PathBuf {
        self.path.join("sut")
    }

    /// The folder of the reports that handlers expected and that the system sent, a pair of files a case.
    pub fn reports(&self) -> PathBuf {
        self.path.join("reports")
    }

    /// The report for programs.
    pub fn report(&self) -> PathBuf {
        self.path.join("report.json")
    }

    /// The report for CI.
    pub fn junit(&self) -> PathBuf {
        self.path.join("junit.xml")
    }
}

/// Replaces the link in one step, so that a reader finds the old run or the new one.
fn point_latest(runs: &Path, run: &Path) -> io::Result<()> {
    let name = run.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let new = runs.join(format!(".latest-{}", std::process::id()));
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::os::unix::fs::symlink(name, &new)?;
    std::fs::rename(&new, runs.join("latest")).inspect_err(|_| {
        // It is the first error that counts.
        let _ = std::fs::remove_file(&new);
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn two_runs_of_one_second_have_folders_of_their_own() {
        let runs = tempfile::tempdir().unwrap();
        let first = RunDir::create(runs.path(), "tunnel").unwrap();
        let second = RunDir::create(runs.path(), "tunnel").unwrap();
        assert_ne!(first.path(), second.path());
        let latest = std::fs::canonicalize(runs.path().join("latest")).unwrap();
        assert_eq!(latest, std::fs::canonicalize(second.path()).unwrap());
    }

    #[test]
    fn a_run_directory_is_absolute() {
        let runs = tempfile::tempdir_in(".").unwrap();
        let relative = Path::new(runs.path().file_name().unwrap());
        assert!(RunDir::create(relative, "tunnel").unwrap().path().is_absolute());
    }

    #[test]
    fn a_folder_in_the_place_of_the_link_is_left_alone() {
        let runs = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(runs.path().join("latest/mine")).unwrap();
        let run = RunDir::create(runs.path(), "tunnel").unwrap();
        assert!(run.sut().is_dir() && runs.path().join("latest/mine").is_dir());
        assert_eq!(std::fs::read_dir(runs.path()).unwrap().count(), 2, "no link is left over");
    }

    #[test]
    fn a_file_in_the_place_of_the_folder_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = RunDir::create(file.path(), "tunnel").unwrap_err().to_string();
        let path = file.path().display();
        assert!(
            error.starts_with(&format!("could not make the folder {path}: ")) && error.contains("--runs"),
            "{error}"
        );
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let error = RunDir::create(Path::new("/proc/nowhere"), "tunnel").unwrap_err().to_string();
        assert!(error.contains("/proc/nowhere") && error.contains("--runs"), "{error}");
    }
}

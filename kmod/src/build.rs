//! `scap.ko`, built out of tree for a kernel's headers.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::headers::Headers;
use crate::modinfo::{Modinfo, ModinfoError};
use crate::source::{Source, SourceError};
use crate::version::Versions;

/// A build of the module.
#[derive(Debug)]
pub struct Build<'a> {
    /// The driver.
    pub source: &'a Source,
    /// The kernel that it is for.
    pub headers: &'a Headers,
    /// A folder of its own; what lies there is deleted first. Below the root folder where the headers are in one.
    pub work: &'a Path,
}

/// Why there is no module.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The source cannot be copied.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A file or a program that is not there.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Make failed: mostly a driver that is older than the kernel.
    #[error(
        "the driver ({versions}) does not build for these headers{}; the log is {}:\n{tail}", because(.missing_compiler), log.display()
    )]
    Make {
        /// The compiler that built the kernel, where another had to do.
        missing_compiler: Option<String>,
        /// Of the driver.
        versions: Versions,
        /// All that make printed.
        log: PathBuf,
        /// Its errors, or its last lines.
        tail: String,
    },
    /// The file is no module.
    #[error("{}: {error}", path.display())]
    Module {
        /// Which.
        path: PathBuf,
        /// Why.
        error: ModinfoError,
    },
    /// The module has another interface than its source.
    #[error("{}: the module says {module}, its source {source_versions}", path.display())]
    Versions {
        /// Which.
        path: PathBuf,
        /// What it says.
        module: Versions,
        /// What it should say.
        source_versions: Versions,
    },
}

impl Build<'_> {
    /// Builds, reads the module's versions back and compares them with the source's; returns the path of `scap.ko`.
    pub fn run(&self) -> Result<PathBuf, BuildError> {
        let file = |path: &Path| {
            let path = path.to_owned();
            move |error| BuildError::File { path, error }
        };
        if self.work.exists() {
            fs::remove_dir_all(self.work).map_err(file(self.work))?;
        }
        self.source.stage(self.work)?;
        let log = self.work.join("make.log");
        let output = File::create(&log).map_err(file(&log))?;
        let errors = output.try_clone().map_err(file(&log))?;
        let mut make: Command = self.headers.make(self.work).map_err(file(self.work))?;
        let make = make.arg("modules").stdin(Stdio::null()).stdout(output).stderr(errors);
        let status = make.status().map_err(file(Path::new(make.get_program())))?;
        if !status.success() {
            let text = fs::read(&log).map_err(file(&log))?;
            let tail = telling(&String::from_utf8_lossy(&text));
            let missing_compiler = self.headers.missing_compiler();
            return Err(BuildError::Make { missing_compiler, versions: self.source.versions(), log, tail });
        }
        let path = self.work.join("scap.ko");
        let code = fs::read(&path).map_err(file(&path))?;
        let failed = |error| BuildError::Module { path: path.clone(), error };
        let module = Modinfo::read(&code).and_then(|info| info.versions()).map_err(failed)?;
        let source_versions = self.source.versions();
        if module != source_versions {
            return Err(BuildError::Versions { path, module, source_versions });
        }
        Ok(path)
    }
}

fn because(missing_compiler: &Option<String>) -> String {
    let why = |name| format!(" by the gcc that is installed: the kernel was built by {name}, install that");
    missing_compiler.as_ref().map(why).unwrap_or_default()
}

/// The compiler's errors, eight at most; the last lines where it gave none.
fn telling(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let mut errors: Vec<&str> =
        lines.iter().copied().filter(|line| line.contains("error:") || line.contains("not found")).collect();
    // Every probe says the same when the compiler does not fit.
    errors.dedup();
    // What the driver's own probes fail on is mostly no error: they find out what the kernel has.
    let own: Vec<&str> = errors.iter().copied().filter(|line| !line.contains("/configure/")).collect();
    let chosen = match (own.as_slice(), errors.as_slice()) {
        ([], []) => &lines[lines.len().saturating_sub(8)..],
        ([], errors) => &errors[..errors.len().min(8)],
        (own, _) => &own[..own.len().min(8)],
    };
    chosen.iter().map(|line| format!("    {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_errors_and_not_what_probes_print() {
        let log = "  CC main.o\n/w/configure/A/test.c:3: error: too many arguments\nmain.c:9: error: no fd_is_open\nmake: *** 2\n";
        assert_eq!(telling(log), "    main.c:9: error: no fd_is_open\n");
        assert_eq!(telling("one\ntwo\n"), "    one\n    two\n");
        let probe = "/w/configure/0__SANITY/test.c:1: error: no such option\nmake: *** 2\n";
        assert_eq!(
            telling(probe),
            "    /w/configure/0__SANITY/test.c:1: error: no such option\n",
            "a probe alone is told"
        );
    }
}

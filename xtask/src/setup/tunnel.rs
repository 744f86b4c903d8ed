//! The real tunnel from PyPI, in a venv of the project's own, at the versions of `tests/tunnel/*.lock`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use super::apt::Package;
use super::logged;
use super::progress::Progress;
use crate::workspace::Workspace;

/// Name of the tunnel, on PyPI and of its folder.
pub(super) const NAME: &str = "tcp-over-websocket";

/// Run by the venv's Python: it lives, and finds the tunnel.
const PROBE: &str = "import sys, importlib.util as u; sys.exit(u.find_spec('tcp_over_websocket') is None)";

/// Run by the system's Python: recent enough for the locked versions, and able to make a venv and build modules.
const PYTHON: &str = "import ensurepip, os, sys, sysconfig, venv
sys.exit(sys.version_info < (3, 11) or not os.path.exists(os.path.join(sysconfig.get_path('include'), 'Python.h')))";

/// The tunnel's venv and the versions that belong into it.
#[derive(Debug)]
pub(super) struct Tunnel {
    /// Folder of the venv.
    pub(super) venv: PathBuf,
    locks: PathBuf,
    versions: String,
}

/// What builds packages that come as source, then the program and all it needs; in `tests/tunnel`.
const LOCKS: [&str; 2] = ["build-requirements.lock", "requirements.lock"];

impl Tunnel {
    /// Reads the lock files.
    pub(super) fn of(workspace: &Workspace) -> anyhow::Result<Self> {
        let locks = workspace.root.join("tests/tunnel");
        let mut versions = String::new();
        for name in LOCKS {
            let lock = locks.join(name);
            versions += &fs::read_to_string(&lock).with_context(|| lock.display().to_string())?;
        }
        Ok(Self { venv: workspace.root.join("target/venv").join(NAME), locks, versions })
    }

    /// Whether the venv was made to its end, from these very lock files, and still works.
    pub(super) fn is_installed(&self) -> bool {
        let same = fs::read_to_string(self.mark()).is_ok_and(|installed| installed == self.versions);
        same && python(self.venv.join("bin/python")).args(["-c", PROBE]).output().is_ok_and(|run| run.status.success())
    }

    /// Makes the venv anew.
    pub(super) fn install(&self, workspace: &Workspace, progress: &Progress) -> anyhow::Result<()> {
        let interpreter = interpreter();
        ensure!(
            fits(&interpreter),
            "{} cannot make the tunnel's venv: it has to be Python 3.11 or later with venv and headers (Debian: python3-venv, \
             python3-dev)",
            interpreter.display()
        );
        let what = format!("{NAME} from PyPI into {} (about a minute)", workspace.shown(&self.venv));
        progress.installing(&what, || {
            if self.venv.exists() {
                fs::remove_dir_all(&self.venv).with_context(|| self.venv.display().to_string())?;
            }
            let log = |name| workspace.setup_dir().join(name);
            logged::run(python(interpreter).args(["-m", "venv"]).arg(&self.venv), &log("venv.log"))?;
            // What comes as source is built in the venv itself, by the pinned tools; what pip chose would change by the day.
            for (lock, name) in LOCKS.into_iter().zip(["pip-build.log", "pip.log"]) {
                let mut pip = python(self.venv.join("bin/python"));
                pip.args(["-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--no-deps"]);
                pip.args(["--use-pep517", "--no-build-isolation", "--requirement"]).arg(self.locks.join(lock));
                logged::run(&mut pip, &log(name))
                    .with_context(|| format!("cannot install {NAME} from PyPI (is the network there?)"))?;
            }
            // Last, so that a venv that was interrupted has no mark and is made anew.
            fs::write(self.mark(), &self.versions).with_context(|| self.mark().display().to_string())?;
            ensure!(self.is_installed(), "{NAME} was installed and {} does not find it", self.venv.display());
            Ok(())
        })
    }

    fn mark(&self) -> PathBuf {
        self.venv.join("installed.lock")
    }
}

/// What the system's Python lacks for a venv.
pub(super) fn missing_python() -> Vec<Package> {
    if fits(&interpreter()) {
        return Vec::new();
    }
    ["python3", "python3-venv", "python3-dev"]
        .map(|name| Package { name, why: "runs the real tunnel in a venv" })
        .into()
}

/// The system's own Python, which its packages extend; else the first in `PATH`.
fn interpreter() -> PathBuf {
    let system = Path::new("/usr/bin/python3");
    if system.exists() || Path::new("/usr/bin/apt-get").exists() { system.into() } else { "python3".into() }
}

fn fits(interpreter: &Path) -> bool {
    python(interpreter).args(["-c", PYTHON]).output().is_ok_and(|run| run.status.success())
}

/// A Python that takes no modules from the user's environment.
fn python(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.env_remove("PYTHONPATH").env_remove("PYTHONHOME").env_remove("PIP_TARGET").env_remove("PIP_USER");
    command
}

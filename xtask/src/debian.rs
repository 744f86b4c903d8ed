//! Packages of any Debian release, through an apt of their own: its sources, lists and cache lie under `target/debian`.

mod kernel;
mod listing;
mod unpack;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail, ensure};

use crate::setup::logged;
use crate::workspace::Workspace;
pub(crate) use kernel::Kernel;
pub(crate) use listing::{Series, series_of};
pub(crate) use unpack::Unpack;

const MIRROR: &str = "http://deb.debian.org";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Lists of packages older than this are fetched anew.
const LISTS_LAST: Duration = Duration::from_secs(24 * 60 * 60);

/// A release and the suites that kernels of it come from, each with its archive.
#[derive(Debug)]
pub(crate) struct Release {
    /// Its code name.
    pub(crate) name: &'static str,
    suites: &'static [(&'static str, &'static str)],
}

/// Oldest first: a kernel is taken from the first that has it, with the compiler that it was built with.
pub(crate) const RELEASES: [Release; 4] = [
    Release { name: "bullseye", suites: &[("bullseye", "debian"), ("bullseye-security", "debian-security")] },
    Release {
        name: "bookworm",
        suites: &[("bookworm", "debian"), ("bookworm-security", "debian-security"), ("bookworm-backports", "debian")],
    },
    Release {
        name: "trixie",
        suites: &[("trixie", "debian"), ("trixie-security", "debian-security"), ("trixie-backports", "debian")],
    },
    Release { name: "sid", suites: &[("sid", "debian")] },
];

/// What `look_up` finds, or found within the last day: `name` is a file of `target/debian/answers`.
pub(crate) fn remembered(
    workspace: &Workspace,
    name: &str,
    look_up: impl FnOnce() -> anyhow::Result<String>,
) -> anyhow::Result<String> {
    let file = workspace.root.join("target/debian/answers").join(name);
    if is_recent(&file) {
        return fs::read_to_string(&file).with_context(|| file.display().to_string());
    }
    let answer = look_up()?;
    fs::create_dir_all(file.parent().unwrap_or(&file))
        .and_then(|()| fs::write(&file, &answer))
        .with_context(|| file.display().to_string())?;
    Ok(answer)
}

fn is_recent(file: &Path) -> bool {
    let written = fs::metadata(file).and_then(|file| file.modified());
    written.is_ok_and(|written| SystemTime::now().duration_since(written).is_ok_and(|age| age < LISTS_LAST))
}

/// The release of this code name.
pub(crate) fn release(name: &str) -> anyhow::Result<&'static Release> {
    let known = || RELEASES.map(|release| release.name).join(", ");
    RELEASES
        .iter()
        .find(|release| release.name == name)
        .with_context(|| format!("there is no Debian release `{name}` to take packages from; there is: {}", known()))
}

/// An apt that knows one release and nothing of this system's packages.
#[derive(Debug)]
pub(crate) struct Apt {
    release: &'static Release,
    dir: PathBuf,
}

impl Apt {
    /// Makes its folder on the first use, and fetches the lists when they are older than a day.
    ///
    /// # Errors
    /// When there is no apt, or no network and no older lists.
    pub(crate) fn of(workspace: &Workspace, release: &'static Release) -> anyhow::Result<Self> {
        Self::of_kind(workspace, release, "deb", release.name)
    }

    /// One that knows the sources of its packages instead.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub(crate) fn of_sources(workspace: &Workspace, release: &'static Release) -> anyhow::Result<Self> {
        Self::of_kind(workspace, release, "deb-src", &format!("{}-sources", release.name))
    }

    fn of_kind(workspace: &Workspace, release: &'static Release, kind: &str, folder: &str) -> anyhow::Result<Self> {
        ensure!(
            Path::new("/usr/bin/apt-get").exists() && Path::new(KEYRING).exists(),
            "kernels and drivers come as Debian packages: this needs apt-get and {KEYRING} (package debian-archive-keyring)"
        );
        let apt = Self { release, dir: workspace.root.join("target/debian").join(folder) };
        for folder in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(apt.dir.join(folder)).with_context(|| apt.dir.display().to_string())?;
        }
        let sources = release.suites.iter().map(|(suite, archive)| {
            format!("{kind} [signed-by={KEYRING} arch=amd64] {MIRROR}/{archive} {suite} main\n")
        });
        fs::write(apt.dir.join("sources.list"), sources.collect::<String>())?;
        fs::write(apt.dir.join("status"), "")?;
        // Of two apts that fetch lists into one folder, the second fails.
        let _alone = workspace.lock("debian-lists")?;
        apt.refresh()?;
        Ok(apt)
    }

    /// The versions of `package` in this release, best first.
    pub(crate) fn versions(&self, package: &str) -> anyhow::Result<Vec<String>> {
        Ok(listing::versions(&self.query(&["madison", package])?))
    }

    /// The names that this version of `package` depends on.
    pub(crate) fn depends(&self, package: &str, version: &str) -> anyhow::Result<Vec<String>> {
        Ok(listing::depends(&self.query(&["show", &format!("{package}={version}")])?))
    }

    /// Downloads `packages` (`NAME` or `NAME=VERSION`) and nothing that they depend on; returns their archives.
    pub(crate) fn download(&self, packages: &[String]) -> anyhow::Result<Vec<PathBuf>> {
        self.fetch("download", packages)
    }

    /// Downloads `packages` and all that they depend on, as if nothing was installed; returns the archives.
    pub(crate) fn download_with_dependencies(&self, packages: &[String]) -> anyhow::Result<Vec<PathBuf>> {
        self.fetch("install", packages)
    }

    /// Downloads the source of `package` (`NAME=VERSION`), of an apt that knows sources; returns its archives.
    pub(crate) fn source(&self, package: &str) -> anyhow::Result<Vec<PathBuf>> {
        self.fetch("source", &[package.to_owned()])
    }

    fn fetch(&self, how: &str, packages: &[String]) -> anyhow::Result<Vec<PathBuf>> {
        // A folder of this process: what lies in it afterwards is what was fetched.
        let archives = self.dir.join(format!("fetch-{}", std::process::id()));
        fs::create_dir_all(archives.join("partial")).with_context(|| archives.display().to_string())?;
        let mut command = self.apt("apt-get");
        command.arg("-o").arg(format!("Dir::Cache::archives={}", archives.display()));
        command.current_dir(&archives).args(["--yes", how]);
        match how {
            "install" => drop(command.args(["--download-only", "--no-install-recommends"])),
            "source" => drop(command.arg("--download-only")),
            _ => {}
        }
        logged::run(command.args(packages), &self.dir.join("fetch.log")).with_context(|| {
            format!("cannot fetch {} from Debian {} (is the network there?)", packages.join(" "), self.release.name)
        })?;
        let mut found = Vec::new();
        for entry in fs::read_dir(&archives).with_context(|| archives.display().to_string())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.ends_with(".deb") || name.contains(".tar.") {
                found.push(path);
            }
        }
        ensure!(!found.is_empty(), "apt-get {how} fetched nothing for {}", packages.join(" "));
        Ok(found)
    }

    fn refresh(&self) -> anyhow::Result<()> {
        let stamp = self.dir.join("updated");
        if is_recent(&stamp) {
            return Ok(());
        }
        let updated = logged::run(self.apt("apt-get").arg("update"), &self.dir.join("update.log"));
        match updated {
            Ok(()) => fs::write(&stamp, "").with_context(|| stamp.display().to_string()),
            Err(error) if stamp.exists() => {
                eprintln!("debian: note: the lists of {} stay as they were: {error:#}", self.release.name);
                Ok(())
            }
            Err(error) => Err(error.context(format!(
                "cannot fetch the lists of packages of Debian {} from {MIRROR} (is the network there? apt.conf may name a proxy)",
                self.release.name
            ))),
        }
    }

    fn query(&self, args: &[&str]) -> anyhow::Result<String> {
        let output =
            self.apt("apt-cache").args(args).stdin(Stdio::null()).output().context("cannot start apt-cache")?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            bail!("apt-cache {} (Debian {}): {}", args.join(" "), self.release.name, why.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn apt(&self, program: &str) -> Command {
        let path = |name: &str| self.dir.join(name).display().to_string();
        let mut command = Command::new(program);
        // The system's own apt.conf stays in force: it may name a proxy.
        for option in [
            format!("Dir::Etc::sourcelist={}", path("sources.list")),
            "Dir::Etc::sourceparts=-".to_owned(),
            format!("Dir::State={}", path("state")),
            format!("Dir::State::status={}", path("status")),
            format!("Dir::Cache={}", path("cache")),
            "APT::Architecture=amd64".to_owned(),
            "APT::Sandbox::User=".to_owned(),
            // An update that fetched nothing ends well otherwise, and then packages seem not to exist.
            "APT::Update::Error-Mode=any".to_owned(),
            "Acquire::Retries=2".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
        ] {
            command.arg("-o").arg(option);
        }
        command.env("LC_ALL", "C.UTF-8").env("DEBIAN_FRONTEND", "noninteractive");
        command
    }
}

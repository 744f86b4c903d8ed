//! libsinsp of a Debian release, unpacked with a compiler of the same: programs on it are built and run there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use portwitness_kmod::command_in;

use super::launcher;
use crate::debian::{Apt, Unpack, release, remembered};
use crate::setup::logged;
use crate::workspace::Workspace;

/// The library, and what the headers of one release or another include; the compiler.
const PACKAGES: [&str; 6] =
    ["g++", "libcurl4-openssl-dev", "libfalcosecurity0-dev", "libjsoncpp-dev", "libtbb-dev", "uthash-dev"];

/// Which packages were unpacked, in the root.
const FETCHED: &str = "work/packages";

/// Where the releases have libsinsp's headers; a folder that is not there does no harm.
const INCLUDES: [&str; 8] = [
    "falcosecurity-libs/userspace/libsinsp",
    "falcosecurity-libs/userspace/libscap",
    "falcosecurity-libs/userspace/common",
    "falcosecurity-libs/userspace",
    "falcosecurity-libs",
    "falcosecurity-libs/driver",
    "falcosecurity",
    "jsoncpp",
];

/// The unpacked library of a release.
pub(super) struct Library {
    /// Version of the package.
    pub(super) version: String,
    place: PathBuf,
    root: PathBuf,
}

impl Library {
    /// Fetches it, unless it is there.
    pub(super) fn fetch(workspace: &Workspace, debian: &str) -> anyhow::Result<Self> {
        let place = workspace.root.join("target/kmod/sinsp").join(debian);
        let version = remembered(workspace, &format!("libfalcosecurity0-dev-{debian}"), || {
            let versions = Apt::of(workspace, release(debian)?)?.versions("libfalcosecurity0-dev")?;
            versions.into_iter().next().with_context(|| format!("Debian {debian} has no libfalcosecurity0-dev"))
        })?;
        let root = place.join(version.replace(['/', ':', '~'], "_"));
        let packages = PACKAGES.map(str::to_owned);
        // Of an earlier version of this, which fetched others.
        if root.is_dir() && fs::read_to_string(root.join(FETCHED)).ok() != Some(packages.join(" ")) {
            fs::remove_dir_all(&root).with_context(|| root.display().to_string())?;
        }
        if !root.is_dir() {
            eprintln!("kmod: fetching libsinsp {version} and a compiler from Debian {debian}");
            let unpack = Unpack::into(&root)?;
            unpack.add(&Apt::of(workspace, release(debian)?)?.download_with_dependencies(&packages)?)?;
            for folder in ["dev", "proc", "tmp", "work"] {
                let folder = unpack.dir().join(folder);
                fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
            }
            let fetched = unpack.dir().join(FETCHED);
            fs::write(&fetched, packages.join(" ")).with_context(|| fetched.display().to_string())?;
            unpack.finish()?;
        }
        Ok(Self { version, place, root })
    }

    /// Whether a program was built.
    pub(super) fn has(&self, program: &str) -> bool {
        self.root.join("work").join(program).exists()
    }

    /// What it was built from, as [`Self::build`] was told.
    pub(super) fn built_from(&self, program: &str) -> String {
        fs::read_to_string(self.stamp(program)).unwrap_or_default()
    }

    /// Builds a program of these sources, of which `compiled` are given to the compiler.
    pub(super) fn build(
        &self,
        program: &str,
        sources: &[PathBuf],
        compiled: &[&str],
        from: &str,
    ) -> anyhow::Result<()> {
        eprintln!("kmod: building {program} on libsinsp {}", self.version);
        let place = format!("work/{program}-source");
        let folder = self.root.join(&place);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        for source in sources {
            let name = source.file_name().unwrap_or_default();
            fs::copy(source, folder.join(name)).with_context(|| source.display().to_string())?;
        }
        let mut compiler = command_in(&self.root, "g++");
        compiler.args([
            "-std=c++17",
            "-O1",
            "-Wall",
            "-Wextra",
            "-Wno-unused-parameter",
            "-Wno-deprecated-declarations",
        ]);
        compiler.args(INCLUDES.map(|folder| format!("-isystem/usr/include/{folder}")));
        compiler.arg(format!("-DLIBRARY_VERSION=\"{}\"", self.version));
        // As the libraries were built, which the headers do not say themselves: members of classes depend on the one, and whether
        // sinsp-example of 0.23 knows the module at all on the other.
        compiler.args(["-DHAS_CAPTURE", "-DHAS_ENGINE_KMOD", "-o", &format!("/work/{program}")]);
        compiler.args(compiled.iter().map(|name| format!("/{place}/{name}"))).args(["-lsinsp", "-lscap"]);
        logged::run(&mut compiler, &self.root.join("work").join(format!("{program}.log")))
            .with_context(|| format!("cannot build {program}"))?;
        let stamp = self.stamp(program);
        fs::write(&stamp, from).with_context(|| stamp.display().to_string())
    }

    /// A script that starts the program; beside it, one that starts that of the release which fits the loaded module,
    /// and says of a missing one which `command` builds it.
    pub(super) fn launcher(&self, program: &str, command: &str) -> anyhow::Result<PathBuf> {
        let script = launcher::started_by_its_loader(&self.root, &format!("work/{program}"));
        launcher::put(&self.place, program, command, &script)
    }

    fn stamp(&self, program: &str) -> PathBuf {
        let name = format!("{program}.built-from");
        Path::new(&self.root).join("work").join(name)
    }
}

//! sinsp-events, our program on libsinsp, built and run with the libraries of a Debian release, whatever this system is.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use portwitness_kmod::command_in;

use crate::debian::{Apt, Unpack, release, remembered};
use crate::setup::logged;
use crate::workspace::Workspace;

/// The library, and what its headers include; the compiler.
const PACKAGES: [&str; 5] = ["g++", "libcurl4-openssl-dev", "libfalcosecurity0-dev", "libjsoncpp-dev", "libtbb-dev"];

const SOURCES: [&str; 4] = ["json.h", "library.h", "main.cc", "params.h"];

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

/// The program as it is run, from the last build when nothing has changed.
pub(super) fn program(workspace: &Workspace, debian: &str) -> anyhow::Result<PathBuf> {
    let _alone = workspace.lock("kmod-events")?;
    let place = workspace.root.join("target/kmod/sinsp").join(debian);
    let version = remembered(workspace, &format!("libfalcosecurity0-dev-{debian}"), || {
        let versions = Apt::of(workspace, release(debian)?)?.versions("libfalcosecurity0-dev")?;
        versions.into_iter().next().with_context(|| format!("Debian {debian} has no libfalcosecurity0-dev"))
    })?;
    let root = place.join(version.replace(['/', ':', '~'], "_"));
    if !root.is_dir() {
        eprintln!("kmod: fetching libsinsp {version} and a compiler from Debian {debian}");
        let unpack = Unpack::into(&root)?;
        unpack.add(&Apt::of(workspace, release(debian)?)?.download_with_dependencies(&PACKAGES.map(str::to_owned))?)?;
        for folder in ["dev", "proc", "tmp", "work"] {
            let folder = unpack.dir().join(folder);
            fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        unpack.finish()?;
    }
    let sources = read(&workspace.root.join("kmod/sinsp-events"))?;
    let (program, built_from) = (root.join("work/sinsp-events"), root.join("work/built-from"));
    if !program.exists() || fs::read_to_string(&built_from).ok().as_ref() != Some(&sources) {
        compile(workspace, &root, &version)?;
        fs::write(&built_from, &sources).with_context(|| built_from.display().to_string())?;
    }
    put_script(&workspace.root.join("target/kmod/sinsp/sinsp-events"), FITTING)?;
    let script = place.join("sinsp-events");
    put_script(&script, &launcher(&root))?;
    Ok(script)
}

/// Starts the program whose library speaks the interface of the module that is loaded.
const FITTING: &str = r#"#!/bin/sh
case "$(cat /sys/module/scap/version 2>/dev/null)" in
0.1.*) release=bookworm ;;
*) release=sid ;;
esac
program="$(dirname "$0")/$release/sinsp-events"
if [ ! -x "$program" ]; then
    echo "sinsp-events: $program is not there: cargo xtask kmod events --driver $release builds it" >&2
    exit 96
fi
exec "$program" "$@"
"#;

fn put_script(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| path.display().to_string())?;
    fs::set_permissions(path, Permissions::from_mode(0o755)).with_context(|| path.display().to_string())
}

fn compile(workspace: &Workspace, root: &Path, version: &str) -> anyhow::Result<()> {
    eprintln!("kmod: building sinsp-events on libsinsp {version}");
    for name in SOURCES {
        let from = workspace.root.join("kmod/sinsp-events").join(name);
        fs::copy(&from, root.join("work").join(name)).with_context(|| from.display().to_string())?;
    }
    let mut compiler = command_in(root, "g++");
    compiler.args(["-std=c++17", "-O1", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-deprecated-declarations"]);
    compiler.args(INCLUDES.map(|folder| format!("-isystem/usr/include/{folder}")));
    compiler.arg(format!("-DLIBRARY_VERSION=\"{version}\""));
    compiler.args(["-o", "/work/sinsp-events", "/work/main.cc", "-lsinsp", "-lscap"]);
    logged::run(&mut compiler, &root.join("work/compiler.log")).context("cannot build sinsp-events")
}

/// All sources in one text, so that any change shows.
fn read(folder: &Path) -> anyhow::Result<String> {
    let mut all = String::new();
    for name in SOURCES {
        let path = folder.join(name);
        all += &fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    }
    ensure!(!all.is_empty(), "{} is empty", folder.display());
    Ok(all)
}

/// Starts the program by the loader of its own release: it takes that one's libraries and nothing of this system's.
fn launcher(root: &Path) -> String {
    let root = root.display().to_string().replace('\'', r"'\''");
    format!(
        "#!/bin/sh\nroot='{root}'\nexec \"$root/lib64/ld-linux-x86-64.so.2\" --library-path \
         \"$root/usr/lib/x86_64-linux-gnu\" \"$root/work/sinsp-events\" \"$@\"\n"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::process::Command;

    use super::*;

    #[test]
    fn the_launcher_hands_on_every_argument_to_the_loader_of_that_root() {
        let root = std::env::temp_dir().join(format!("xtask-it's-{}", std::process::id()));
        fs::create_dir_all(root.join("lib64")).unwrap();
        let loader = root.join("lib64/ld-linux-x86-64.so.2");
        fs::write(&loader, "#!/bin/sh\nprintf '%s|' \"$@\"\n").unwrap();
        fs::set_permissions(&loader, Permissions::from_mode(0o755)).unwrap();
        let run = Command::new("sh").args(["-c", &launcher(&root), "sh", "-n", "1", "evt.dir = <"]).output().unwrap();
        fs::remove_dir_all(&root).unwrap();
        let shown = root.display();
        assert_eq!(
            String::from_utf8(run.stdout).unwrap(),
            format!("--library-path|{shown}/usr/lib/x86_64-linux-gnu|{shown}/work/sinsp-events|-n|1|evt.dir = <|")
        );
    }
}

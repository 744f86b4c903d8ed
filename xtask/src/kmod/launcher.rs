//! Scripts that start programs of unpacked Debian releases, whatever this system is.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Writes a script that can be run, and the folder that it lies in.
fn put_script(path: &Path, text: &str) -> anyhow::Result<()> {
    let shown = || path.display().to_string();
    fs::create_dir_all(path.parent().unwrap_or(path)).with_context(shown)?;
    fs::write(path, text).with_context(shown)?;
    fs::set_permissions(path, Permissions::from_mode(0o755)).with_context(shown)
}

/// Writes `script` as what starts the program of one release, whose folder `place` is, and returns its path; and beside that
/// folder, one that starts that of the release which fits the loaded module, and says of a missing one that `command` builds it.
pub(super) fn put(place: &Path, program: &str, command: &str, script: &str) -> anyhow::Result<PathBuf> {
    put_script(&place.with_file_name(program), &fitting_the_module(program, command))?;
    let path = place.join(program);
    put_script(&path, script)?;
    Ok(path)
}

/// Starts `program`, a path in `root`, by the loader of that root: it takes that one's libraries and nothing of this system's.
pub(super) fn started_by_its_loader(root: &Path, program: &str) -> String {
    let root = root.display().to_string().replace('\'', r"'\''");
    format!(
        "#!/bin/sh\nroot='{root}'\nexec \"$root/lib64/ld-linux-x86-64.so.2\" --library-path \
         \"$root/usr/lib/x86_64-linux-gnu\" \"$root/{program}\" \"$@\"\n"
    )
}

/// Starts that build of `program`, one a release in a folder beside the script, whose library speaks the interface of the
/// module that is loaded; `command` builds it.
fn fitting_the_module(program: &str, command: &str) -> String {
    format!(
        r#"#!/bin/sh
case "$(cat /sys/module/scap/version 2>/dev/null)" in
0.1.*) release=bookworm ;;
0.20.*) release=trixie ;;
*) release=sid ;;
esac
program="$(dirname "$0")/$release/{program}"
if [ ! -x "$program" ]; then
    echo "{program}: $program is not there: {command} --driver $release builds it" >&2
    exit 96
fi
exec "$program" "$@"
"#
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
        put_script(&root.join("lib64/ld-linux-x86-64.so.2"), "#!/bin/sh\nprintf '%s|' \"$@\"\n").unwrap();
        let script = started_by_its_loader(&root, "work/sinsp-events");
        let run = Command::new("sh").args(["-c", &script, "sh", "-n", "1", "evt.dir = <"]).output().unwrap();
        fs::remove_dir_all(&root).unwrap();
        let shown = root.display();
        assert_eq!(
            String::from_utf8(run.stdout).unwrap(),
            format!("--library-path|{shown}/usr/lib/x86_64-linux-gnu|{shown}/work/sinsp-events|-n|1|evt.dir = <|")
        );
    }

    #[test]
    fn a_build_that_is_missing_is_named_with_what_builds_it() {
        let script = fitting_the_module("thing", "cargo xtask kmod thing");
        let run = Command::new("sh").args(["-c", &script, "/nonexistent/thing"]).output().unwrap();
        let said = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(96), "{said}");
        assert!(said.contains("/thing is not there: cargo xtask kmod thing --driver "), "{said}");
    }
}

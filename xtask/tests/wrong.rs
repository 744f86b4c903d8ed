//! Wrong command lines and wrong machines: each gets one clear message that names the thing and the way out, and the documented
//! exit code. Nothing here boots or loads anything.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const USAGE: i32 = 2;
const SETUP_FAILED: i32 = 96;

fn xtask(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask")).args(words).output().unwrap()
}

/// Runs every row, and says of all that are not as they should be.
fn check(rows: &[(&[&str], i32, &[&str])]) {
    let mut wrong = String::new();
    for (words, code, says) in rows {
        let output = xtask(words);
        let said = String::from_utf8_lossy(&output.stderr);
        let lacking: Vec<_> = says.iter().filter(|word| !said.contains(**word)).collect();
        if output.status.code() != Some(*code) || !lacking.is_empty() {
            wrong += &format!("{words:?}: {}, lacks {lacking:?} in:\n{said}\n", output.status);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn wrong_options_are_a_matter_of_usage() {
    check(&[
        (&["vm", "--bad"], USAGE, &["there is no option --bad", "vm --help"]),
        (&["vm", "--kernel"], USAGE, &["--kernel wants a value"]),
        (&["vm", "--kernel", "six", "--", "true"], USAGE, &["`six` is no kernel series", "6.1", "newest"]),
        (&["vm", "--accel", "hvf", "--", "true"], USAGE, &["`hvf`", "kvm, tcg or auto"]),
        (&["vm", "--deadline", "0", "--", "true"], USAGE, &["--deadline `0`", "above 0"]),
        (&["vm", "--driver", "buzz", "--", "true"], USAGE, &["`buzz`", "bookworm"]),
        (&["kmod"], USAGE, &["usage: cargo xtask kmod"]),
        (&["kmod", "remove"], USAGE, &["usage: cargo xtask kmod"]),
        (&["kmod", "build", "--headers"], USAGE, &["--headers wants a value", "usage"]),
        (&["kmod", "build", "--kernel", "6.1", "--headers", "/x"], USAGE, &["not both"]),
        (&["kmod", "unload", "--kernel", "6.1"], USAGE, &["usage"]),
        (&["guest"], USAGE, &["usage: xtask guest PLAN"]),
    ]);
}

#[test]
fn what_is_not_there_is_named_with_the_way_out() {
    let folder = std::env::temp_dir().join(format!("xtask-wrong-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let no_module = folder.join("scap.ko");
    fs::write(&no_module, "no module").unwrap();
    let (folder_name, no_module_name) = (folder.to_str().unwrap(), no_module.to_str().unwrap());
    check(&[
        (
            &["kmod", "build", "--headers", folder_name],
            SETUP_FAILED,
            &[folder_name, "no kernel headers", "linux-headers"],
        ),
        (&["kmod", "build", "--headers", "/nonexistent"], SETUP_FAILED, &["/nonexistent", "No such file"]),
        (&["kmod", "load", "--module", "/nonexistent/scap.ko"], SETUP_FAILED, &["/nonexistent/scap.ko: No such file"]),
        (&["kmod", "load", "--module", no_module_name], SETUP_FAILED, &[no_module_name, "not a kernel module"]),
    ]);
    if !Path::new("/sys/module/scap").exists() {
        let status = xtask(&["kmod", "status"]);
        assert_eq!(String::from_utf8_lossy(&status.stdout), "scap: not loaded\n");
        check(&[(&["kmod", "unload"], 0, &["scap was not loaded"])]);
    }
    let uname = Command::new("uname").arg("-r").output().unwrap();
    let headers = format!("/lib/modules/{}/build", String::from_utf8_lossy(&uname.stdout).trim());
    if !Path::new(&headers).exists() {
        let says: &[&str] = &[&headers, "no kernel headers", "--kernel 6.1", "--headers DIR", "cargo xtask vm"];
        check(&[(&["kmod", "build"], SETUP_FAILED, says), (&["kmod", "load"], SETUP_FAILED, says)]);
    }
    fs::remove_dir_all(&folder).unwrap();
}

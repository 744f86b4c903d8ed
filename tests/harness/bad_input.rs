//! What goes wrong only when a run has begun gets one clear message too, and the documented exit code; see `wrong` for what
//! is wrong before.

use std::net::TcpListener;
use std::path::PathBuf;

use crate::support::{Ran, run, suites};

/// A profile made from the reference's, in a folder that lives as long as the test.
fn profile(change: impl Fn(String) -> String) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.toml");
    std::fs::write(&path, change(include_str!("../tunnel/profiles/reference.toml").into())).unwrap();
    (folder, path)
}

fn run_profile(change: impl Fn(String) -> String) -> Ran {
    let (_folder, path) = profile(change);
    run(&["--sut", path.to_str().unwrap(), "--case", "1.1"])
}

fn with_fault(fault: &str) -> Ran {
    run(&[
        "--sut",
        "reference",
        "--case",
        "1.1",
        "--set",
        &format!("fault={fault}"),
        "--set",
        "reconnect_timeout_secs=1",
    ])
}

#[test]
fn without_btf() {
    let runs = tempfile::tempdir().unwrap();
    let without_btf = |observer: &str| {
        let mut command = suites(&["run", "tunnel", "--sut", "reference", "--case", "1.1", "--observer", observer]);
        command.arg("--runs").arg(runs.path()).env("PORTWITNESS_BTF", "/nowhere/vmlinux").output().unwrap()
    };
    let asked = without_btf("tp-btf");
    let stderr = String::from_utf8_lossy(&asked.stderr);
    assert_eq!(asked.status.code(), Some(96), "{stderr}");
    assert!(stderr.contains("/nowhere/vmlinux"), "{stderr}");
    // Left to itself, it climbs down the ladder, and says so.
    let auto = without_btf("auto");
    let stderr = String::from_utf8_lossy(&auto.stderr);
    assert_eq!(auto.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("witness: tracepoint"), "{stderr}");
}

#[test]
fn a_port_that_is_in_use() {
    // The reference's ports, moved to an address of this test's own in the host's network.
    let own = |text: String| text.replace("127.0.0.1", "127.0.77.1").replace("\"private\"", "\"host\"");
    let taken = TcpListener::bind("127.0.77.11:38001").unwrap();
    let ran = run_profile(own);
    ran.exits_with(96).says("127.0.77.11:38001").says("is in use by").says("--network private");
    drop(taken);
    let _taken = TcpListener::bind("127.0.77.14:39001").unwrap();
    run_profile(own).exits_with(96).says("127.0.77.14:39001").says("in use").says("it is harness");
}

#[test]
fn a_system_that_dies_at_start() {
    let ran = with_fault("dies-at-start");
    // All three do, and any may be the first.
    ran.exits_with(96).says("` died at start (exit code 3)").says(".log ends with:");
    assert!(ran.place().join("history.jsonl").exists() && ran.place().join("report.json").exists());
}

#[test]
fn a_system_that_never_listens() {
    let (_folder, path) =
        profile(|text| text.replace("10000", "1500").replace("fault = \"none\"", "fault = \"never-listens\""));
    let ran = run(&["--sut", path.to_str().unwrap(), "--case", "1.1"]);
    ran.exits_with(96).says("127.0.0.11:38001 (`server`)").says("did not listen within 1500 ms");
}

#[test]
fn a_system_that_ignores_its_stop_signal() {
    let (_folder, path) = profile(|text| {
        let text = text.replace("fault = \"none\"", "fault = \"ignores-stop\"");
        text.replace("[[process]]\n", "[[process]]\nstop = { signal = \"TERM\", deadline_ms = 500 }\n")
    });
    let ran = run(&["--sut", path.to_str().unwrap(), "--case", "1.1"]);
    ran.exits_with(100).says("ignored the signal for 500 ms and was killed");
    assert_eq!(ran.with("pass"), ["1.1"], "the case itself passed");
}

#[test]
fn histories_that_cannot_be_read_whole() {
    let ran = run(&["--sut", "reference", "--case", "1.1-1.2"]);
    ran.exits_with(0);
    let whole = std::fs::read_to_string(ran.place().join("history.jsonl")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.jsonl");
    let judge = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let output = suites(&["judge"]).arg(folder.path()).output().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "what was recorded is kept");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(judge(&whole).0, Some(0));

    let (exit, stderr) = judge(&whole.replace("\"portwitness_history\":1", "\"portwitness_history\":2"));
    assert!(exit == Some(96) && stderr.contains("version 2 of the history format"), "{stderr}");

    let second = whole.find("tunnel/echo 1.2\",\"checks").unwrap();
    let (exit, stderr) = judge(&whole[..second + 200]);
    assert!(exit == Some(97) && stderr.contains("breaks off in line"), "{stderr}");
    assert!(stderr.contains("1 passed, 0 failed, 1 unknown"), "{stderr}");

    let (exit, stderr) = judge(&whole.replacen("\n{\"at\"", "\n{at", 1));
    assert!(exit == Some(96) && stderr.contains("history.jsonl:2 is not a record"), "{stderr}");

    let (exit, stderr) = judge("");
    assert!(exit == Some(96) && stderr.contains("is not a history of portwitness"), "{stderr}");
}

#[test]
fn a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mounted = mount_small_tmpfs(folder.path());
    let output =
        suites(&["run", "tunnel", "--sut", "reference", "--suite", "tunnel/echo", "--suite", "tunnel/punishment"])
            .arg("--runs")
            .arg(folder.path())
            .output()
            .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let kept = std::fs::metadata(folder.path().join("latest/history.jsonl")).unwrap().len();
    drop(mounted);
    assert_eq!(output.status.code(), Some(96), "{stderr}");
    assert!(
        stderr.contains("history.jsonl") && stderr.contains("No space left") && stderr.contains("--runs"),
        "{stderr}"
    );
    assert!(kept > 10_000, "{kept} bytes were kept");
}

struct Mounted(std::ffi::CString);

/// 96 KiB of memory as a file system.
fn mount_small_tmpfs(place: &std::path::Path) -> Mounted {
    let target = std::ffi::CString::new(place.to_str().unwrap()).unwrap();
    // SAFETY: every argument is a string that ends in a zero and lives through the call.
    let mounted =
        unsafe { libc::mount(c"none".as_ptr(), target.as_ptr(), c"tmpfs".as_ptr(), 0, c"size=96k".as_ptr().cast()) };
    assert_eq!(mounted, 0, "{}", std::io::Error::last_os_error());
    Mounted(target)
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // SAFETY: the path is a string that ends in a zero and lives through the call.
        unsafe { libc::umount2(self.0.as_ptr(), libc::MNT_DETACH) };
    }
}

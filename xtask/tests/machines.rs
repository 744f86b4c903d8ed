//! Machines that go wrong for real: a kernel that panics, a command that hangs, a full out folder, no network, a killed xtask.
//!
//! These boot Linux 6.1 several times, as root, so they are left out of an ordinary `cargo test`: `cargo xtask test` runs them
//! with its VM.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const SETUP_FAILED: Option<i32> = Some(96);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A machine without the scap module, which is no matter here; it ends with this test, and by SIGINT, too.
fn machine(words: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", "env", "--default-signal=INT", env!("CARGO_BIN_EXE_xtask")]);
    command.args(["vm", "--no-scap"]).args(words);
    command
}

/// How the command ended, and what it said on standard error.
fn run(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("xtask-machines-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
#[ignore = "boots machines: cargo xtask test"]
fn a_kernel_that_panics_is_tried_twice_and_its_console_is_kept() {
    let (code, said) = run(&mut machine(&["--append", "rdinit=/nonexistent", "--", "true"]));
    assert_eq!(code, SETUP_FAILED, "{said}");
    assert!(said.contains("once more"), "{said}");
    assert!(said.contains("the guest did not boot: Kernel panic"), "{said}");
    let log = said.split_once("of its console, ").unwrap().1.split_once(":\n").unwrap().0;
    let previous = Path::new(log).with_extension("previous.log");
    for log in [Path::new(log), &previous] {
        assert!(fs::read_to_string(log).unwrap().contains("Kernel panic"), "{}", log.display());
    }
}

#[test]
#[ignore = "boots machines: cargo xtask test"]
fn a_guest_that_falls_over_says_why() {
    let (code, said) = run(&mut machine(&["--", "sh", "-c", "echo before; echo c > /proc/sysrq-trigger; sleep 60"]));
    assert_eq!(code, SETUP_FAILED, "{said}");
    assert!(said.contains("the guest ended before the command did") && said.contains("Kernel panic"), "{said}");
}

#[test]
#[ignore = "boots machines: cargo xtask test"]
fn a_command_that_hangs_ends_at_its_deadline() {
    let start = Instant::now();
    let (code, said) = run(&mut machine(&["--deadline", "2", "--", "sleep", "1000"]));
    assert_eq!(code, SETUP_FAILED, "{said}");
    assert!(said.contains("longer than 2 s: --deadline SECONDS gives it more"), "{said}");
    assert!(start.elapsed() < Duration::from_secs(300), "{said}");
}

#[test]
#[ignore = "boots machines: cargo xtask test"]
fn the_exit_code_and_the_output_are_the_command_s() {
    let output = machine(&["--", "sh", "-c", "echo out; echo err >&2; uname -r; exit 42"]).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(42), "{err}");
    assert!(out.starts_with("out\n6.1.") && err.contains("err\n"), "{out}{err}");
}

/// A file system of its own for the out folder, small enough to be filled.
struct Small(PathBuf);

impl Small {
    fn new() -> Self {
        let folder = folder("full");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(&folder).status();
        assert!(mounted.unwrap().success());
        Self(folder)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
#[ignore = "boots machines: cargo xtask test"]
fn a_full_out_folder_is_never_taken_for_a_good_end() {
    let small = Small::new();
    let out = small.0.to_str().unwrap();
    let (code, said) = run(&mut machine(&["--out", out, "--", "sh", "-c", "cat /dev/zero > /out/zeroes; true"]));
    assert_eq!(code, SETUP_FAILED, "{said}");
    assert!(said.contains("may be cut short") && said.contains(out) && said.contains("--out DIR"), "{said}");
    // Full from the beginning: nothing is booted.
    let start = Instant::now();
    let (code, said) = run(&mut machine(&["--out", out, "--", "true"]));
    assert_eq!(code, SETUP_FAILED, "{said}");
    assert!(said.contains(&format!("the out folder {out} is full")) && !said.contains("exit code"), "{said}");
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
#[ignore = "boots machines: cargo xtask test"]
fn without_a_network_what_cannot_be_fetched_is_named() {
    let (debian, kept) = (root().join("target/debian"), folder("kept"));
    // As on a machine that has fetched nothing yet: the folder of packages is empty, but for QEMU in the second row.
    let hide = "mount -t tmpfs tmpfs \"$1\" || exit 1";
    let but_qemu = "mount --bind \"$1/qemu\" \"$2\" && mount -t tmpfs tmpfs \"$1\" && mkdir \"$1/qemu\" && mount --bind \"$2\" \"$1/qemu\" || exit 1";
    let mut rows = vec![(hide, "lists of packages")];
    if debian.join("qemu").is_dir() {
        rows = vec![(hide, "there is no QEMU: install qemu-system-x86"), (but_qemu, "lists of packages")];
    }
    for (prepare, says) in rows {
        let mut command = Command::new("unshare");
        let script = format!("{prepare}; xtask=$3; exec \"$xtask\" vm --no-scap -- true");
        command.args(["--mount", "--net", "sh", "-c", &script, "sh"]);
        let (code, said) = run(command.arg(&debian).arg(&kept).arg(env!("CARGO_BIN_EXE_xtask")));
        assert_eq!(code, SETUP_FAILED, "{said}");
        assert!(said.contains(says) && said.contains("is the network there?"), "{said}");
    }
    fs::remove_dir(&kept).unwrap();
}

/// The machine of this xtask, once it is there.
fn child_of(xtask: &Child) -> u32 {
    let start = Instant::now();
    let children = format!("/proc/{0}/task/{0}/children", xtask.id());
    while start.elapsed() < Duration::from_secs(60) {
        let qemu = fs::read_to_string(&children).unwrap_or_default();
        if let Some(pid) = qemu.split_whitespace().next().and_then(|pid| pid.parse().ok()) {
            let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if command.contains("qemu-system-x86_64") && !command.starts_with("setpriv") {
                return pid;
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("xtask started no QEMU");
}

#[test]
#[ignore = "boots machines: cargo xtask test"]
fn no_machine_outlives_its_xtask() {
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let mut command = machine(&["--", "sleep", "1000"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut xtask = command.spawn().unwrap();
        let qemu = child_of(&xtask);
        let pid = Pid::from_raw(i32::try_from(xtask.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        xtask.wait().unwrap();
        let start = Instant::now();
        while Path::new(&format!("/proc/{qemu}/exe")).exists() {
            assert!(start.elapsed() < Duration::from_secs(60), "QEMU {qemu} lives on after {signal:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
#[ignore = "boots machines: cargo xtask test"]
fn two_machines_of_one_kernel_do_not_meet() {
    let machines = ["one", "two"].map(|word| {
        let out = folder(word);
        let script = format!("echo {word} > /out/{word}; sleep 2; ls /out");
        let mut command = machine(&["--out", out.to_str().unwrap(), "--", "sh", "-c", &script]);
        let machine = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        (word, out, machine)
    });
    for (word, out, machine) in machines {
        let output = machine.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{word}\n"));
        fs::remove_dir_all(&out).unwrap();
    }
}

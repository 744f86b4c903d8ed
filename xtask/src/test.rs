//! `cargo xtask test`: set-up, then every test of the workspace, here and in a VM.

mod failures;
mod programs;
mod vm;

use std::ffi::OsString;
use std::io;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::{Context, ensure};

use crate::setup;
use crate::vm as machine;
use crate::workspace::{Workspace, become_command, is_root};
use failures::Failures;
pub(crate) use programs::Programs;
use vm::Vm;
pub(crate) use vm::{MODULE_TESTS, module_tests};

/// Everything but the eBPF programs, which are built for another target.
const PACKAGES: [&str; 3] = ["--workspace", "--exclude", "portwitness-ebpf"];

/// The variable that says how many tests of a program run at once.
const THREADS: &str = "RUST_TEST_THREADS";

/// Left out where every test runs in a guest, which keeps the files that it writes in memory and may have an emulated CPU: a log of
/// a GiB, ten million events with the GiB that their history takes, and fifty fences beside three threads that never rest.
const TOO_LARGE: [&str; 3] = [
    "a_log_of_one_gigabyte_is_bounded_and_what_is_missing_is_counted",
    "memory_stays_flat_over_ten_million_events",
    "nothing_older_comes_after_a_fence",
];

/// The variable that says how many suites the tests of faults run at once, and how many do where one CPU is emulated.
const JOBS: &str = "PORTWITNESS_TEST_JOBS";
const AT_ONCE_IN_A_GUEST: u32 = 3;

/// What all tests may take in a guest with an emulated CPU.
const IN_A_GUEST: Duration = Duration::from_secs(5400);

/// After cargo has ended, what it said last is waited for this long.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Something failed in the guest: the same code as the harness gives for a failure.
const FAILED: u8 = 100;

/// Runs `cargo test` with `args`. Without any, a guest is booted afterwards; with `--no-vm` it is not, with `--only-vm` it alone
/// is; with `--vm [options]` the tests are built here and run in a guest.
pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> anyhow::Result<ExitCode> {
    setup::ensure(workspace)?;
    if !is_root() {
        eprintln!(
            "note: not root: the tests of the eBPF observer and those that run a suite (package suites, test harness) \
             need root and fail; the others run. As root: sudo -E cargo xtask test"
        );
    }
    build_programs(workspace)?;
    match args {
        [] => here_and_in_a_vm(workspace),
        [first, args @ ..] if first == "--vm" => inside(workspace, args),
        [first, args @ ..] if first == "--no-vm" => Err(become_command(tests(workspace).args(args))),
        [first] if first == "--only-vm" => Ok(ExitCode::from(in_a_vm(workspace, "\n"))),
        // Who asks for some tests waits for no kernel to boot.
        args => Err(become_command(tests(workspace).args(args))),
    }
}

/// `cargo test` of everything. Tests that take long run systems that sleep, so each CPU gets three, unless the user has it otherwise.
fn tests(workspace: &Workspace) -> Command {
    let mut cargo = workspace.cargo("test");
    cargo.args(PACKAGES);
    if env::var_os(THREADS).is_none() {
        cargo.env(THREADS, (3 * thread::available_parallelism().map_or(1, usize::from)).to_string());
    }
    cargo
}

/// The tests start the suites and the reference systems as programs, and find them beside each other in the target folder.
fn build_programs(workspace: &Workspace) -> anyhow::Result<()> {
    let mut build = workspace.cargo("build");
    let status = build.args(PACKAGES).arg("--bins").status().context("cannot start cargo")?;
    ensure!(status.success(), "the programs under test do not build: cargo build ended with {status}");
    Ok(())
}

fn here_and_in_a_vm(workspace: &Workspace) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    build_tests(workspace)?;
    // The tests wait more than they compute: what the VM takes is fetched and built meanwhile.
    let (status, said) = thread::scope(|scope| {
        let _fetching = scope.spawn(|| vm::fetch(workspace));
        here(workspace)
    })?;
    let took = start.elapsed().as_secs_f64();
    eprintln!("\ntest: here: {}, {took:.0} s; now in a VM (--no-vm leaves that out)", ended(status));
    let failures: String = said.lines().iter().map(|line| format!("\ntest: {line}")).collect();
    let code = in_a_vm(workspace, &format!("\ntest: here: {}, {took:.0} s{failures}\n", ended(status)));
    Ok(match u8::try_from(status.code().unwrap_or(i32::from(FAILED))) {
        Ok(0) => ExitCode::from(code),
        Ok(here) => ExitCode::from(here),
        Err(_) => ExitCode::from(FAILED),
    })
}

/// Every test, on this machine.
fn here(workspace: &Workspace) -> anyhow::Result<(ExitStatus, Failures)> {
    // A child that ends with us, as it did when we became it. All that fails is told at once: a run takes minutes.
    let mut cargo = tests(workspace);
    cargo.arg("--no-fail-fast");
    let mut here = Command::new("setpriv");
    here.args(["--pdeathsig", "TERM", "--"]).arg(cargo.get_program()).args(cargo.get_args());
    here.envs(cargo.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut running = here.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let (tell, told) = mpsc::channel();
    if let Some(output) = running.stdout.take() {
        // Whoever reads us may have gone; cargo then ends at its next word.
        thread::spawn(move || tell.send(Failures::tee(output, io::stdout()).unwrap_or_default()));
    }
    let status = running.wait().context("cannot wait for cargo")?;
    // What a test left running may hold the pipe for longer than anybody waits.
    Ok((status, told.recv_timeout(LAST_WORDS).unwrap_or_default()))
}

fn build_tests(workspace: &Workspace) -> anyhow::Result<()> {
    let mut build = workspace.cargo("test");
    let status = build.args(PACKAGES).args(["--tests", "--no-run"]).status().context("cannot start cargo")?;
    ensure!(status.success(), "the tests do not build: cargo test ended with {status}");
    Ok(())
}

/// Carries out the part in the VM, and says `before` and how it ended as the last of all; returns the exit code.
fn in_a_vm(workspace: &Workspace, before: &str) -> u8 {
    let vm = vm::run(workspace);
    eprint!("{before}");
    match vm {
        Ok(Vm::Good(summary)) => {
            eprintln!("test: in a VM: good: {summary}");
            0
        }
        Ok(Vm::Failed(summary)) => {
            eprintln!("test: in a VM: FAILED: {summary}");
            FAILED
        }
        Ok(Vm::Skipped(why)) => {
            eprintln!("test: in a VM: SKIPPED, nothing was tried there: {why}");
            0
        }
        Err(error) => {
            eprintln!("test: in a VM: FAILED: {error:#}");
            crate::SETUP_FAILED
        }
    }
}

fn ended(status: ExitStatus) -> String {
    if status.success() { "good".to_owned() } else { format!("FAILED ({status})") }
}

/// Every test in a guest.
fn inside(workspace: &Workspace, args: &[OsString]) -> anyhow::Result<ExitCode> {
    build_tests(workspace)?;
    // Tests of a machine without the module are among them; those that need it load it by themselves, or run in `in_a_vm`.
    let defaults = machine::Options { deadline: IN_A_GUEST, scap: machine::Scap::Never, ..machine::Options::default() };
    machine::with_options(workspace, defaults, args, |args| {
        // Without the tests in documentation: those are compiled as they run, which takes too long there.
        let mut test = workspace.cargo("test");
        test.args(PACKAGES).args(["--tests", "--offline", "--no-fail-fast"]).args(args);
        if args.is_empty() {
            eprintln!("test: left out in the guest, for their size: {}", TOO_LARGE.join(", "));
            test.arg("--").args(TOO_LARGE.iter().flat_map(|name| ["--skip", name]));
        }
        let words =
            [test.get_program()].into_iter().chain(test.get_args()).map(|word| word.to_string_lossy().into_owned());
        Ok(["env".to_owned(), format!("{JOBS}={AT_ONCE_IN_A_GUEST}")].into_iter().chain(words).collect())
    })
}

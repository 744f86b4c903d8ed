//! `cargo xtask`: sets up, builds, runs, tests, measures and lints the project.

mod bench;
mod debian;
mod faults;
mod kmod;
mod lint;
mod run;
mod setup;
mod test;
mod vm;
mod workspace;

use std::env;
use std::process::ExitCode;

use workspace::Workspace;

const USAGE: &str = "usage: cargo xtask <command>

  setup         install what is missing: eBPF toolchain, bpf-linker, Python venv with the real tunnel
  run [args]    setup, build, then `suites run` with these arguments (try: cargo xtask run --help)
  faults [args] setup, build, then the tunnel suite on the reference once per fault (try: cargo xtask faults --help)
  test [args]   setup, then `cargo test` on the whole workspace with these arguments; without any, a VM as well
                (--no-vm: without it, --only-vm: it alone, --vm: all of them in one)
  bench [NAME...] [--quick]
                setup, then what observation costs, against its goals and against bpftrace, strace, iperf3 (installed
                where missing); without a NAME the tables are written to BENCHMARKS.md; --vm [vm options]: scap beside eBPF, in a VM
  vm [options] [-- COMMAND]
                a command in a VM with one of Debian's kernels and the scap module (try: cargo xtask vm --help)
  kmod <command>
                build, load, unload the scap module, say its status (try: cargo xtask kmod help)
  lint          format, clippy, import rules, file rules

exit codes: 0 good, 1 lint found something, 2 usage, 96 set-up or build failed (a guest that does not boot, too), 100 something failed
in a guest of `test` or `vm`; else that of the program that was run";

/// Set-up failed: the same code as the harness gives for it.
const SETUP_FAILED: u8 = 96;
const USAGE_ERROR: u8 = 2;

fn main() -> ExitCode {
    let mut args = env::args_os().skip(1);
    let command = args.next().unwrap_or_default();
    // Arguments of `run` and `test` are not ours: they go on as they came.
    let rest: Vec<_> = args.collect();
    let workspace = match Workspace::locate() {
        Ok(workspace) => workspace,
        Err(error) => return failed(&error),
    };
    let result = match (command.to_str(), rest.as_slice()) {
        (Some("setup"), []) => setup::run(&workspace),
        (Some("run"), args) => run::run(&workspace, args),
        (Some("faults"), args) => faults::run(&workspace, args),
        (Some("test"), args) => test::run(&workspace, args),
        (Some("bench"), args) => bench::run(&workspace, args),
        (Some("vm"), args) => vm::run(&workspace, args),
        (Some("guest"), args) => vm::steps(args),
        (Some("kmod"), args) => kmod::run(&workspace, args),
        (Some("lint"), []) => lint::run(&workspace),
        (Some("help" | "-h" | "--help"), _) => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => Ok(usage(USAGE)),
    };
    result.unwrap_or_else(|error| failed(&error))
}

/// Says what was meant to be said, and gives the exit code for a wrong command line.
fn usage(text: &str) -> ExitCode {
    eprintln!("{text}");
    ExitCode::from(USAGE_ERROR)
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::from(SETUP_FAILED)
}

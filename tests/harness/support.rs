//! Runs the `suites` program as a user would, and reads what it prints.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The `suites` program with some arguments, its runs kept in `runs`.
pub(crate) fn suites(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_suites"));
    command.args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// Where these tests run under nohup, or in the background of a script, a signal may be ignored, and that is inherited.
pub(crate) fn default_signals(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec the closure calls signal(2) alone.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGHUP, libc::SIG_DFL);
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            Ok(())
        })
    }
}

/// What a finished run said.
pub(crate) struct Ran {
    pub(crate) exit: i32,
    pub(crate) stderr: String,
    /// The verdict of each case by its number, and the text of it.
    pub(crate) cases: BTreeMap<String, (String, String)>,
    /// The run directory, when there is one.
    pub(crate) place: Option<PathBuf>,
    _runs: tempfile::TempDir,
}

/// Runs the tunnel suite with `--json` and these arguments.
pub(crate) fn run(arguments: &[&str]) -> Ran {
    let runs = tempfile::tempdir().unwrap();
    let mut command = suites(&["run", "tunnel", "--json", "--runs"]);
    let output = command.arg(runs.path()).args(arguments).output().unwrap();
    read(&output, runs)
}

pub(crate) fn read(output: &Output, runs: tempfile::TempDir) -> Ran {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut cases = BTreeMap::new();
    for line in lines.iter().filter(|line| line["type"] == "case") {
        let number = line["case"].as_str().unwrap().rsplit(' ').next().unwrap().to_string();
        let verdict = &line["verdict"];
        cases.insert(number, (verdict["verdict"].as_str().unwrap().to_string(), verdict.to_string()));
    }
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let place = std::fs::canonicalize(runs.path().join("latest")).ok();
    Ran { exit: output.status.code().unwrap_or(-1), stderr, cases, place, _runs: runs }
}

impl Ran {
    /// The cases with a verdict, by number.
    pub(crate) fn with(&self, word: &str) -> Vec<&str> {
        self.cases.iter().filter(|(_, (verdict, _))| verdict == word).map(|(number, _)| number.as_str()).collect()
    }

    /// The text of a case's verdict.
    pub(crate) fn finding(&self, number: &str) -> &str {
        &self.cases[number].1
    }

    pub(crate) fn place(&self) -> &Path {
        self.place.as_deref().unwrap()
    }

    /// Asserts the exit code, and says all when it is another.
    pub(crate) fn exits_with(&self, code: i32) -> &Self {
        assert_eq!(self.exit, code, "{}", self.stderr);
        self
    }

    /// Asserts that the messages contain this.
    pub(crate) fn says(&self, part: &str) -> &Self {
        assert!(self.stderr.contains(part), "no `{part}` in:\n{}", self.stderr);
        self
    }
}

/// Waits for a condition, for half a minute at the most.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "it did not come to this: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A program that was started; killed when the test ends before it does.
pub(crate) struct Started(pub(crate) Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Processes whose command line contains `part`.
pub(crate) fn processes_with(part: &str) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(part)
        })
        .collect()
}

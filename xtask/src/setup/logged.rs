//! Runs a program whose output is of interest only when it fails.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Lines of the log that an error shows.
const TAIL: usize = 15;

/// Runs `command` to its end with its output in the file `log`.
///
/// # Errors
/// When it cannot be started or fails: names the log and shows its last lines.
pub(crate) fn run(command: &mut Command, log: &Path) -> anyhow::Result<()> {
    let output = File::create(log).with_context(|| log.display().to_string())?;
    let errors = output.try_clone().with_context(|| log.display().to_string())?;
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command.stdin(Stdio::null()).stdout(output).stderr(errors);
    let status = child.status().with_context(|| format!("cannot start {name}"))?;
    if status.success() {
        return Ok(());
    }
    let text = fs::read_to_string(log).unwrap_or_default();
    bail!("{name} ended with {status}; the last lines of {}:\n{}", log.display(), tail(&text));
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].iter().map(|line| format!("    {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_failure_shows_the_end_of_the_log_and_where_it_lies() {
        let log = std::env::temp_dir().join(format!("xtask-logged-{}.log", std::process::id()));
        let error = run(Command::new("sh").args(["-c", "seq 100; echo no network >&2; exit 3"]), &log).unwrap_err();
        let text = error.to_string();
        fs::remove_file(&log).unwrap();
        assert!(text.contains("exit status: 3") && text.contains(&log.display().to_string()), "{text}");
        assert!(text.contains("no network") && text.contains("    100\n") && !text.contains("    80\n"), "{text}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let log = std::env::temp_dir().join(format!("xtask-absent-{}.log", std::process::id()));
        let error = run(&mut Command::new("/nonexistent/program"), &log).unwrap_err();
        fs::remove_file(&log).unwrap();
        assert_eq!(error.to_string(), "cannot start /nonexistent/program");
    }
}

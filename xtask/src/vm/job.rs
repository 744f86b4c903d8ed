//! What the guest runs, as a shell script.

use std::path::Path;

/// Variables that go from the host into the guest: where programs are, and what tests read.
const VARIABLES: [&str; 6] = ["PATH", "HOME", "LANG", "NO_COLOR", "CARGO_HOME", "RUSTUP_HOME"];
const PREFIXES: [&str; 3] = ["RUST_", "PROPTEST_", "PORTWITNESS_"];

/// A command, and where and with what it runs.
#[derive(Debug, Default)]
pub(super) struct Job {
    /// Program and arguments.
    pub(super) command: Vec<String>,
    /// Commands that have to succeed before; the first that fails ends the job with 96.
    pub(super) before: Vec<Vec<String>>,
    /// Names and values.
    pub(super) environment: Vec<(String, String)>,
    /// Working folder.
    pub(super) folder: String,
}

impl Job {
    /// `command` in the host's `folder` with the host's environment.
    pub(super) fn new(command: &[String], folder: &Path, environment: impl Iterator<Item = (String, String)>) -> Self {
        let kept = |name: &str| VARIABLES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        let mut environment: Vec<_> = environment.filter(|(name, _)| kept(name)).collect();
        environment.push(("PORTWITNESS_OUT".to_owned(), "/out".to_owned()));
        Self { command: command.to_vec(), before: Vec::new(), environment, folder: folder.display().to_string() }
    }

    /// The script.
    pub(super) fn script(&self) -> String {
        let mut script = String::new();
        for (name, value) in &self.environment {
            script += &format!("export {name}={}\n", quoted(value));
        }
        script += &format!("cd {} || exit 96\n", quoted(&self.folder));
        for command in &self.before {
            script += &format!("{} || exit 96\n", words(command));
        }
        script + &format!("exec {}\n", words(&self.command))
    }
}

fn words(command: &[String]) -> String {
    command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// As one word of the shell, whatever is in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::process::Command;

    use super::*;

    fn job(command: &[&str], environment: &[(&str, &str)]) -> Job {
        let command: Vec<_> = command.iter().map(|word| (*word).to_owned()).collect();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Job::new(&command, Path::new("/"), environment)
    }

    fn run(job: &Job) -> (Option<i32>, String) {
        let output = Command::new("sh").arg("-c").arg(job.script()).env_clear().output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }

    #[test]
    fn the_shell_leaves_every_word_as_it_is() {
        let path = ("PATH", "/usr/bin:/bin");
        let (code, output) = run(&job(&["printf", "%s|", "a b", "it's", "$HOME", "", "`id`", "x\ny", "*"], &[path]));
        assert_eq!((code, output.as_str()), (Some(0), "a b|it's|$HOME||`id`|x\ny|*|"));
    }

    #[test]
    fn only_known_variables_go_along() {
        let environment = [("PATH", "/usr/bin:/bin"), ("SECRET", "x"), ("RUST_LOG", "a'b"), ("PROPTEST_CASES", "7")];
        let (_, output) = run(&job(&["env"], &environment));
        let mut lines: Vec<_> =
            output.lines().filter(|line| !line.contains("PWD=") && !line.starts_with("_=")).collect();
        lines.sort_unstable();
        assert_eq!(lines, ["PATH=/usr/bin:/bin", "PORTWITNESS_OUT=/out", "PROPTEST_CASES=7", "RUST_LOG=a'b"]);
    }

    #[test]
    fn the_exit_code_is_that_of_the_command_or_96_when_it_never_ran() {
        let path = ("PATH", "/usr/bin:/bin");
        assert_eq!(run(&job(&["sh", "-c", "exit 42"], &[path])).0, Some(42));
        assert_eq!(run(&job(&["no-such-program"], &[path])).0, Some(127));
        let mut gone = job(&["true"], &[path]);
        gone.folder = "/nonexistent".to_owned();
        assert_eq!(run(&gone).0, Some(96));
        let mut refused = job(&["true"], &[path]);
        refused.before.push(vec!["false".to_owned()]);
        assert_eq!(run(&refused).0, Some(96));
    }
}

//! Several commands in one boot: each with a deadline and a log of its own, and what came of each.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};

/// A command of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// Unique in its plan; its log is `NAME.log` in the out folder.
    pub(crate) name: String,
    /// Program and arguments.
    pub(crate) command: Vec<String>,
    /// Working folder.
    pub(crate) folder: PathBuf,
    /// Names and values that the command has in its environment.
    #[serde(default)]
    pub(crate) environment: Vec<(String, String)>,
    /// What its log has to hold when it is good: a test that was not there passes, too.
    #[serde(default)]
    pub(crate) says: Vec<String>,
    /// Seconds; then it and its descendants are killed.
    pub(crate) deadline_s: u64,
}

impl Step {
    /// A command without an environment of its own, in the root folder.
    pub(crate) fn new(name: &str, deadline_s: u64, command: &[&str]) -> Self {
        let command = command.iter().map(|&word| word.to_owned()).collect();
        let (environment, says) = (Vec::new(), Vec::new());
        Self { name: name.to_owned(), command, folder: "/".into(), environment, says, deadline_s }
    }

    /// Under another name.
    pub(crate) fn named(self, name: String) -> Self {
        Self { name, ..self }
    }

    /// It is good only when it says this.
    pub(crate) fn saying(mut self, text: &str) -> Self {
        self.says.push(text.to_owned());
        self
    }

    /// In this folder.
    pub(crate) fn inside(mut self, folder: &Path) -> Self {
        self.folder = folder.to_owned();
        self
    }

    /// With this variable in its environment.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn deadline(&self) -> Duration {
        Duration::from_secs(self.deadline_s)
    }
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Of the step.
    pub(crate) name: String,
    /// Whether the command ended with 0 in time.
    pub(crate) good: bool,
    /// How it ended.
    pub(crate) how: String,
    /// Seconds.
    pub(crate) took_s: f64,
    /// The last line that it printed.
    pub(crate) said: String,
}

/// A step failed.
const FAILED: u8 = 100;
/// Lines of the log that a failure shows.
const TAIL: usize = 60;
/// Name of the file of outcomes, in the out folder: a line a step, as it ends.
const OUTCOMES: &str = "steps.jsonl";

/// Writes a plan into the file `path`, and takes away what an older one left in `out`.
pub(super) fn write_plan(path: &Path, steps: &[Step], out: &Path) -> anyhow::Result<()> {
    let outcomes = out.join(OUTCOMES);
    if outcomes.exists() {
        fs::remove_file(&outcomes).with_context(|| outcomes.display().to_string())?;
    }
    fs::write(path, serde_json::to_vec(steps)?).with_context(|| path.display().to_string())
}

/// The outcomes of those steps that came to an end.
pub(super) fn read_outcomes(out: &Path) -> anyhow::Result<Vec<Outcome>> {
    let path = out.join(OUTCOMES);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let mut outcomes = Vec::new();
    for line in BufReader::new(file).lines() {
        outcomes.push(serde_json::from_str(&line?).with_context(|| path.display().to_string())?);
    }
    Ok(outcomes)
}

/// The guest's part: carries out the plan in the file `plan`, one step after the other, also after one has failed, and says a
/// line on each. The exit code is 0 when all were good, else 100.
pub(crate) fn carry_out(plan: &Path, out: &Path) -> anyhow::Result<u8> {
    let text = fs::read(plan).with_context(|| plan.display().to_string())?;
    let steps: Vec<Step> = serde_json::from_slice(&text).with_context(|| plan.display().to_string())?;
    let path = out.join(OUTCOMES);
    let mut outcomes = File::create(&path).with_context(|| path.display().to_string())?;
    let mut all_good = !steps.is_empty();
    for step in &steps {
        let log = out.join(format!("{}.log", step.name));
        let outcome = carry_out_one(step, &log)?;
        all_good &= outcome.good;
        let mut line = serde_json::to_vec(&outcome)?;
        line.push(b'\n');
        outcomes.write_all(&line).with_context(|| path.display().to_string())?;
    }
    Ok(if all_good { 0 } else { FAILED })
}

/// Carries out one step with its output in the file `log`, and says a line on it; the end of its log as well when it failed.
pub(crate) fn carry_out_one(step: &Step, log: &Path) -> anyhow::Result<Outcome> {
    let outcome = outcome(step, log).with_context(|| format!("step {}", step.name))?;
    eprintln!(
        "vm: {} {:<14} {:>5.1} s  {}",
        if outcome.good { "good  " } else { "FAILED" },
        step.name,
        outcome.took_s,
        if outcome.good { &outcome.said } else { &outcome.how }
    );
    if !outcome.good {
        eprintln!("vm: `{}`; the last lines of {}:", step.command.join(" "), log.display());
        eprint!("{}", tail(log));
    }
    Ok(outcome)
}

fn outcome(step: &Step, log: &Path) -> anyhow::Result<Outcome> {
    let output = File::create(log).with_context(|| log.display().to_string())?;
    let errors = output.try_clone().with_context(|| log.display().to_string())?;
    let [program, arguments @ ..] = &step.command[..] else { anyhow::bail!("it has no command") };
    let mut command = Command::new(program);
    command.args(arguments).current_dir(&step.folder).envs(step.environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
    let start = Instant::now();
    let (mut good, mut how) = match command.spawn() {
        Ok(child) => match wait(child, step.deadline())? {
            Some(status) => (status.success(), status.to_string()),
            None => (false, format!("killed after {} s, its deadline", step.deadline_s)),
        },
        Err(error) => (false, format!("cannot start {program}: {error}")),
    };
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    if let (true, Some(lacking)) = (good, step.says.iter().find(|says| !text.contains(*says))) {
        (good, how) = (false, format!("it ended well and never said `{lacking}`"));
    }
    let said = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned();
    Ok(Outcome { name: step.name.clone(), good, how, took_s: start.elapsed().as_secs_f64(), said })
}

/// The status, or nothing when the child had to be killed with its group.
fn wait(mut child: Child, deadline: Duration) -> anyhow::Result<Option<ExitStatus>> {
    let start = Instant::now();
    while start.elapsed() < deadline {
        if let Some(status) = child.try_wait().context("cannot wait for a step")? {
            return Ok(Some(status));
        }
        thread::sleep(Duration::from_millis(20));
    }
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a step without a pid")?;
    // The leader has not been waited for, so the number is still that of its group.
    let _ = kill_process_group(pid, Signal::KILL);
    child.wait().context("cannot wait for a step")?;
    Ok(None)
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].iter().map(|line| format!("    {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("xtask-steps-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn run(&self, steps: &[(&str, &str)]) -> (u8, Vec<Outcome>) {
            let steps: Vec<_> = steps
                .iter()
                .map(|(name, script)| Step {
                    name: (*name).to_owned(),
                    command: ["sh", "-c", script].map(str::to_owned).to_vec(),
                    folder: self.0.clone(),
                    environment: vec![("WORD".to_owned(), "hello".to_owned())],
                    says: Vec::new(),
                    deadline_s: 2,
                })
                .collect();
            let plan = self.0.join("plan.json");
            write_plan(&plan, &steps, &self.0).unwrap();
            let code = carry_out(&plan, &self.0).unwrap();
            (code, read_outcomes(&self.0).unwrap())
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn every_step_runs_and_one_that_fails_fails_the_whole() {
        let folder = Folder::new("fails");
        let (code, outcomes) =
            folder.run(&[("one", "echo $WORD; pwd"), ("two", "echo oh no >&2; exit 3"), ("three", "true")]);
        assert_eq!(code, FAILED);
        assert_eq!(outcomes.iter().map(|outcome| outcome.good).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!((outcomes[1].how.as_str(), outcomes[1].said.as_str()), ("exit status: 3", "oh no"));
        assert_eq!(fs::read_to_string(folder.0.join("one.log")).unwrap(), format!("hello\n{}\n", folder.0.display()));
        assert_eq!(folder.run(&[("one", "true")]).0, 0);
    }

    #[test]
    fn a_step_that_hangs_is_killed_with_what_it_started() {
        let folder = Folder::new("hangs");
        let started = Instant::now();
        let (code, outcomes) = folder.run(&[("hangs", "sleep 600 & echo $! > child; wait")]);
        assert!(started.elapsed() < Duration::from_secs(60));
        assert_eq!((code, outcomes[0].how.as_str()), (FAILED, "killed after 2 s, its deadline"));
        let child: i32 = fs::read_to_string(folder.0.join("child")).unwrap().trim().parse().unwrap();
        let gone = || {
            let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        };
        while !gone() {
            assert!(started.elapsed() < Duration::from_secs(60), "its child lives on");
            thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_step_that_does_not_say_what_it_has_to_fails() {
        let folder = Folder::new("says");
        let steps = ["1 passed", "2 passed"].map(|text| Step::new(&text[..1], 2, &["echo", "1 passed"]).saying(text));
        let plan = folder.0.join("plan.json");
        write_plan(&plan, &steps, &folder.0).unwrap();
        assert_eq!(carry_out(&plan, &folder.0).unwrap(), FAILED);
        let outcomes = read_outcomes(&folder.0).unwrap();
        assert!(outcomes[0].good && !outcomes[1].good && outcomes[1].how.contains("never said `2 passed`"));
    }

    #[test]
    fn nothing_to_do_is_not_good_and_a_program_that_is_not_there_is_named() {
        let folder = Folder::new("nothing");
        assert_eq!(folder.run(&[]), (FAILED, Vec::new()));
        let step = [Step::new("gone", 2, &["/nonexistent/program"])];
        let plan = folder.0.join("plan.json");
        write_plan(&plan, &step, &folder.0).unwrap();
        assert!(read_outcomes(&folder.0).unwrap().is_empty(), "outcomes of an older plan are gone");
        assert_eq!(carry_out(&plan, &folder.0).unwrap(), FAILED);
        assert!(read_outcomes(&folder.0).unwrap()[0].how.contains("/nonexistent/program"));
    }
}

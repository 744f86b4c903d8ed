//! One run of the suite: what is started, and what it says.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};
use serde::Deserialize;

use super::reference::Reference;

/// The built suites, and where their runs are kept.
#[derive(Debug)]
pub(crate) struct Suites {
    reference: Reference,
    program: PathBuf,
    runs: PathBuf,
}

/// A run that is wanted.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// The fault of the reference.
    pub(crate) fault: String,
    /// Which of several with this fault, from 0.
    pub(crate) round: u16,
    /// Only these cases; all when there are none.
    pub(crate) cases: Vec<String>,
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// The exit code; -1 for a signal.
    pub(crate) exit: i32,
    /// Standard error.
    pub(crate) said: String,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// The verdicts, in the order of the suite; none when the run broke off before.
    pub(crate) cases: Vec<Case>,
    /// The checks of the system as a whole.
    pub(crate) system: Vec<Check>,
}

/// A case with its verdict.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Case {
    /// `tunnel/failover 2.6`.
    case: String,
    /// The worst of its checks.
    pub(crate) verdict: Verdict,
    /// All of them.
    pub(crate) checks: Vec<Check>,
}

/// A check with its verdict.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Check {
    /// What was checked.
    pub(crate) name: String,
    /// What it says.
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
}

/// A verdict as `suites run --json` writes it.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Verdict {
    /// `pass`, `fail` or `unknown`.
    #[serde(rename = "verdict")]
    pub(crate) word: String,
    #[serde(default)]
    expected: String,
    #[serde(default)]
    seen: String,
    #[serde(default)]
    around: Vec<String>,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Run { run: Run },
    Case {},
    End { exit_code: i32, report: Report },
}

#[derive(Deserialize)]
struct Run {
    kernel: String,
}

#[derive(Deserialize)]
struct Report {
    cases: Vec<Case>,
    system: Vec<Check>,
}

/// `report.json` of a run directory.
#[derive(Deserialize)]
struct Stored {
    run: Run,
    exit_code: i32,
    #[serde(flatten)]
    report: Report,
}

impl Suites {
    /// `program` is the suites; runs of the one of `reference` are kept in `runs`.
    pub(crate) fn new(reference: Reference, program: PathBuf, runs: PathBuf) -> anyhow::Result<Self> {
        let program = fs::canonicalize(&program).with_context(|| format!("no program {}", program.display()))?;
        Ok(Self { reference, program, runs })
    }

    /// The faults that the reference has, from its own mouth.
    pub(crate) fn faults(&self) -> anyhow::Result<Vec<String>> {
        let reference = self.program.with_file_name(self.reference.program());
        let asked = Command::new(&reference).args(self.reference.asks()).output();
        let asked = asked.with_context(|| format!("cannot start {}", reference.display()))?;
        let said = String::from_utf8_lossy(&asked.stderr);
        let list = said.split_once("possible values: ").and_then(|(_, rest)| rest.split_once(']'));
        let Some((list, _)) = list else { bail!("{} does not name its faults: {said}", reference.display()) };
        Ok(list.split(',').map(|name| name.split_whitespace().collect()).collect())
    }

    /// Starts a run, in a process group of its own: a Ctrl-C of the terminal is passed on once, by us.
    pub(crate) fn start(&self, wanted: &Wanted) -> anyhow::Result<Child> {
        let place = self.place(wanted);
        match fs::remove_dir_all(&place) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot empty {}", place.display()));
            }
            _ => fs::create_dir_all(&place).with_context(|| format!("cannot create {}", place.display()))?,
        }
        let log = place.join("stderr.log");
        let errors = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        let mut command = Command::new(&self.program);
        command.args(["run", self.reference.suite(), "--sut", "reference", "--json"]);
        command.arg("--set").arg(format!("fault={}", wanted.fault)).arg("--runs").arg(&place);
        for case in &wanted.cases {
            command.arg("--case").arg(case);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).process_group(0);
        command.spawn().with_context(|| format!("cannot start {}", self.program.display()))
    }

    /// Reads what a run says until it has ended; its exit code is for the caller to add.
    pub(crate) fn read(&self, wanted: &Wanted, output: impl std::io::Read) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::default();
        for line in BufReader::new(output).lines() {
            let line = line.context("cannot read what the suite says")?;
            match serde_json::from_str(&line).with_context(|| format!("the suite says what is no verdict: {line}"))? {
                Line::Run { run } => outcome.kernel = run.kernel,
                Line::Case {} => {}
                Line::End { exit_code, report } => {
                    outcome.exit = exit_code;
                    (outcome.cases, outcome.system) = (report.cases, report.system);
                }
            }
        }
        let log = self.place(wanted).join("stderr.log");
        outcome.said = fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
        Ok(outcome)
    }

    /// What the last such run came to, from what it left.
    pub(crate) fn stored(&self, wanted: &Wanted) -> anyhow::Result<Outcome> {
        let place = self.place(wanted);
        let read = |name: &str| {
            let path = place.join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}: run it first", path.display()))
        };
        let Stored { run, exit_code, report } = serde_json::from_str(&read("latest/report.json")?)?;
        let (exit, said, kernel) = (exit_code, read("stderr.log")?, run.kernel);
        Ok(Outcome { exit, said, kernel, cases: report.cases, system: report.system })
    }

    fn place(&self, wanted: &Wanted) -> PathBuf {
        self.runs.join(format!("{}-{}", wanted.fault, wanted.round))
    }
}

impl Case {
    /// `2.6` of `tunnel/failover 2.6`.
    pub(crate) fn number(&self) -> &str {
        self.case.rsplit(' ').next().unwrap_or(&self.case)
    }

    /// The checks that are as bad as the case.
    pub(crate) fn reasons(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.verdict.word == self.verdict.word)
    }
}

impl Verdict {
    /// The finding with the records around it.
    pub(crate) fn in_full(&self) -> String {
        std::iter::once(self.text()).chain(self.around.iter().cloned()).collect::<Vec<_>>().join("\n")
    }

    /// The finding or the reason, in words.
    pub(crate) fn text(&self) -> String {
        match self.word.as_str() {
            "fail" => format!("expected {}; {}", self.expected, self.seen),
            _ => self.reason.clone(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A case with one check that is called `check` and says `seen`.
    pub(crate) fn case(number: &str, word: &str, check: &str, seen: &str) -> Case {
        let verdict = Verdict {
            word: word.into(),
            expected: "x".into(),
            seen: seen.into(),
            reason: seen.into(),
            around: Vec::new(),
        };
        let checks = vec![Check { name: check.into(), verdict: verdict.clone() }];
        Case { case: format!("tunnel/group {number}"), verdict, checks }
    }

    #[test]
    fn lines_of_a_run_are_read() {
        let folder = std::env::temp_dir().join(format!("xtask-faults-{}", std::process::id()));
        let suites = Suites { reference: Reference::Tunnel, program: "/bin/true".into(), runs: folder.clone() };
        let wanted = Wanted { fault: "flaps".into(), round: 0, cases: Vec::new() };
        fs::create_dir_all(suites.place(&wanted)).expect("a folder");
        fs::write(suites.place(&wanted).join("stderr.log"), "said").expect("a file");
        let fail = r#"{"name":"window of p","verdict":"fail","expected":"a","seen":"b"}"#;
        let case = format!(
            r#"{{"case":"tunnel/failover 2.6","verdict":{{"verdict":"fail","expected":"a","seen":"b"}},"checks":[{fail}]}}"#
        );
        let lines = format!(
            "{{\"type\":\"run\",\"run\":{{\"kernel\":\"6\"}}}}\n{{\"type\":\"case\",\"case\":\"x\"}}\n\
             {{\"type\":\"end\",\"exit_code\":100,\"report\":{{\"cases\":[{case}],\"system\":[]}}}}\n"
        );
        let outcome = suites.read(&wanted, lines.as_bytes());
        let report = format!(r#"{{"run":{{"kernel":"6"}},"exit_code":100,"cases":[{case}],"system":[]}}"#);
        let never_run = suites.stored(&wanted);
        fs::create_dir(suites.place(&wanted).join("latest")).expect("a folder");
        fs::write(suites.place(&wanted).join("latest/report.json"), report).expect("a file");
        let stored = suites.stored(&wanted).expect("an outcome");
        let nonsense = suites.read(&wanted, &b"{\n"[..]);
        fs::remove_dir_all(folder).expect("the folder");
        let outcome = outcome.expect("an outcome");
        assert_eq!((outcome.exit, outcome.said.as_str(), outcome.kernel.as_str()), (100, "said", "6"));
        assert_eq!(outcome.cases[0].number(), "2.6");
        assert_eq!(outcome.cases[0].reasons().next().map(|check| check.verdict.text()), Some("expected a; b".into()));
        assert!(nonsense.is_err());
        assert_eq!((stored.exit, stored.said.as_str(), stored.cases[0].number()), (100, "said", "2.6"));
        assert!(never_run.is_err_and(|error| error.to_string().contains("run it first")));
    }
}

//! Test programs, built here to be run elsewhere.

use std::collections::BTreeMap;
use std::process::Stdio;

use anyhow::{Context, ensure};
use serde::Deserialize;

use super::PACKAGES;
use crate::workspace::Workspace;

/// Those that guests run, and the one that boots some, by their names; each stands in one package only.
const TESTS: [&str; 3] = ["harness", "machines", "module"];

/// Paths of test programs.
#[derive(Debug)]
pub(crate) struct Programs(BTreeMap<String, String>);

/// A line that cargo prints on a thing that it has built.
#[derive(Deserialize)]
struct Message {
    target: Option<Target>,
    executable: Option<String>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Programs {
    /// Builds them, and the programs that they start.
    pub(crate) fn build(workspace: &Workspace) -> anyhow::Result<Self> {
        super::build_programs(workspace)?;
        let mut cargo = workspace.cargo("test");
        cargo.args(PACKAGES).args(TESTS.iter().flat_map(|name| ["--test", name]));
        cargo.args(["--no-run", "--message-format=json-render-diagnostics"]).stderr(Stdio::inherit());
        let output = cargo.output().context("cannot start cargo")?;
        ensure!(output.status.success(), "the tests do not build: cargo test ended with {}", output.status);
        Ok(Self(executables(&String::from_utf8_lossy(&output.stdout))))
    }

    /// The path of a test program.
    pub(crate) fn test(&self, name: &str) -> anyhow::Result<String> {
        self.0.get(name).cloned().with_context(|| format!("cargo built no test program `{name}`"))
    }
}

fn executables(messages: &str) -> BTreeMap<String, String> {
    let artefacts = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let tests = artefacts.filter_map(|message| {
        let target = message.target?;
        target.kind.iter().any(|kind| kind == "test").then_some((target.name, message.executable?))
    });
    tests.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_programs_are_told_from_the_rest() {
        let messages = r#"{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"suites"},"executable":"/t/suites"}
{"reason":"compiler-artifact","target":{"kind":["test"],"name":"harness"},"executable":"/t/deps/harness-1"}
{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"portwitness"},"executable":null}
{"reason":"build-finished","success":true}
no json"#;
        let found: Vec<_> = executables(messages).into_iter().collect();
        assert_eq!(found, [("harness".to_owned(), "/t/deps/harness-1".to_owned())]);
    }
}

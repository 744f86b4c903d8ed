//! Workers: this program again, as a child that does one thing when it is told to.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;

use crate::work::READY;

/// A child that is ready; it is killed when this is dropped.
pub(crate) struct Worker {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    what: String,
}

impl Worker {
    /// Starts `work ARGS` and waits until it is ready.
    pub(crate) fn spawn(args: &[&str]) -> anyhow::Result<Self> {
        let what = args.join(" ");
        let program = std::env::current_exe().context("the path of this program")?;
        let mut child = Command::new(program)
            .arg("work")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start the worker `{what}`"))?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("the worker `{what}` has no pipes");
        };
        let mut worker = Self { child, orders: Some(orders), answers: BufReader::new(answers), what };
        match worker.line()?.trim_end() {
            READY => Ok(worker),
            other => bail!("the worker `{}` is not ready, it said `{other}`", worker.what),
        }
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Tells it to go on.
    pub(crate) fn tell(&mut self) -> anyhow::Result<()> {
        let told = self.orders.as_mut().map(|orders| orders.write_all(b"go\n"));
        told.transpose().map(drop).with_context(|| format!("the worker `{}` does not listen", self.what))
    }

    /// What it found.
    pub(crate) fn answer<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        let line = self.line()?;
        serde_json::from_str(&line)
            .with_context(|| format!("the worker `{}` answered `{}`", self.what, line.trim_end()))
    }

    /// Tells it to go on, and waits for what it finds.
    pub(crate) fn go<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        self.tell()?;
        self.answer()
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line) {
            Ok(0) => bail!("the worker `{}` ended without an answer ({:?})", self.what, self.child.wait()),
            Ok(_) => Ok(line),
            Err(error) => Err(error).with_context(|| format!("the worker `{}`", self.what)),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! The process of a handler: it is told its scenario on standard input, carries it out, and tells what it does as JSON lines
//! on standard output.

use std::io::{Read, Write};

use anyhow::Context;
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};

use super::session::Listener;
use super::{Dialogue, Failure, Handler, Program, Registered, Scenario, Session};
use crate::clock::Timestamp;
use crate::history::{HandlerEnd, HandlerStep};

/// A line that a handler's process prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// When, on CLOCK_MONOTONIC: the clock of the whole machine.
    pub at: Timestamp,
    /// What the handler did.
    #[serde(flatten)]
    pub step: HandlerStep,
}

/// Reads a scenario from standard input and carries it out; `registered` are the handlers in Rust.
pub fn main(registered: &[Registered]) -> anyhow::Result<()> {
    // Nobody takes down what it says when the harness has been killed.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut told = String::new();
    std::io::stdin().read_to_string(&mut told).context("the scenario on standard input")?;
    let scenario: Scenario = serde_json::from_str(&told).context("the scenario on standard input")?;
    let listener = Box::new(|at, step| {
        let mut line = serde_json::to_vec(&Line { at, step }).unwrap_or_default();
        line.push(b'\n');
        // In one piece, and at once: what was told before a crash is told.
        let mut output = std::io::stdout().lock();
        let _ = output.write_all(&line).and_then(|()| output.flush());
    });
    carry_out(registered, scenario, listener);
    Ok(())
}

/// Carries out a scenario in this process, and tells how it ended.
pub fn carry_out(registered: &[Registered], scenario: Scenario, listener: Listener) -> HandlerEnd {
    let handler = find(registered, &scenario);
    let mut session = Session::new(scenario, listener);
    let outcome = match handler.and_then(|handler| handler.run(&mut session)) {
        Ok(()) => HandlerEnd::Done,
        Err(Failure::Wrong { place, expected, seen }) => {
            session.tell(HandlerStep::Failed { place, expected, seen });
            HandlerEnd::Failed
        }
        Err(Failure::Broken(reason)) => HandlerEnd::Broken { reason },
    };
    session.tell(HandlerStep::End { outcome: outcome.clone() });
    outcome
}

fn find(registered: &[Registered], scenario: &Scenario) -> Result<Box<dyn Handler>, Failure> {
    match &scenario.program {
        Program::Dialogue { path, text } => match Dialogue::parse(path, text) {
            Ok(dialogue) => Ok(Box::new(dialogue)),
            Err(error) => Err(Failure::Broken(error.to_string())),
        },
        Program::Coded { name } => {
            let found = registered.iter().find(|handler| handler.name == name);
            let known = || registered.iter().map(|handler| handler.name).collect::<Vec<_>>().join(", ");
            let missing = || Failure::Broken(format!("this program has no handler `{name}`; it has: {}", known()));
            found.map(|handler| (handler.make)()).ok_or_else(missing)
        }
    }
}

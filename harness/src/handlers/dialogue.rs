//! Dialogue files: scenarios as TOML. `tests/minipot/DIALOGUES.md` describes the format, with an example.

mod error;
mod parse;
mod play;
mod steps;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod variables;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::{DialogueError, Flaw};
use steps::{Act, Step};
use text::Text;

/// A scenario that was read from a file.
#[derive(Clone, Debug)]
pub struct Dialogue {
    /// In words.
    pub name: String,
    /// Which part of the system it speaks to: the `type` of its reports.
    pub minipot: String,
    /// Where the specification has it; empty where it does not say.
    pub spec: String,
    /// Only a full run carries it out.
    pub full: bool,
    /// It speaks IPv6, to `::1` where it is given a loopback address of IPv4.
    pub ipv6: bool,
    /// All of it takes this long at the most.
    pub deadline: Duration,
    /// A reply comes within this time where its step says nothing else.
    pub wait: Duration,
    /// Where it came from, for messages.
    pub path: PathBuf,
    /// What stood in it.
    pub text: String,
    variables: Vec<(String, Text)>,
    steps: Vec<Step>,
}

impl Dialogue {
    /// Reads a dialogue from a file.
    pub fn load(path: &Path) -> Result<Self, DialogueError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| DialogueError::Read { path: path.into(), why: source.to_string() })?;
        Self::parse(path, &text)
    }

    /// Reads a dialogue from text; `path` is for messages, and its stem the name of a dialogue that has none.
    pub fn parse(path: &Path, text: &str) -> Result<Self, DialogueError> {
        let dialogue = parse::dialogue(path, text)?;
        variables::check(&dialogue).map_err(|fault| fault.at(path, text))?;
        Ok(dialogue)
    }

    /// The names in its `[variables]`: a scenario may give them other values.
    pub fn variable_names(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|(name, _)| name.as_str())
    }

    /// How many connections the system must close; none where the client closes its own side of one first, for then it is
    /// not the system's doing.
    pub fn closes(&self) -> u64 {
        fn closed(steps: &[Step]) -> Option<u64> {
            steps
                .iter()
                .map(|step| match &step.act {
                    Act::ExpectClose { .. } => Some(1),
                    Act::Repeat { times, steps, .. } => closed(steps).map(|each| u64::from(*times) * each),
                    Act::HalfClose => None,
                    _ => Some(0),
                })
                .sum()
        }
        closed(&self.steps).unwrap_or(0)
    }

    /// Whether it closes its own side of a connection and reads on.
    pub fn half_closes(&self) -> bool {
        fn any(steps: &[Step]) -> bool {
            steps.iter().any(|step| match &step.act {
                Act::HalfClose => true,
                Act::Repeat { steps, .. } => any(steps),
                _ => false,
            })
        }
        any(&self.steps)
    }

    /// How many connections it opens, at the most all at once.
    pub fn connections(&self) -> u32 {
        fn opened(steps: &[Step]) -> u32 {
            steps
                .iter()
                .map(|step| match &step.act {
                    Act::Connect(_) => 1,
                    Act::Repeat { steps, .. } => opened(steps),
                    _ => 0,
                })
                .sum()
        }
        opened(&self.steps).max(1)
    }
}

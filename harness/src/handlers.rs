//! Handlers: scenarios that are carried out against a system, each in a process of its own, which validate every reply and
//! say which reports the system must send.
//!
//! A scenario is written in Rust ([`Handler`]) or as a dialogue file ([`Dialogue`]). The process tells what it does as JSON
//! lines, which [`launch`] puts into the history: one that crashes, hangs or prints anything else is a finding.

pub mod child;
pub mod connection;
pub mod dialogue;
pub mod http;
pub mod launch;
mod reading;
pub mod scenario;
pub mod session;
#[cfg(test)]
mod tests;

pub use connection::Connection;
pub use dialogue::{Dialogue, DialogueError};
pub use http::HttpResponse;
pub use scenario::{Program, Scenario};
pub use session::Session;

/// One scenario. It runs in a process of its own, so it may block; every read has a deadline.
pub trait Handler {
    /// Drives the conversation to its end: connects, sends, validates each reply, and says with
    /// [`Connection::expects`] which report the system must send on account of what was sent last.
    ///
    /// An error of a [`Connection`] goes up by `?`: it says what should have come, and what came.
    fn run(&self, session: &mut Session) -> Result<(), Failure>;
}

/// A scenario in Rust, as the program with the suites knows it.
#[derive(Clone, Copy)]
pub struct Registered {
    /// By which a [`Program::Coded`] names it.
    pub name: &'static str,
    /// Makes it.
    pub make: fn() -> Box<dyn Handler>,
}

/// Why a scenario did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The system did something else than it should: the conversation failed.
    #[error("{place}: expected {expected}; {seen}")]
    Wrong {
        /// Where in the scenario: `ftp.toml:12:3`.
        place: String,
        /// What should have come.
        expected: String,
        /// What came.
        seen: String,
    },
    /// The scenario could not be carried out: a fault of its own, or of this machine.
    #[error("{0}")]
    Broken(String),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Broken(format!("{error:#}"))
    }
}

/// Bytes as text with escapes, the first hundred of them, as histories and findings show them.
pub fn shown(bytes: &[u8]) -> String {
    const LIMIT: usize = 100;
    let mut text: String =
        bytes.iter().take(LIMIT).flat_map(|byte| std::ascii::escape_default(*byte)).map(char::from).collect();
    if bytes.len() > LIMIT {
        text.push_str(&format!("... ({} bytes)", bytes.len()));
    }
    text
}

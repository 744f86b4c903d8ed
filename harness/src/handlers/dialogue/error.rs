//! What can be wrong with a dialogue file; every message names file, line and column.

use std::ops::Range;
use std::path::{Path, PathBuf};

/// Why a dialogue file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialogueError {
    /// It cannot be read.
    #[error("could not read the dialogue {path}: {why}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// Something in it is wrong.
    #[error("{path}:{line}:{column}: {flaw}")]
    Flawed {
        /// Which.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
        /// What.
        flaw: Flaw,
    },
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Flaw {
    #[error("not TOML: {0}")]
    NotToml(String),
    #[error("unknown verb `{found}`; a step has one of: {known}")]
    UnknownVerb { found: String, known: String },
    #[error("a step without a verb; it has one of: {known}")]
    NoVerb { known: String },
    #[error("two verbs in one step: `{one}` and `{other}`; write two steps")]
    TwoVerbs { one: String, other: String },
    #[error("unknown key `{found}` {place}; it takes: {known}")]
    UnknownKey { found: String, place: String, known: String },
    #[error("`{key}` is {found}; it must be {wanted}")]
    WrongType { key: String, wanted: String, found: String },
    #[error("`{key}` is missing {place}")]
    Missing { key: String, place: String },
    #[error("bad regular expression: {0}")]
    BadRegex(String),
    #[error("undefined variable `${{{name}}}`; defined here: {known}")]
    Undefined { name: String, known: String },
    #[error("there is no open connection `{name}` here; `connect = \"{name}\"` opens it")]
    NotConnected { name: String },
    #[error("the connection `{name}` is open already")]
    ConnectedTwice { name: String },
    #[error("{0}")]
    Other(String),
}

/// A flaw, and the bytes of the text that have it.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) span: Range<usize>,
    pub(super) flaw: Flaw,
}

impl Fault {
    pub(super) fn new(span: Range<usize>, flaw: Flaw) -> Self {
        Self { span, flaw }
    }

    pub(super) fn at(self, path: &Path, text: &str) -> DialogueError {
        let (line, column) = position(text, self.span.start);
        DialogueError::Flawed { path: path.into(), line, column, flaw: self.flaw }
    }
}

/// Line and column, both from 1, of a byte.
pub(super) fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..byte.min(text.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let begin = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    (line, String::from_utf8_lossy(&before[begin..]).chars().count() + 1)
}

//! What the process says when it ends, for scripts and CI.

use std::process::ExitCode;

use crate::checks::Verdict;

/// The documented exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All passed.
    Passed = 0,
    /// The command line is wrong.
    Usage = 2,
    /// No case matched the filter.
    NothingRan = 4,
    /// Preflight, build or start of the system failed, or a file could not be read or written.
    SetupFailed = 96,
    /// Something is unknown, nothing failed.
    Unknown = 97,
    /// Something failed.
    Failed = 100,
    /// Interrupted (128 + SIGINT).
    Interrupted = 130,
}

impl Exit {
    /// The code of a verdict.
    pub fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Passed,
            Verdict::Fail(_) => Self::Failed,
            Verdict::Unknown { .. } => Self::Unknown,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

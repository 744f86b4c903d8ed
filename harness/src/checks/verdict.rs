//! The three words a check can say, and how they add up.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a check says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// The evidence is there, and it is as expected.
    Pass,
    /// The evidence is there, and it is not as expected.
    Fail(Finding),
    /// The evidence is missing, or too blurred to tell.
    Unknown {
        /// What is missing, and what would settle it.
        reason: String,
    },
}

/// What a failed check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What should have been.
    pub expected: String,
    /// The nearest thing that was.
    pub seen: String,
    /// The records around it, one a line, in the order of time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub around: Vec<String>,
}

impl Verdict {
    /// A failure without records to show.
    pub fn fail(expected: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::Fail(Finding { expected: expected.into(), seen: seen.into(), around: Vec::new() })
    }

    /// Something that could not be judged.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown { reason: reason.into() }
    }

    /// The worst of several, the first of these: fail over unknown over pass. Of nothing: unknown.
    pub fn worst<'a>(verdicts: impl IntoIterator<Item = &'a Self>) -> Self {
        verdicts
            .into_iter()
            .reduce(|worst, verdict| if verdict.weight() > worst.weight() { verdict } else { worst })
            .cloned()
            .unwrap_or_else(|| Self::unknown("nothing was checked"))
    }

    /// The same failure, with records to show.
    pub fn with_records(self, around: Vec<String>) -> Self {
        match self {
            Self::Fail(finding) => Self::Fail(Finding { around, ..finding }),
            other => other,
        }
    }

    /// `pass`, `fail` or `unknown`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail(_) => "fail",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// Whether it is a pass.
    pub fn passed(&self) -> bool {
        *self == Self::Pass
    }

    fn weight(&self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Unknown { .. } => 1,
            Self::Fail(_) => 2,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("pass"),
            Self::Fail(finding) => write!(f, "expected {}; {}", finding.expected, finding.seen),
            Self::Unknown { reason } => f.write_str(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_wins() {
        let fail = Verdict::fail("a", "b");
        let unknown = Verdict::unknown("c");
        assert_eq!(Verdict::worst([&Verdict::Pass, &fail, &unknown]), fail);
        assert_eq!(Verdict::worst([&unknown, &Verdict::Pass]), unknown);
        assert_eq!(Verdict::worst([&Verdict::Pass]), Verdict::Pass);
        assert_eq!(Verdict::worst([&fail, &Verdict::fail("c", "d")]), fail, "the first of the worst");
    }

    #[test]
    fn nothing_is_unknown() {
        assert!(matches!(Verdict::worst([]), Verdict::Unknown { .. }));
    }
}

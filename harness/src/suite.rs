//! Suites: ordered lists of cases that share a system under test.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::case::{Case, Witness};
use crate::checks::Check;
use crate::endpoint::Endpoint;
use crate::sut::{Profile, ProfileError};

/// A suite of cases for one kind of system.
pub struct Suite {
    /// Its name, for example `tunnel`.
    pub name: &'static str,
    /// In words.
    pub title: &'static str,
    /// Built-in profiles, name and TOML; the first is the default.
    pub profiles: &'static [(&'static str, &'static str)],
    /// Makes the cases for a system.
    pub plan: fn(&Profile, Effort) -> Result<Plan, ProfileError>,
}

/// What is to be run, for one system.
pub struct Plan {
    /// Our backends, name and endpoint; they listen for the whole run.
    pub backends: Vec<(String, Endpoint)>,
    /// From the end of a case to the beginning of the next, so that what a system still does for one is not taken for
    /// the other's doing.
    pub pause: Duration,
    /// The groups, in their order; the system is started anew for each.
    pub groups: Vec<Group>,
}

/// Cases that share one start of the system.
pub struct Group {
    /// Its path, for example `tunnel/failover`.
    pub name: String,
    /// Its cases, in their order.
    pub cases: Vec<Case>,
    /// What judges each of them, beside checks of their own.
    pub judged_by: Vec<Check>,
    /// Who watches them beside the run's own observer: from before the system is started until it has stopped.
    pub witness: Option<Witness>,
    /// The system is started anew for each case, while nobody takes its reports in: that is for the case to begin.
    pub unreported: bool,
}

impl Group {
    /// Cases whose clients are ours: judged by coverage, causality and the life of the system's processes.
    pub fn new(name: impl Into<String>, cases: Vec<Case>) -> Self {
        let judged_by = vec![Check::Coverage, Check::Causality, Check::Alive];
        Self { name: name.into(), cases, judged_by, witness: None, unreported: false }
    }
}

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Effort {
    /// Every case, with smaller transfers and short timeouts: minutes.
    Quick,
    /// The sizes and times of the specification.
    Full,
}

impl fmt::Display for Effort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quick => "quick",
            Self::Full => "full",
        })
    }
}

/// Which cases are run: those that match any of the suites (all, when there is none) and any of the numbers.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// `tunnel/failover`, or only `failover`.
    pub suites: Vec<String>,
    /// Case numbers.
    pub cases: Vec<CasePattern>,
}

/// `2.6`, `2.5-2.8`, or `2` for all cases of the second group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CasePattern {
    first: (u32, u32),
    last: (u32, u32),
}

impl FromStr for CasePattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is no case number: write 2.6, 2.5-2.8 or 2");
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let number = |text: &str, missing: u32| match text.split_once('.') {
            Some((group, case)) => Some((group.parse().ok()?, case.parse().ok()?)),
            None => Some((text.parse().ok()?, missing)),
        };
        let first = number(first, 0).ok_or_else(bad)?;
        let last = number(last, u32::MAX).ok_or_else(bad)?;
        if first > last { Err(bad()) } else { Ok(Self { first, last }) }
    }
}

impl fmt::Display for CasePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |f: &mut fmt::Formatter<'_>, (group, case): (u32, u32), whole: u32| match case {
            case if case == whole => write!(f, "{group}"),
            case => write!(f, "{group}.{case}"),
        };
        number(f, self.first, 0)?;
        if self.last == self.first || (self.first.1, self.last) == (0, (self.first.0, u32::MAX)) {
            return Ok(());
        }
        f.write_str("-")?;
        number(f, self.last, u32::MAX)
    }
}

impl CasePattern {
    fn matches(self, number: &str) -> bool {
        let parsed = number.split_once('.').and_then(|(group, case)| Some((group.parse().ok()?, case.parse().ok()?)));
        parsed.is_some_and(|number| self.first <= number && number <= self.last)
    }
}

impl Filter {
    /// Whether a case is to be run.
    pub fn matches(&self, group: &str, number: &str) -> bool {
        let suite = self.suites.is_empty()
            || self.suites.iter().any(|wanted| {
                group == wanted
                    || group.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.starts_with('/'))
                    || group.split_once('/').is_some_and(|(_, last)| last == wanted)
            });
        suite && (self.cases.is_empty() || self.cases.iter().any(|pattern| pattern.matches(number)))
    }

    /// Leaves only what matches in a plan; groups without cases go.
    pub fn apply(&self, plan: &mut Plan) {
        for group in &mut plan.groups {
            group.cases.retain(|case| self.matches(&group.name, &case.number));
        }
        plan.groups.retain(|group| !group.cases.is_empty());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn filter(suites: &[&str], cases: &[&str]) -> Filter {
        Filter {
            suites: suites.iter().map(ToString::to_string).collect(),
            cases: cases.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn filters_pick_by_suite_and_number() {
        assert!(filter(&[], &[]).matches("tunnel/echo", "1.1"));
        assert!(filter(&["tunnel"], &["1.1"]).matches("tunnel/echo", "1.1"));
        assert!(filter(&["echo"], &["1"]).matches("tunnel/echo", "1.9"));
        assert!(filter(&["tunnel/echo"], &["2.5-2.12"]).matches("tunnel/echo", "2.10"));
        assert!(!filter(&["tunnel/echo"], &["2.5-2.12"]).matches("tunnel/echo", "2.13"));
        assert!(!filter(&["tun"], &[]).matches("tunnel/echo", "1.1"));
        assert!(!filter(&[], &["1.1"]).matches("tunnel/echo", "1.10"));
    }

    #[test]
    fn a_number_is_shown_as_it_was_written() {
        for text in ["2", "2.6", "2.5-2.8", "2-3", "2.5-3"] {
            assert_eq!(text.parse::<CasePattern>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_wrong_number_is_refused() {
        for text in ["", "x", "2.", "2.6-2.5", "2.6-"] {
            assert!(text.parse::<CasePattern>().is_err(), "{text}");
        }
    }
}

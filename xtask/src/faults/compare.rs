//! What a fault made fail, compared with what it should.

use super::expected::{Fails, Fault, contains, names};
use super::suite::{Case, Check, Outcome};

/// A run with a fault, compared.
#[derive(Debug)]
pub(crate) struct Compared {
    /// What was expected.
    pub(crate) fault: Fault,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// Each case that was run.
    pub(crate) cells: Vec<Cell>,
    /// The system as a whole: what was caught, and what is not as expected.
    pub(crate) system: Vec<(String, Mark)>,
    /// How the run ended, where that is not as expected.
    pub(crate) ended: Option<String>,
}

/// A case under a fault.
#[derive(Debug)]
pub(crate) struct Cell {
    /// `2.6`.
    pub(crate) number: String,
    /// What became of it.
    pub(crate) mark: Mark,
}

/// What became of a case or a check.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It passed, as it should.
    Passed,
    /// It failed, or is unknown, as it should: by these checks, with these findings.
    Caught(Vec<(String, String)>),
    /// It is not what it should be, and may.
    Allowed(String),
    /// It should have failed or be unknown, as is said here, and is something else.
    Missed(String),
    /// It is as bad as it should be, but no finding names the effect.
    WrongFinding(String),
    /// It failed, and should not have.
    Unexpected(String),
    /// It is unknown, and should not be.
    Unknown(String),
}

impl Compared {
    /// Compares.
    pub(crate) fn new(fault: &Fault, outcome: &Outcome) -> Self {
        let mut compared = Self {
            fault: fault.clone(),
            kernel: outcome.kernel.clone(),
            cells: Vec::new(),
            system: Vec::new(),
            ended: None,
        };
        if let Some(ends) = &fault.ends {
            if outcome.exit != ends.exit || !contains(&outcome.said, &ends.says) {
                compared.ended = Some(format!(
                    "it should have ended with {} and `{}`; it ended with {}: {}",
                    ends.exit,
                    ends.says,
                    outcome.exit,
                    last_line(&outcome.said)
                ));
            }
            return compared;
        }
        if ![0, 97, 100].contains(&outcome.exit) || outcome.cases.is_empty() {
            compared.ended = Some(format!("it ended with {}: {}", outcome.exit, last_line(&outcome.said)));
        }
        let cell = |case: &Case| Cell { number: case.number().into(), mark: of_case(fault, case) };
        compared.cells = outcome.cases.iter().map(cell).collect();
        compared.system = of_system(&fault.system, &outcome.system);
        compared
    }

    /// Whether nothing is other than it should be.
    pub(crate) fn as_expected(&self) -> bool {
        self.ended.is_none() && self.marks().all(Mark::is_expected)
    }

    /// In a few words.
    pub(crate) fn in_short(&self) -> String {
        if let Some(ended) = &self.ended {
            return format!("NOT AS EXPECTED: {ended}");
        }
        if let Some(ends) = &self.fault.ends {
            return format!("caught: the run ends with {}", ends.exit);
        }
        let count = |wanted: fn(&Mark) -> bool| self.marks().filter(|mark| wanted(mark)).count();
        let caught = count(|mark| matches!(mark, Mark::Caught(_)));
        let allowed = count(|mark| matches!(mark, Mark::Allowed(_)));
        let wrong = count(|mark| !mark.is_expected());
        let allowed = if allowed > 0 { format!(", {allowed} may be other") } else { String::new() };
        let wrong = if wrong > 0 { format!(", {wrong} NOT AS EXPECTED") } else { String::new() };
        format!("caught by {caught} of {}{allowed}{wrong}", self.cells.len() + self.system.len())
    }

    /// Everything that is not as expected, a line each.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut complaints: Vec<String> = self.ended.iter().cloned().collect();
        let cells = self.cells.iter().map(|cell| (cell.number.as_str(), &cell.mark));
        let system = self.system.iter().map(|(name, mark)| (name.as_str(), mark));
        complaints.extend(cells.chain(system).filter_map(|(what, mark)| Some(format!("{what} {}", mark.complaint()?))));
        complaints
    }

    fn marks(&self) -> impl Iterator<Item = &Mark> {
        self.cells.iter().map(|cell| &cell.mark).chain(self.system.iter().map(|(_, mark)| mark))
    }
}

impl Mark {
    /// Whether it is as it should be, or may.
    pub(crate) fn is_expected(&self) -> bool {
        self.complaint().is_none()
    }

    fn complaint(&self) -> Option<String> {
        match self {
            Self::Passed | Self::Caught(_) | Self::Allowed(_) => None,
            Self::Missed(said) => Some(format!("was expected to {said}")),
            Self::WrongFinding(said) => Some(said.clone()),
            Self::Unexpected(said) => Some(format!("failed, which was not expected: {said}")),
            Self::Unknown(said) => Some(format!("is unknown: {said}")),
        }
    }
}

fn of_case(fault: &Fault, case: &Case) -> Mark {
    let covers = |cases: &[String]| cases.iter().any(|pattern| names(pattern, case.number()));
    let fails = fault.fails.iter().map(|expected| ("fail", expected));
    let unknown = fault.unknown.iter().map(|expected| ("unknown", expected));
    let expected: Vec<(&str, &Fails)> = fails.chain(unknown).filter(|(_, expected)| covers(&expected.cases)).collect();
    // The worst comes first.
    let must = expected.first().map(|(word, _)| *word);
    let may = fault.may.iter().find(|may| covers(&may.cases) && may.be.contains(&case.verdict.word));
    let said = || say(case.reasons());
    match (case.verdict.word.as_str(), must) {
        ("pass", None) => Mark::Passed,
        (word, Some(must)) if word == must => {
            let found = expected.iter().map(|(word, expected)| find(word, expected, &case.checks).ok_or(expected));
            let is = if must == "fail" { "failed" } else { "is unknown" };
            let lacks = |it: &Fails| {
                let (check, finding) = (&it.check, &it.finding);
                format!("{is} by another finding than expected: no `{check}` with `{finding}`; {}", said())
            };
            found.collect::<Result<_, _>>().map_or_else(|expected| Mark::WrongFinding(lacks(expected)), Mark::Caught)
        }
        (word, _) if may.is_some() => Mark::Allowed(format!("{word}: {}", said())),
        ("fail", None) => Mark::Unexpected(said()),
        (word, None) => Mark::Unknown(format!("{word}: {}", said())),
        (word, Some("fail")) => Mark::Missed(format!("fail, and is {word} {}", said())),
        (word, Some(_)) => Mark::Missed(format!("be unknown, and is {word} {}", said())),
    }
}

fn of_system(expected: &[Fails], checks: &[Check]) -> Vec<(String, Mark)> {
    let mut marks = Vec::new();
    for fails in expected {
        let mark = match find("fail", fails, checks) {
            Some(found) => Mark::Caught(vec![found]),
            None => Mark::Missed(format!("fail, and does not with `{}`", fails.finding)),
        };
        marks.push((fails.check.clone(), mark));
    }
    for check in checks {
        let covered = expected.iter().any(|fails| check.name.starts_with(&fails.check));
        match check.verdict.word.as_str() {
            "pass" => {}
            "fail" if covered => {}
            "fail" => marks.push((check.name.clone(), Mark::Unexpected(check.verdict.text()))),
            _ => marks.push((check.name.clone(), Mark::Unknown(check.verdict.text()))),
        }
    }
    marks
}

/// The first check that is `word`, as it should: its name and its finding.
fn find(word: &str, expected: &Fails, checks: &[Check]) -> Option<(String, String)> {
    let fits = |check: &&Check| {
        check.verdict.word == word
            && check.name.starts_with(&expected.check)
            && contains(&check.verdict.in_full(), &expected.finding)
    };
    checks.iter().find(fits).map(|check| (check.name.clone(), check.verdict.text()))
}

fn say<'a>(checks: impl Iterator<Item = &'a Check>) -> String {
    let texts: Vec<String> = checks
        .filter(|check| check.verdict.word != "pass")
        .map(|check| format!("{}: {}", check.name, check.verdict.text()))
        .collect();
    texts.join(" | ")
}

fn last_line(text: &str) -> &str {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing")
}

#[cfg(test)]
mod tests;

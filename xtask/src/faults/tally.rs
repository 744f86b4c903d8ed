//! The correct reference again and again: how often each case passed, failed, or could not be judged.

use std::fmt::Write;

use super::suite::{Case, Outcome};

/// The counts in words: of each case that did not always pass, and of all; with the findings.
pub(crate) fn render(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    let mut numbers: Vec<&str> = Vec::new();
    for case in outcomes.iter().flat_map(|outcome| &outcome.cases) {
        if !numbers.contains(&case.number()) {
            numbers.push(case.number());
        }
    }
    let _ = writeln!(text, "{:<6} {:>6} {:>8} {:>6}", "case", "pass", "unknown", "fail");
    for number in numbers {
        let of_number = || all(outcomes).filter(|case| case.number() == number);
        let count = |word: &str| of_number().filter(|case| case.verdict.word == word).count();
        let _ = writeln!(text, "{number:<6} {:>6} {:>8} {:>6}", count("pass"), count("unknown"), count("fail"));
        for case in of_number().filter(|case| case.verdict.word != "pass") {
            for check in case.reasons() {
                let _ = writeln!(text, "       {} by {}: {}", case.verdict.word, check.name, check.verdict.text());
            }
        }
    }
    for (round, outcome) in outcomes.iter().enumerate() {
        for check in outcome.system.iter().filter(|check| check.verdict.word != "pass") {
            let _ = writeln!(text, "run {round}: {}: {} {}", check.name, check.verdict.word, check.verdict.text());
        }
        if !ended_well(outcome) {
            let last = outcome.said.lines().last().unwrap_or_default();
            let _ = writeln!(text, "run {round}: it ended with {}: {last}", outcome.exit);
        }
    }
    let _ = writeln!(text, "{} runs of the correct reference: {}", outcomes.len(), counts(all(outcomes)));
    text
}

/// A run in a few words.
pub(crate) fn in_short(outcome: &Outcome) -> String {
    counts(outcome.cases.iter())
}

/// Whether anything was found wrong with what is right, or a run did not come to its end.
pub(crate) fn any_failed(outcomes: &[Outcome]) -> bool {
    let system = outcomes.iter().flat_map(|outcome| &outcome.system).any(|check| check.verdict.word == "fail");
    system || all(outcomes).any(|case| case.verdict.word == "fail") || !outcomes.iter().all(ended_well)
}

fn ended_well(outcome: &Outcome) -> bool {
    [0, 97, 100].contains(&outcome.exit) && !outcome.cases.is_empty()
}

fn all(outcomes: &[Outcome]) -> impl Iterator<Item = &Case> {
    outcomes.iter().flat_map(|outcome| &outcome.cases)
}

fn counts<'a>(cases: impl Iterator<Item = &'a Case>) -> String {
    let words: Vec<&str> = cases.map(|case| case.verdict.word.as_str()).collect();
    let count = |word: &str| words.iter().filter(|other| **other == word).count();
    format!("{} passed, {} unknown, {} failed", count("pass"), count("unknown"), count("fail"))
}

#[cfg(test)]
mod tests {
    use super::super::suite::tests::case;
    use super::*;

    fn run(exit: i32, word: &str) -> Outcome {
        Outcome { exit, cases: vec![case("1.1", word, "coverage", "lost")], ..Outcome::default() }
    }

    #[test]
    fn unknown_is_counted_and_failure_is_not_forgiven() {
        let fine = [run(0, "pass"), run(97, "unknown")];
        assert!(!any_failed(&fine));
        let text = render(&fine);
        assert!(text.contains("1.1         1        1      0") && text.contains("unknown by coverage: lost"), "{text}");
        assert!(any_failed(&[run(0, "pass"), run(100, "fail")]));
        assert!(any_failed(&[Outcome { exit: 96, ..Outcome::default() }]), "a run that did not take place");
    }
}

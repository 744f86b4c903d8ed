//! The matrix as text: a line a fault, a character a case.

use std::fmt::Write;

use super::compare::{Compared, Mark};

/// The matrix, its legend, and whatever is not as expected.
pub(crate) fn render(compared: &[Compared]) -> String {
    let mut text = format!("{:<22} {}\n", "fault", header(compared));
    for run in compared {
        let _ = writeln!(text, "{:<22} {}", run.fault.name, row(run));
    }
    text.push_str("\nX caught, . passed as it should, ~ may be so, M missed, F failed by another finding, U failed unexpectedly, ? unknown\n");
    text.push_str("The columns are the cases in their order, group by group; at the end the system as a whole.\n");
    let wrong: Vec<&Compared> = compared.iter().filter(|run| !run.as_expected()).collect();
    for run in &wrong {
        let _ = writeln!(text, "\n{}: not as expected", run.fault.name);
        for complaint in run.complaints() {
            let _ = writeln!(text, "  {complaint}");
        }
    }
    let _ = writeln!(text, "\n{} of {} faults are caught as expected", compared.len() - wrong.len(), compared.len());
    text
}

/// The groups' numbers above their columns, as the longest row has them.
fn header(compared: &[Compared]) -> String {
    let longest = compared.iter().max_by_key(|run| run.cells.len());
    let numbers = longest.into_iter().flat_map(|run| run.cells.iter().map(|cell| cell.number.as_str()));
    let mut text = String::new();
    let mut last = "";
    for number in numbers {
        let group = number.split('.').next().unwrap_or_default();
        match group == last {
            true => text.push(' '),
            false if last.is_empty() => text.push_str(group),
            false => {
                text.push(' ');
                text.push_str(group);
            }
        }
        last = group;
    }
    text
}

fn row(run: &Compared) -> String {
    if run.ended.is_some() {
        return "the run did not end as expected".into();
    }
    if let Some(ends) = &run.fault.ends {
        return format!("caught: the run ends with {}", ends.exit);
    }
    let mut text = String::new();
    let mut last = "";
    for cell in &run.cells {
        let group = cell.number.split('.').next().unwrap_or_default();
        if !last.is_empty() && group != last {
            text.push(' ');
        }
        text.push(letter(&cell.mark));
        last = group;
    }
    if !run.system.is_empty() {
        text.push(' ');
        text.extend(run.system.iter().map(|(_, mark)| letter(mark)));
    }
    text
}

fn letter(mark: &Mark) -> char {
    match mark {
        Mark::Passed => '.',
        Mark::Caught(_) => 'X',
        Mark::Allowed(_) => '~',
        Mark::Missed(_) => 'M',
        Mark::WrongFinding(_) => 'F',
        Mark::Unexpected(_) => 'U',
        Mark::Unknown(_) => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::super::expected::{Fails, Fault};
    use super::super::suite::Outcome;
    use super::super::suite::tests::case;
    use super::*;

    #[test]
    fn a_line_a_fault_and_what_is_wrong_below() {
        let fails = vec![Fails { cases: vec!["1.2".into(), "2".into()], check: "c".into(), finding: "late".into() }];
        let fault = Fault { name: "late".into(), effect: "e".into(), fails, ..Fault::default() };
        let cases = vec![
            case("1.1", "pass", "c", ""),
            case("1.2", "fail", "c", "late"),
            case("2.1", "pass", "c", ""),
            case("3.1", "fail", "c", "dead"),
        ];
        let text = render(&[Compared::new(&fault, &Outcome { exit: 100, cases, ..Outcome::default() })]);
        assert!(text.starts_with("fault                  1  2 3\nlate                   .X M U\n"), "{text}");
        assert!(text.contains("2.1 was expected to fail") && text.contains("0 of 1 faults"), "{text}");
    }
}

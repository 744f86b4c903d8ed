//! `FAULTS.md` of a suite: the matrix for readers, as it was when all faults were run.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::thread;

use anyhow::Context;

use super::compare::{Compared, Mark};
use super::reference::Reference;

/// What begins the line that names the machine: it is another one's business.
const MACHINE: &str = "Run on ";
/// From here on the document quotes findings, whose figures differ from run to run.
const QUOTED: &str = "## What the findings say";

/// Writes the document; paths in it begin at the project's folder `root`.
pub(crate) fn write(
    path: &Path,
    root: &Path,
    reference: Reference,
    telling: &[String],
    compared: &[Compared],
) -> anyhow::Result<()> {
    let text = render(reference, telling, compared).replace(&format!("{}/", root.display()), "");
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Whether the document says what the runs have shown, figures and machine aside.
pub(crate) fn is_current(
    path: &Path,
    reference: Reference,
    telling: &[String],
    compared: &[Compared],
) -> anyhow::Result<bool> {
    let stored = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(comparable(&stored) == comparable(&render(reference, telling, compared)))
}

fn comparable(document: &str) -> Vec<&str> {
    let lines = document.lines().take_while(|line| *line != QUOTED);
    lines.filter(|line| !line.starts_with(MACHINE)).collect()
}

fn render(reference: Reference, telling: &[String], compared: &[Compared]) -> String {
    let suite = reference.suite();
    // The document of the first suite lies in the project's folder, the others in that of the suite.
    let (arguments, folder) = match reference {
        Reference::Tunnel => (String::new(), format!("tests/{suite}/")),
        Reference::Minipot | Reference::Sinsp => (format!(" --suite {suite}"), String::new()),
    };
    let which = if telling.is_empty() { "all" } else { "the most telling" };
    let mut text = format!(
        "# The faults, and what catches them\n\n\
         Made by `cargo xtask faults{arguments}`, which runs {which} cases of the {suite} suite (profile quick) on the reference {suite} once per\n\
         fault: exactly the cases that stand here fail, each with a finding that names the fault's effect, and all others pass.\n\
         What is expected stands in [`tests/{suite}/faults.toml`]({folder}faults.toml).\n\n",
    );
    if !telling.is_empty() {
        let _ = writeln!(
            text,
            "These cases are enough to tell every fault; a matrix of all would take hours: {}.\n",
            telling.join(", ")
        );
    }
    for run in compared.iter().filter(|run| !run.fault.also.is_empty()) {
        let _ = writeln!(text, "- `{}` is run with {} too", run.fault.name, run.fault.also.join(", "));
    }
    if compared.iter().any(|run| !run.fault.also.is_empty()) {
        text.push('\n');
    }
    let kernel = compared.iter().map(|run| run.kernel.as_str()).find(|kernel| !kernel.is_empty());
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let _ = writeln!(text, "{MACHINE}Linux {} with {cpus} CPUs.", kernel.unwrap_or("of unknown release"));
    let caught = |run: &&Compared| run.as_expected();
    let cells: usize = compared.iter().map(|run| run.cells.len()).sum();
    let _ = writeln!(
        text,
        "{} of {} faults are caught as expected, in {cells} cases.\n",
        compared.iter().filter(caught).count(),
        compared.len()
    );
    text.push_str("| fault | what it does | caught by | check | its finding says |\n|---|---|---|---|---|\n");
    compared.iter().for_each(|run| rows(&mut text, run));
    remarks(&mut text, compared);
    let _ = writeln!(text, "\n{QUOTED}\n\nThe first of each fault in the last run.\n");
    for run in compared {
        if let Some((number, check, finding)) = first_finding(run) {
            let _ = writeln!(text, "- **{}**, {number}, {check}: {finding}", run.fault.name);
        }
    }
    text
}

/// One row for each way in which a fault is caught.
fn rows(text: &mut String, run: &Compared) {
    let fault = &run.fault;
    let mut what = format!("`{}` | {}", fault.name, fault.effect);
    let mut row = |caught: &str, check: &str, says: &str| {
        let _ = writeln!(text, "| {what} | {caught} | {check} | {} |", says.replace('*', "…").replace('|', "\\|"));
        what = " | ".into();
    };
    for fails in &fault.fails {
        row(&fails.cases.join(", "), &format!("{} …", fails.check), &fails.finding);
    }
    for unknown in &fault.unknown {
        row(&format!("{} (unknown)", unknown.cases.join(", ")), &format!("{} …", unknown.check), &unknown.finding);
    }
    for fails in &fault.system {
        row("the system as a whole", &fails.check, &fails.finding);
    }
    if let Some(ends) = &fault.ends {
        row(&format!("exit code {}", ends.exit), "start of the system", &ends.says);
    }
}

/// What may be other than the table says.
fn remarks(text: &mut String, compared: &[Compared]) {
    let all: Vec<_> = compared.iter().flat_map(|run| run.fault.may.iter().map(|may| (&run.fault.name, may))).collect();
    if all.is_empty() {
        return;
    }
    text.push_str("\n## What may be other\n\n");
    for (name, may) in all {
        let _ = writeln!(text, "- `{name}`: {} may be {}: {}", may.cases.join(", "), may.be.join(" or "), may.why);
    }
}

fn first_finding(run: &Compared) -> Option<(&str, &str, &str)> {
    let cells = run.cells.iter().map(|cell| (cell.number.as_str(), &cell.mark));
    let system = run.system.iter().map(|(_, mark)| ("the system", mark));
    cells.chain(system).find_map(|(what, mark)| match mark {
        Mark::Caught(found) => found.first().map(|(check, finding)| (what, check.as_str(), finding.as_str())),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::super::expected::{Ends, Fails, Fault, May};
    use super::super::suite::Outcome;
    use super::super::suite::tests::case;
    use super::*;

    fn compared(seen: &str, kernel: &str) -> Vec<Compared> {
        let fails = vec![Fails { cases: vec!["2.5".into()], check: "window".into(), finding: "* too late".into() }];
        let may = vec![May { cases: vec!["3".into()], be: vec!["unknown".into()], why: "because".into() }];
        let (name, effect, also) = ("late".into(), "closes late".into(), vec!["9.1".into(), "9.2".into()]);
        let late = Fault { name, effect, fails, may, also, ..Fault::default() };
        let cases = vec![case("2.5", "fail", "window of p", seen)];
        let run = Outcome { exit: 100, cases, kernel: kernel.into(), ..Outcome::default() };
        let ends = Some(Ends { exit: 96, says: "died".into() });
        let dies = Fault { name: "dies".into(), effect: "dies".into(), ends, ..Fault::default() };
        let died = Outcome { exit: 96, said: "it died".into(), ..Outcome::default() };
        vec![Compared::new(&late, &run), Compared::new(&dies, &died)]
    }

    #[test]
    fn it_names_fault_case_check_finding_and_machine() {
        let text = render(Reference::Tunnel, &[], &compared("1 ms too late", "6.18"));
        for part in [
            "| `late` | closes late | 2.5 | window … | … too late |",
            "| `dies` | dies | exit code 96 | start of the system | died |",
            "Run on Linux 6.18 with",
            "- `late` is run with 9.1, 9.2 too\n",
            "2 of 2 faults",
            "- `late`: 3 may be unknown: because",
            "- **late**, 2.5, window of p: expected x; 1 ms too late",
        ] {
            assert!(text.contains(part), "no `{part}` in {text}");
        }
    }

    #[test]
    fn figures_and_machines_may_differ_and_what_is_caught_may_not() {
        let path = std::env::temp_dir().join(format!("xtask-faults-{}.md", std::process::id()));
        let seen = "1 ms too late, by /the/project/target/x";
        write(&path, Path::new("/the/project"), Reference::Tunnel, &[], &compared(seen, "6.18")).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let same = is_current(&path, Reference::Tunnel, &[], &compared("2 ms too late", "6.1"));
        let other = is_current(&path, Reference::Tunnel, &[], &compared("too early", "6.18"));
        fs::remove_file(&path).unwrap();
        assert!(text.contains("too late, by target/x"), "{text}");
        assert!(same.unwrap());
        assert!(!other.unwrap());
    }
}

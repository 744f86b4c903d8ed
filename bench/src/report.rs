//! The tables, for people: on the terminal and as `BENCHMARKS.md`.

use std::fmt::Write;

use comfy_table::{ContentArrangement, Table, presets};

use crate::figure::{Figure, Section, Standing};
use crate::machine::Machine;

/// A benchmark that was run.
pub(crate) struct Entry {
    /// By which it is asked for.
    pub(crate) name: &'static str,
    /// What it found, or why it could not be carried out.
    pub(crate) outcome: Result<Section, String>,
    /// The machine's load averages before and after.
    pub(crate) loads: [String; 2],
    /// Tracing programs of others, before and after.
    pub(crate) others: [usize; 2],
    /// How long it took, in s.
    pub(crate) took_s: f64,
}

/// What was run, and on what.
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) command: String,
    pub(crate) entries: Vec<Entry>,
}

const COLUMNS: [&str; 6] = ["what", "median", "quartiles", "goal", "to goal", ""];

impl Entry {
    /// Its heading, method, table and notes.
    fn markdown(&self) -> String {
        let title = self.outcome.as_ref().map_or(self.name, |section| section.title.as_str());
        let mut text = format!("## {title}\n\n");
        match &self.outcome {
            Ok(section) => {
                let _ = writeln!(text, "{}\n", section.method);
                text.push_str(&markdown_table(&rows(&section.figures)));
                for note in &section.notes {
                    let _ = writeln!(text, "\nNote: {note}.");
                }
            }
            Err(why) => {
                let _ = writeln!(text, "Could not be measured: {why}");
            }
        }
        text
    }
}

impl Report {
    /// The whole as Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from(
            "# Benchmarks\n\nMade by the command below, which measures everything in one go: what is compared takes turns, in \
             an order that changes from round to round, and a ratio is the median of the ratios of the rounds. Compare \
             ratios, not absolute figures: those are the machine's, and its load is part of them. Where others \
             trace system calls meanwhile, the calls that nobody watches are slow too, and ratios come out too good.\n\n",
        );
        let machine = &self.machine;
        let took: f64 = self.entries.iter().map(|entry| entry.took_s).sum();
        let _ = writeln!(text, "| | |\n|---|---|\n| command | `{}` |\n| when | {} |", self.command, machine.at);
        let _ = writeln!(text, "| took | {:.0} s |\n| kernel | {} |", took, machine.kernel);
        let _ = writeln!(
            text,
            "| CPU | {}, {} online |\n| memory | {} MiB |\n",
            machine.cpu, machine.cores, machine.memory_mib
        );
        text.push_str("## Goals\n\n");
        text.push_str(&markdown_table(&self.goals()));
        for entry in &self.entries {
            text.push('\n');
            text.push_str(&entry.markdown());
            let _ = writeln!(
                text,
                "\nAlone: `cargo xtask bench {}`. It took {:.0} s; load averages before: {}, after: {}; tracing programs of \
                 others before: {}, after: {}.",
                entry.name, entry.took_s, entry.loads[0], entry.loads[1], entry.others[0], entry.others[1]
            );
        }
        text
    }

    /// What was measured in a VM as Markdown: it stands on another machine than the rest.
    pub(crate) fn in_a_vm(&self) -> String {
        let sections: Vec<_> = self.entries.iter().map(Entry::markdown).collect();
        let (machine, took) = (&self.machine, self.entries.iter().map(|entry| entry.took_s).sum::<f64>());
        format!(
            "{}\nMade by `cargo xtask bench --vm`, {}, on {} in QEMU with {} CPU; it took {:.0} s of the guest's clock.\n",
            sections.join("\n"),
            machine.at,
            machine.kernel,
            machine.cores,
            took
        )
    }

    /// Whether any figure has a goal, or a benchmark could not be carried out.
    pub(crate) fn has_goals(&self) -> bool {
        !self.goals().is_empty()
    }

    /// The figures that have goals, for a terminal.
    pub(crate) fn summary(&self) -> String {
        terminal_table(&self.goals())
    }

    /// A row a figure with a goal, and a row a benchmark that could not be carried out.
    fn goals(&self) -> Vec<[String; 6]> {
        let mut found = Vec::new();
        for entry in &self.entries {
            match &entry.outcome {
                Ok(section) => {
                    for figure in section.figures.iter().filter(|figure| figure.goal.is_some()) {
                        let mut row = row(figure);
                        row[0] = format!("{}: {}", entry.name, row[0]);
                        found.push(row);
                    }
                }
                Err(why) => {
                    let mut row: [String; 6] = Default::default();
                    row[0] = format!("{}: could not be measured: {why}", entry.name);
                    found.push(row);
                }
            }
        }
        found
    }
}

/// One benchmark's figures for a terminal.
pub(crate) fn terminal(section: &Section) -> String {
    let mut text = terminal_table(&rows(&section.figures));
    for note in &section.notes {
        let _ = write!(text, "\nnote: {note}");
    }
    text
}

fn rows(figures: &[Figure]) -> Vec<[String; 6]> {
    figures.iter().map(row).collect()
}

fn row(figure: &Figure) -> [String; 6] {
    let show = |value| figure.unit.show(value);
    [
        figure.what.clone(),
        figure.measured(),
        figure.quartiles.map(|(low, high)| format!("{} to {}", show(low), show(high))).unwrap_or_default(),
        figure.goal.map(|goal| format!("<= {}", show(goal))).unwrap_or_default(),
        figure.to_goal().map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
        match figure.standing() {
            Some(Standing::Missed) => "**missed**".into(),
            Some(standing) => standing.to_string(),
            None => String::new(),
        },
    ]
}

fn markdown_table(rows: &[[String; 6]]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head = line(&COLUMNS.map(String::from));
    head + "|---|---:|---:|---:|---:|---|\n" + &rows.iter().map(|row| line(row)).collect::<String>()
}

fn terminal_table(rows: &[[String; 6]]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(COLUMNS);
    for row in rows {
        table.add_row(row.iter().map(|cell| cell.trim_matches('*')));
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Unit;

    #[test]
    fn a_missed_goal_stands_in_the_file() {
        let mut section = Section::new("A title", "A method.");
        section.value("good", 0.2, Unit::Us).at_most(0.3);
        section.value("bad", 0.6, Unit::Us).at_most(0.3);
        section.value("free", 7.0, Unit::Count);
        section.notes.push("bpftrace is missing".into());
        let machine = Machine { kernel: "k".into(), cpu: "c".into(), cores: 2, memory_mib: 3, at: "today".into() };
        let loads = ["1 1 1".to_owned(), "2 2 2".to_owned()];
        let entries = vec![
            Entry { name: "one", outcome: Ok(section), loads: loads.clone(), others: [0, 3], took_s: 1.0 },
            Entry { name: "two", outcome: Err("it broke".into()), loads, others: [0, 0], took_s: 1.0 },
        ];
        let text = Report { machine, command: "cargo xtask bench".into(), entries }.markdown();
        for line in [
            "| one: good | 0.200 us |  | <= 0.300 us | 0.67 | met |",
            "| bad | 0.600 us |  | <= 0.300 us | 2.00 | **missed** |",
            "| free | 7 |  |  |  |  |",
            "| two: two: could not be measured: it broke |  |  |  |  |  |",
            "Note: bpftrace is missing.",
            "load averages before: 1 1 1, after: 2 2 2; tracing programs of others before: 0, after: 3.",
        ] {
            let line = line.replace("two: two:", "two:");
            assert!(text.contains(&line), "{line}\nis missing in\n{text}");
        }
    }
}

//! Conversations with one minipot: a case is a dialogue file, or a few neighbours on one topic, carried out side by side.

use portwitness::handlers::Dialogue;

use crate::minipot::dialogues;
use crate::minipot::system::{AT_ONCE, Draft, Minipot};

/// The cases of a minipot, in the order of the files.
pub(super) fn drafts(minipot: &Minipot, group: u32, name: &str) -> Vec<Draft> {
    let all = dialogues::of(name).filter(|dialogue| !dialogue.full);
    neighbours(all).iter().zip(1..).map(|(some, number)| draft(minipot, &format!("{group}.{number}"), some)).collect()
}

/// Files in a row that have the first word of their name in common, as many as a minipot serves at once.
fn neighbours(all: impl Iterator<Item = Dialogue>) -> Vec<Vec<Dialogue>> {
    let mut rows: Vec<Vec<Dialogue>> = Vec::new();
    for dialogue in all {
        match rows.last_mut() {
            Some(row) if row.len() < AT_ONCE as usize && topic(&row[0]) == topic(&dialogue) => row.push(dialogue),
            _ => rows.push(vec![dialogue]),
        }
    }
    rows
}

fn draft(minipot: &Minipot, number: &str, some: &[Dialogue]) -> Draft {
    let scenarios = some.iter().map(|dialogue| minipot.scenario(dialogue)).collect();
    let judged = !some.iter().any(Dialogue::half_closes);
    let closes = if judged { some.iter().map(Dialogue::closes).sum() } else { 0 };
    Draft { closes, ..Draft::new(number, &title(some), &dialogues::specs(some), scenarios) }
}

/// What the first says, and which others there are.
fn title(some: &[Dialogue]) -> String {
    let (first, last) = (&some[0], &some[some.len() - 1]);
    let said = first.name.split_once(": ").map_or(first.name.as_str(), |(_, said)| said);
    match some.len() {
        1 => format!("{} {said}", index(first)),
        _ => format!("{}-{} {}: {said}, and {} more", index(first), index(last), topic(first), some.len() - 1),
    }
}

/// `037` of `ftp/037-text-overlong-2.toml`.
fn index(dialogue: &Dialogue) -> String {
    stem(dialogue).split('-').next().unwrap_or_default().to_owned()
}

/// `text` of `ftp/037-text-overlong-2.toml`.
fn topic(dialogue: &Dialogue) -> String {
    let stem = stem(dialogue);
    stem.split('-').nth(1).unwrap_or(&stem).to_owned()
}

fn stem(dialogue: &Dialogue) -> String {
    dialogue.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

//! The dialogue files of this suite, as they were when it was built.

use std::path::Path;

use portwitness::handlers::{Dialogue, Scenario};

use super::system::Minipot;

/// Path below `dialogues`, and text, in the order of the paths.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/dialogues.rs"));

/// The dialogues of a folder, in the order of their names. That every file is valid is a test of this package.
pub(crate) fn of(folder: &str) -> impl Iterator<Item = Dialogue> {
    let inside = move |path: &str| path.split_once('/').is_some_and(|(first, _)| first == folder);
    FILES.iter().filter(move |(path, _)| inside(path)).map(|(path, text)| read(path, text))
}

/// One of them, by its path.
pub(crate) fn one(path: &str) -> Dialogue {
    let found = FILES.iter().find(|(other, _)| *other == path);
    let (path, text) = found.unwrap_or_else(|| panic!("there is no dialogue {path}"));
    read(path, text)
}

fn read(path: &str, text: &str) -> Dialogue {
    Dialogue::parse(Path::new(path), text).unwrap_or_else(|error| panic!("{error}"))
}

/// Where the specification has them: each place once.
pub(crate) fn specs(some: &[Dialogue]) -> String {
    let mut specs: Vec<&str> = Vec::new();
    for dialogue in some {
        if !specs.contains(&dialogue.spec.as_str()) {
            specs.push(&dialogue.spec);
        }
    }
    specs.join("; ")
}

/// Logins on all four minipots.
pub(crate) fn logins(minipot: &Minipot) -> Vec<Scenario> {
    const LOGINS: [&str; 4] =
        ["ftp/028-logins.toml", "http/142-login.toml", "smtp/157-mechanisms-in-turn.toml", "telnet/004-logins.toml"];
    LOGINS.iter().map(|path| minipot.scenario(&one(path))).collect()
}

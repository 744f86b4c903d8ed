//! Rules of a single file: its name, its length, its first line.

use super::source::Source;

/// Lines from which a file has to be split.
const LONGEST: usize = 400;

/// Names that tell nothing of what is inside.
const EMPTY_NAMES: [&str; 7] = ["util", "utils", "helper", "helpers", "manager", "managers", "misc"];

/// What is wrong with this file, a line each.
pub(super) fn violations(source: &Source) -> Vec<String> {
    let path = source.path.display();
    let mut found = Vec::new();
    if source.path.file_name().is_some_and(|name| name == "mod.rs") {
        found.push(format!("{path}: mod.rs: name it after its module and put it beside its folder"));
    }
    let words = source.path.iter().filter_map(|part| part.to_str()).map(|part| part.trim_end_matches(".rs"));
    for name in words.filter(|word| EMPTY_NAMES.contains(word)) {
        found.push(format!("{path}: `{name}` does not say what is inside: name what it does"));
    }
    let lines = source.text.lines().count();
    if lines > LONGEST {
        found.push(format!("{path}: {lines} lines: split it ({LONGEST} at most)"));
    }
    if !source.text.starts_with("//!") {
        found.push(format!("{path}:1: opens without its purpose (`//!`)"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        violations(&Source::new(path, text))
    }

    #[test]
    fn a_good_file_is_left_alone() {
        assert_eq!(found("harness/src/clock.rs", "//! Time.\n"), Vec::<String>::new());
        assert_eq!(found("a.rs", &format!("//! x\n{}", "\n".repeat(399))), Vec::<String>::new());
    }

    #[test]
    fn each_rule_catches_its_violation() {
        for (path, text, word) in [
            ("harness/src/sut/mod.rs", "//! x\n", "mod.rs"),
            ("harness/src/utils.rs", "//! x\n", "`utils`"),
            ("harness/src/manager/start.rs", "//! x\n", "`manager`"),
            ("harness/src/clock.rs", "use std::fs;\n", "//!"),
            ("harness/src/clock.rs", &format!("//! x\n{}", "\n".repeat(400)), "401 lines"),
        ] {
            let found = found(path, text);
            assert!(found.len() == 1 && found[0].contains(word), "{path}: {found:?}");
        }
    }
}

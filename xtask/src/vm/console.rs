//! What the console of a guest that went wrong tells about it.

/// Lines of it that an error shows.
const SHOWN: usize = 15;

/// How a kernel begins to tell that it cannot go on.
const TROUBLE: [&str; 5] = ["Kernel panic", "BUG:", "Oops", "general protection fault", "Out of memory"];

/// The lines that matter, and what they are: those from the first trouble on, or the last. Nothing of an empty console.
pub(super) fn telling(console: &str) -> Option<(&'static str, String)> {
    let lines: Vec<_> = console.lines().filter(|line| !line.trim().is_empty()).collect();
    let trouble = lines.iter().position(|line| TROUBLE.iter().any(|word| line.contains(word)));
    let (what, from) = match trouble {
        Some(from) => ("from where it goes wrong, the lines", from),
        None => ("the last lines", lines.len().saturating_sub(SHOWN)),
    };
    let shown: String = lines.iter().skip(from).take(SHOWN).map(|line| format!("    {}\n", line.trim_end())).collect();
    (!shown.is_empty()).then_some((what, shown))
}

/// The line by which the kernel says that it panics.
pub(super) fn panic(console: &str) -> Option<String> {
    let line = console.lines().find(|line| line.contains("Kernel panic"))?;
    Some(line[line.find("Kernel panic")?..].trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_shown_from_its_beginning() {
        let log: String = (0..40).map(|n| format!("[ {n}.0] line {n}\n")).collect();
        let (what, lines) = telling(&log).unwrap_or_default();
        assert!(what == "the last lines" && lines.starts_with("    [ 25.0] line 25\n") && lines.ends_with("line 39\n"));
        let log = log.replace("line 7", "Kernel panic - not syncing: VFS\r");
        let (_, lines) = telling(&log).unwrap_or_default();
        assert!(lines.starts_with("    [ 7.0] Kernel panic - not syncing: VFS\n"), "{lines}");
        assert_eq!(panic(&log).as_deref(), Some("Kernel panic - not syncing: VFS"));
        assert_eq!((telling(" \n\n"), panic("")), (None, None));
    }
}

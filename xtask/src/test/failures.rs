//! Why tests failed, gathered from what their programs print, to be said once more at the end: a VM's part comes after them.

use std::io::{self, BufRead, Write};

/// Of each panic so many lines, and of each line so many characters.
const LINES: usize = 12;
const CHARACTERS: usize = 300;

/// So many lines in all: who fails everywhere has the whole output to read.
const IN_ALL: usize = 120;

/// The panics of tests that failed, a heading with its name before those of each.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// Within what libtest prints from `failures:` on; the next program of tests ends that. A result does not: a test may print
    /// that of one of its own.
    within: bool,
    /// Of the panic that is being told, so many lines are still wanted.
    wanted: usize,
    lines: Vec<String>,
}

impl Failures {
    /// Copies everything from `output` to `out`, as it comes, and takes in what it says.
    pub(super) fn tee(output: impl io::Read, mut out: impl Write) -> io::Result<Self> {
        let mut failures = Self::default();
        let mut reader = io::BufReader::new(output);
        let mut line = Vec::new();
        loop {
            line.clear();
            if reader.read_until(b'\n', &mut line)? == 0 {
                return Ok(failures);
            }
            out.write_all(&line)?;
            out.flush()?;
            failures.take(String::from_utf8_lossy(&line).trim_end());
        }
    }

    fn take(&mut self, line: &str) {
        match line {
            "failures:" => self.within = true,
            _ if line.starts_with("running ") && line.trim_end_matches('s').ends_with(" test") => self.within = false,
            _ if !self.within => return,
            _ => {}
        }
        let name = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----"));
        if let Some(name) = name {
            self.wanted = 0;
            self.add(&format!("{name}:"));
        } else if line.starts_with("thread '") && line.contains("panicked at ") {
            self.wanted = LINES;
        } else if !self.within || line.is_empty() || line == "stack backtrace:" || line.starts_with("note: ") {
            self.wanted = 0;
        }
        if self.wanted > 0 {
            self.wanted -= 1;
            self.add(&format!("  {line}"));
        }
    }

    fn add(&mut self, line: &str) {
        if self.lines.len() < IN_ALL {
            self.lines.push(line.chars().take(CHARACTERS).collect());
        }
    }

    /// A line each, none where no test failed.
    pub(super) fn lines(&self) -> &[String] {
        &self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "running 4 tests
test good ... ok
test bad ... FAILED

failures:

---- bad stdout ----
what it printed
thread 'bad' (7) panicked at tests/bad.rs:3:5:
assertion `left == right` failed
  left: 1
 right: 2
stack backtrace:
   0: frames
note: Some details are omitted

---- worse stdout ----
Error: \"it returned this\"

---- worst stdout ----
running 1 test
failures:
    its_own
test result: FAILED. 0 passed; 1 failed
thread 'worst' (8) panicked at tests/bad.rs:9:9:
its_own failed: thread 'its_own' panicked

failures:
    bad
    worse
    worst

test result: FAILED. 1 passed; 3 failed

running 1 test
thread 'later' panicked at no test
";

    #[test]
    fn panics_are_gathered_by_test_and_the_output_is_copied() {
        let mut copy = Vec::new();
        let failures = Failures::tee(OUTPUT.as_bytes(), &mut copy).unwrap_or_default();
        assert_eq!(copy, OUTPUT.as_bytes());
        let told = [
            "bad:",
            "  thread 'bad' (7) panicked at tests/bad.rs:3:5:",
            "  assertion `left == right` failed",
            "    left: 1",
            "   right: 2",
            "worse:",
            "worst:",
            "  thread 'worst' (8) panicked at tests/bad.rs:9:9:",
            "  its_own failed: thread 'its_own' panicked",
        ];
        assert_eq!(failures.lines(), told);
    }

    #[test]
    fn where_all_is_good_there_is_nothing_to_say() {
        let good = "test thread 'x' panicked at ... ok\n\ntest result: ok. 1 passed\n";
        assert!(Failures::tee(good.as_bytes(), io::sink()).unwrap_or_default().lines().is_empty());
    }

    #[test]
    fn much_is_cut() {
        let panic = format!("---- t stdout ----\nthread 't' panicked at x:\n{}", "é".repeat(1000) + "\n");
        let all = format!("failures:\n{}", panic.repeat(100));
        let failures = Failures::tee(all.as_bytes(), io::sink()).unwrap_or_default();
        assert_eq!(failures.lines().len(), IN_ALL);
        assert_eq!(failures.lines()[2].chars().count(), CHARACTERS);
    }
}

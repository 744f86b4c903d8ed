//! What the guest tells the host beside the output of its command: one line a message.

/// How far the guest has come, as its control port tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing was said: it boots.
    Booting,
    /// Its set-up failed.
    Failed(String),
    /// The command runs.
    Running,
    /// The command has ended.
    Ended(u8),
}

impl Progress {
    /// From all that came through the port; a last line without its end is not there yet.
    pub(super) fn read(text: &str) -> Self {
        let mut progress = Self::Booting;
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for line in whole.lines() {
            progress = match line.split_once(' ').unwrap_or((line, "")) {
                ("ready", _) => Self::Running,
                ("failed", why) => return Self::Failed(why.to_owned()),
                ("exit", code) => match code.parse() {
                    Ok(code) => Self::Ended(code),
                    Err(_) => return Self::Failed(format!("it tells an exit code `{code}`")),
                },
                _ => return Self::Failed(format!("it says `{line}`")),
            };
        }
        progress
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_from_booting_to_its_exit_code() {
        assert_eq!(Progress::read(""), Progress::Booting);
        assert_eq!(Progress::read("ready 6.1.0"), Progress::Booting, "half a line");
        assert_eq!(Progress::read("ready 6.1.0\n"), Progress::Running);
        assert_eq!(Progress::read("ready 6.1.0\nexit 10"), Progress::Running, "it may become 100");
        assert_eq!(Progress::read("ready 6.1.0\nexit 100\n"), Progress::Ended(100));
    }

    #[test]
    fn what_is_not_understood_is_a_failure_with_its_text() {
        assert_eq!(Progress::read("failed cannot mount x\n"), Progress::Failed("cannot mount x".to_owned()));
        for wrong in ["exit\n", "exit 256\n", "exit -1\n", "hello\n", "ready x\nexit 0 0\n"] {
            assert!(matches!(Progress::read(wrong), Progress::Failed(_)), "{wrong}");
        }
    }
}

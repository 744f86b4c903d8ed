//! The timeouts of a system whose profile can set them, and the times in dialogues that follow from these.

use portwitness::sut::{Profile, ProfileError};

/// In ms. A dialogue about timeouts names the same times as variables, with values for the real ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeouts {
    /// FTP, SMTP and Telnet, after the last byte: 180 s by the specification.
    pub(crate) idle: u64,
    /// The same three, in all: 300 s.
    pub(crate) total: u64,
    /// HTTP, with no byte at all: 20 s.
    pub(crate) http_silence: u64,
    /// HTTP, after the last bytes: 5 s.
    pub(crate) http_idle: u64,
}

/// A connection must live until so long before its timeout, in ms, at the most.
const MARGIN: u64 = 5000;

impl Timeouts {
    /// The settings `idle_timeout_ms`, `total_timeout_ms`, `http_silence_timeout_ms` and `http_idle_timeout_ms`, where the
    /// profile has the first.
    pub(crate) fn read(profile: &Profile) -> Result<Option<Self>, ProfileError> {
        let Some(idle) = profile.optional_number("idle_timeout_ms")? else { return Ok(None) };
        let ms = |key| profile.number(key).map(|ms| ms as u64);
        Ok(Some(Self {
            idle: idle as u64,
            total: ms("total_timeout_ms")?,
            http_silence: ms("http_silence_timeout_ms")?,
            http_idle: ms("http_idle_timeout_ms")?,
        }))
    }

    /// Values for the variables of dialogues, in ms.
    ///
    /// A connection lives at least two thirds of its timeout, so that half of it is found out. Four pauses of a sixth of the
    /// time in all keep one from being idle, and it lives on for at most another sixth.
    pub(crate) fn variables(&self) -> [(&'static str, u64); 6] {
        let before = |timeout: u64| timeout - (timeout / 3).min(MARGIN);
        let pause = self.total / 6;
        [
            ("half_idle_ms", self.idle / 2),
            ("before_idle_ms", before(self.idle)),
            ("pause_ms", pause),
            ("before_total_ms", self.total - 4 * pause - (self.total / 6).min(MARGIN)),
            ("before_http_silence_ms", before(self.http_silence)),
            ("before_http_idle_ms", before(self.http_idle)),
        ]
    }
}

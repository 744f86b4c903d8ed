//! The one clock of a run: CLOCK_MONOTONIC in nanoseconds, which eBPF's `bpf_ktime_get_ns` and `Instant` read too.

mod alignment;

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

pub use alignment::{Alignment, Reading, Step};

/// A moment on CLOCK_MONOTONIC, in ns since an arbitrary start (boot, less the time suspended).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// This moment.
    pub fn now() -> Self {
        Self(nanoseconds(ClockId::Monotonic))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This moment less `earlier` in ns, negative when it comes before.
    pub fn ns_after(self, earlier: Self) -> i128 {
        i128::from(self.0) - i128::from(earlier.0)
    }

    /// This moment less `earlier` in ms, negative when it comes before.
    pub fn ms_after(self, earlier: Self) -> f64 {
        self.ns_after(earlier) as f64 / 1e6
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06} s", self.0 / 1_000_000_000, self.0 % 1_000_000_000 / 1_000)
    }
}

/// CLOCK_REALTIME less CLOCK_MONOTONIC at one moment: what turns a timestamp of a run into a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealtimeOffset {
    /// When it was sampled.
    pub at: Timestamp,
    /// Realtime less monotonic, in ns.
    pub offset_ns: i64,
    /// The two readings of CLOCK_MONOTONIC around the one of CLOCK_REALTIME lay this far apart, in ns.
    pub uncertainty_ns: u64,
}

impl RealtimeOffset {
    /// Samples both clocks; the narrowest of eight brackets counts.
    pub fn sample() -> Self {
        (0..8)
            .map(|_| {
                let before = Timestamp::now();
                let realtime = nanoseconds(ClockId::Realtime);
                let after = Timestamp::now();
                let width = after.0.saturating_sub(before.0);
                let middle = before.0 + width / 2;
                Self { at: before, offset_ns: realtime as i64 - middle as i64, uncertainty_ns: width }
            })
            .min_by_key(|sample| sample.uncertainty_ns)
            .unwrap_or(Self { at: Timestamp(0), offset_ns: 0, uncertainty_ns: u64::MAX })
    }
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    // Both clocks count from a moment in the past, so neither field is negative.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_does_not_go_back() {
        let first = Timestamp::now();
        let second = Timestamp::now();
        assert!(second >= first);
        assert!(second.ms_after(first) < 10_000.0);
    }

    #[test]
    fn a_difference_has_a_sign() {
        let at = Timestamp(5_000_000);
        assert_eq!((at + Duration::from_millis(2)).ms_after(at), 2.0);
        assert_eq!((at - Duration::from_millis(2)).ms_after(at), -2.0);
        assert_eq!(at.since(at + Duration::from_millis(1)), Duration::ZERO);
    }

    #[test]
    fn realtime_is_after_2020() {
        let offset = RealtimeOffset::sample();
        assert!(offset.at.0 as i64 + offset.offset_ns > 1_577_836_800_000_000_000);
    }
}

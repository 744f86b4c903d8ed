//! CLOCK_REALTIME on CLOCK_MONOTONIC, for an observer whose kernel side stamps the former.
//!
//! Both clocks advance alike: what disciplines one disciplines the other, and the difference stays the same to the
//! nanosecond until realtime is set (kernel/time/timekeeping.c, `wall_to_monotonic`, Linux 6.12). So every reading of both
//! narrows the difference down, and a reading that does not fit tells that realtime was set since the last one.

use std::ops::RangeInclusive;

use super::{ClockId, Timestamp, nanoseconds};

/// CLOCK_REALTIME, read between two readings of CLOCK_MONOTONIC, in ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Monotonic before.
    pub before: u64,
    /// Realtime.
    pub realtime: u64,
    /// Monotonic after.
    pub after: u64,
}

/// Realtime was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// By how much, in ns, give or take the uncertainty.
    pub by_ns: i64,
}

/// The difference between the two clocks, as far as it is known.
#[derive(Clone, Debug)]
pub struct Alignment {
    /// Realtime less monotonic lies here, in ns.
    offset: RangeInclusive<i64>,
    /// Where it lay before realtime was set, while events from then may still come.
    former: Option<RangeInclusive<i64>>,
}

/// Readings that miss each other by less than this are no step: the clocks of two CPUs may differ by some ns, and time(2) is not
/// set by so little.
const ROUNDING_NS: i64 = 1000;

impl Reading {
    /// Reads the clocks.
    pub fn now() -> Self {
        let before = nanoseconds(ClockId::Monotonic);
        let realtime = nanoseconds(ClockId::Realtime);
        Self { before, realtime, after: nanoseconds(ClockId::Monotonic) }
    }

    fn offset(self) -> RangeInclusive<i64> {
        let less = |monotonic: u64| (i128::from(self.realtime) - i128::from(monotonic)) as i64;
        less(self.after)..=less(self.before)
    }
}

impl Alignment {
    /// From a first reading.
    pub fn new(first: Reading) -> Self {
        Self { offset: first.offset(), former: None }
    }

    /// From `readings` readings made now.
    pub fn measure(readings: u32) -> (Self, Option<Step>) {
        let mut alignment = Self::new(Reading::now());
        let step = alignment.refine(readings);
        (alignment, step)
    }

    /// Makes so many readings; the last step that they show is returned.
    pub fn refine(&mut self, readings: u32) -> Option<Step> {
        (0..readings).filter_map(|_| self.take(Reading::now())).last()
    }

    /// Takes a reading into account.
    pub fn take(&mut self, reading: Reading) -> Option<Step> {
        let seen = reading.offset();
        let narrower = *self.offset.start().max(seen.start())..=*self.offset.end().min(seen.end());
        if !narrower.is_empty() {
            self.offset = narrower;
            return None;
        }
        let gap = narrower.start() - narrower.end();
        if gap < ROUNDING_NS {
            self.offset = hull(&self.offset, &seen);
            return None;
        }
        let by_ns = seen.start() - self.offset.start();
        let before = std::mem::replace(&mut self.offset, seen);
        self.former = Some(self.former.take().map_or(before.clone(), |older| hull(&older, &before)));
        Some(Step { by_ns })
    }

    /// No event from before the last step can come any more.
    pub fn forget_steps(&mut self) {
        self.former = None;
    }

    /// What is not known of the difference, in ns.
    pub fn uncertainty_ns(&self) -> u64 {
        self.span().end().abs_diff(*self.span().start())
    }

    /// The latest moment on CLOCK_MONOTONIC that a time on CLOCK_REALTIME in ns can be, and how much earlier it can be, in ns.
    pub fn monotonic(&self, realtime: u64) -> (Timestamp, u64) {
        let span = self.span();
        let less = |offset: i64| (i128::from(realtime) - i128::from(offset)).clamp(0, u64::MAX.into()) as u64;
        let (latest, earliest) = (less(*span.start()), less(*span.end()));
        (Timestamp(latest), latest - earliest)
    }

    fn span(&self) -> RangeInclusive<i64> {
        self.former.as_ref().map_or_else(|| self.offset.clone(), |former| hull(former, &self.offset))
    }
}

fn hull(one: &RangeInclusive<i64>, other: &RangeInclusive<i64>) -> RangeInclusive<i64> {
    *one.start().min(other.start())..=*one.end().max(other.end())
}

#[cfg(test)]
mod tests;

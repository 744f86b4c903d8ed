//! The life of one port: which sockets listen at it, since when, how often it opened and closed.

use std::fmt;
use std::time::Duration;

use super::human;
use crate::clock::Timestamp;
use crate::history::Process;

/// An address and a port in one network namespace, as far as it was watched.
#[derive(Clone, Debug)]
pub struct Port {
    /// Sockets that listen there now.
    pub sockets: usize,
    /// It went from no listener to one.
    pub opened: u64,
    /// It went from one listener to none.
    pub closed: u64,
    /// Connections that it accepted.
    pub accepted: u64,
    /// How long it listened in all, up to its last close.
    pub open_for: Duration,
    /// How long it was closed in all, between a close and the reopening after it.
    pub closed_for: Duration,
    /// The last that opened it, or holds it.
    pub holder: Option<Process>,
    /// Since when it listens; none when it does not.
    since: Option<Since>,
    closed_at: Option<Timestamp>,
    /// What `closed_at` and `closed_for` were before it opened last.
    before: (Option<Timestamp>, Duration),
}

#[derive(Clone, Copy, Debug)]
enum Since {
    /// It opened at this moment.
    Opened(Timestamp),
    /// It listened already at this moment, and for how long is not known.
    Before(Timestamp),
}

/// How long something was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// As long as this.
    Exactly(Duration),
    /// It was there before the watch began, which was so long ago.
    SinceBefore(Duration),
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(time) => f.write_str(&human(*time)),
            Self::SinceBefore(time) => write!(f, "{} or more (since before the watch)", human(*time)),
        }
    }
}

impl Port {
    /// A port of which nothing is known but that the watch began at this moment.
    pub(super) fn new() -> Self {
        Self {
            sockets: 0,
            opened: 0,
            closed: 0,
            accepted: 0,
            open_for: Duration::ZERO,
            closed_for: Duration::ZERO,
            holder: None,
            since: None,
            closed_at: None,
            before: (None, Duration::ZERO),
        }
    }

    /// A socket listened there already.
    pub(super) fn seeded(&mut self, at: Timestamp, holder: Option<Process>) {
        self.sockets += 1;
        self.since.get_or_insert(Since::Before(at));
        self.holder = self.holder.take().or(holder);
    }

    /// A socket began to listen: how long the port was closed before, or `Err` with the sockets when others listen already.
    pub(super) fn joined(&mut self, at: Timestamp, who: &Process) -> Result<Option<Duration>, usize> {
        self.sockets += 1;
        self.holder = Some(who.clone());
        if self.sockets > 1 {
            return Err(self.sockets);
        }
        self.opened += 1;
        self.since = Some(Since::Opened(at));
        self.before = (self.closed_at, self.closed_for);
        let closed_for = self.closed_at.take().map(|closed| at.since(closed));
        self.closed_for += closed_for.unwrap_or_default();
        Ok(closed_for)
    }

    /// A socket listens no more: for how long the port was open, or `Err` with the sockets that are left. `began` is the
    /// beginning of the watch.
    pub(super) fn left(&mut self, at: Timestamp, began: Timestamp) -> Result<Age, usize> {
        self.sockets = self.sockets.saturating_sub(1);
        if self.sockets > 0 {
            return Err(self.sockets);
        }
        let age = self.age(at).unwrap_or(Age::SinceBefore(at.since(began)));
        self.closed += 1;
        self.closed_at = Some(at);
        self.since = None;
        let (Age::Exactly(time) | Age::SinceBefore(time)) = age;
        self.open_for += time;
        Ok(age)
    }

    /// A socket that seemed to listen never did: its listen(2) was refused.
    pub(super) fn refused(&mut self) {
        self.sockets = self.sockets.saturating_sub(1);
        if self.sockets == 0 {
            self.opened = self.opened.saturating_sub(1);
            self.since = None;
            (self.closed_at, self.closed_for) = self.before;
        }
    }

    /// How long it has been listening; none when it does not.
    pub fn age(&self, now: Timestamp) -> Option<Age> {
        self.since.map(|since| match since {
            Since::Opened(at) => Age::Exactly(now.since(at)),
            Since::Before(at) => Age::SinceBefore(now.since(at)),
        })
    }

    /// How long it has been closed, since it did.
    pub fn closed_since(&self, now: Timestamp) -> Option<Duration> {
        self.closed_at.map(|at| now.since(at))
    }
}

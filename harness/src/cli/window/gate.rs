//! One address of a port while it is watched: when it closed and reopened, and whether there is more to wait for.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::endpoint::{Endpoint, SocketId};
use crate::history::{Event, Listeners, Process, Record, TcpState};
use crate::watch::human;

/// What is asserted of an address.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    /// It does not close.
    Stays,
    /// It closes within a time of the trigger, and reopens a time after that, give or take some.
    Window { closes_within: Option<Duration>, reopens: Option<(Duration, Duration)> },
}

/// An address at which the port listens.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) endpoint: Endpoint,
    wanted: Wanted,
    listeners: Listeners,
    /// Listening sockets that a connect could find.
    sockets: usize,
    /// Sockets that began, and that ceased, to listen.
    began: usize,
    ceased: usize,
    closed: Option<(Timestamp, Process)>,
    reopened: Option<(Timestamp, Process)>,
    /// The socket that reopened it.
    opener: Option<SocketId>,
    closes: usize,
}

/// Behind the end of its window, a port is watched for this long: how late it was is worth knowing.
const OVERTIME: Duration = Duration::from_secs(1);

/// A port that may reopen at any time is watched for this long after it did: it could close again.
const SETTLED: Duration = Duration::from_millis(500);

impl Gate {
    pub(super) fn new(endpoint: Endpoint, wanted: Wanted) -> Self {
        Self {
            endpoint,
            wanted,
            listeners: Listeners::default(),
            sockets: 0,
            began: 0,
            ceased: 0,
            closed: None,
            reopened: None,
            opener: None,
            closes: 0,
        }
    }

    /// Takes the next record.
    pub(super) fn take(&mut self, record: &Record) {
        self.listeners.apply(record);
        let change = match &record.event {
            Event::SocketState(change) if change.local.port() == self.endpoint.port() => change,
            Event::Listening(_) => {
                self.sockets = self.listeners.count(self.endpoint, 0);
                return;
            }
            _ => return,
        };
        let before = self.sockets;
        self.sockets = self.listeners.count(self.endpoint, 0);
        match (change.from, change.to) {
            (TcpState::Close, TcpState::Listen) => self.began += usize::from(self.sockets > before),
            (TcpState::Listen, TcpState::Close) if change.refused => {
                return self.refused(change.socket, self.sockets < before);
            }
            (TcpState::Listen, TcpState::Close) => self.ceased += usize::from(self.sockets < before),
            _ => return,
        }
        let edge = || Some((record.at, change.process.clone()));
        match (before, self.sockets) {
            (1.., 0) => {
                self.closes += 1;
                self.closed = self.closed.take().or_else(edge);
            }
            (0, 1..) if self.closed.is_some() && self.reopened.is_none() => {
                (self.reopened, self.opener) = (edge(), Some(change.socket));
            }
            _ => {}
        }
    }

    /// A socket that seemed to listen never did.
    fn refused(&mut self, socket: SocketId, counted: bool) {
        self.began = self.began.saturating_sub(usize::from(counted));
        if self.opener == Some(socket) {
            (self.reopened, self.opener) = (None, None);
        }
    }

    /// Whether nothing more can change the verdict, the window having begun at `trigger`.
    pub(super) fn is_decided(&self, trigger: Timestamp, now: Timestamp) -> bool {
        let Wanted::Window { closes_within, reopens } = self.wanted else { return self.reopened.is_some() };
        let closed_window = |closed: Timestamp| reopens.map(|(after, tolerance)| closed + after + tolerance);
        let until = match (&self.closed, &self.reopened) {
            (None, _) => closes_within.map(|limit| trigger + limit + OVERTIME),
            (Some((closed, _)), None) => closed_window(*closed).map(|end| end + OVERTIME),
            // Until the end of its window it could close again.
            (Some((closed, _)), Some((reopened, _))) => Some(closed_window(*closed).unwrap_or(*reopened + SETTLED)),
        };
        until.is_some_and(|until| now >= until)
    }

    /// What happened, in a line.
    pub(super) fn in_words(&self, after: &str, trigger: Timestamp, now: Timestamp) -> String {
        let at = self.endpoint;
        let since = |later: Timestamp, earlier: Timestamp| human(later.since(earlier));
        let again = match self.closes {
            0 | 1 => String::new(),
            times => format!(" (it closed {times} times)"),
        };
        match (&self.closed, &self.reopened) {
            (None, _) => format!(
                "{at} stayed open: in {} after {after} it never left LISTEN (listening sockets: {}; {} opened and {} \
                 closed meanwhile)",
                since(now, trigger),
                self.sockets,
                self.began,
                self.ceased
            ),
            (Some((closed, by)), None) => format!(
                "{at} closed {} after {after}, by {by}, and did not reopen in {}",
                since(*closed, trigger),
                since(now, *closed)
            ),
            (Some((closed, by)), Some((reopened, who))) => format!(
                "{at} closed {} after {after}, by {by}, and reopened {} later, by {who}{again}",
                since(*closed, trigger),
                since(*reopened, *closed)
            ),
        }
    }
}

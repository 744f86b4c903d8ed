//! The surroundings of a scenario that is being carried out: its target, its marker, its connections, its word to the
//! harness.

use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::connection::{Connection, Opening};
use super::scenario::address_of;
use super::{Failure, Scenario};
use crate::clock::Timestamp;
use crate::history::HandlerStep;

/// Takes what a scenario tells of itself, with the moment of it.
pub type Listener = Box<dyn FnMut(Timestamp, HandlerStep) + Send>;

/// A scenario that is being carried out.
pub struct Session {
    scenario: Scenario,
    tell: Tell,
    until: Instant,
    connections: u32,
}

/// The way to the harness; cheap to clone.
#[derive(Clone)]
pub(super) struct Tell(Arc<Mutex<Listener>>);

impl Tell {
    pub(super) fn now(&self, step: HandlerStep) {
        self.at(Timestamp::now(), step);
    }

    pub(super) fn at(&self, at: Timestamp, step: HandlerStep) {
        (self.0.lock().unwrap_or_else(PoisonError::into_inner))(at, step);
    }
}

impl Session {
    /// Begins now.
    pub fn new(scenario: Scenario, listener: Listener) -> Self {
        let until = Instant::now() + scenario.deadline;
        Self { scenario, tell: Tell(Arc::new(Mutex::new(listener))), until, connections: 0 }
    }

    /// What is carried out.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// What goes into user names and URLs, so that its reports can be told from all others.
    pub fn marker(&self) -> &str {
        &self.scenario.marker
    }

    /// A value that was given to the scenario.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.scenario.variables.get(name).map(String::as_str)
    }

    /// Opens a connection, and expects the report of it: a `connect` from its own address.
    #[track_caller]
    pub fn connect(&mut self) -> Result<Connection, Failure> {
        let mut connection = self.connect_unreported()?;
        connection.expects("connect", None);
        Ok(connection)
    }

    /// Opens a connection without expecting a report of it.
    #[track_caller]
    pub fn connect_unreported(&mut self) -> Result<Connection, Failure> {
        let place = place();
        let wait = self.scenario.wait;
        self.try_connect(wait)?.map_err(|error| Failure::Wrong {
            place,
            expected: format!("a connection to {}", self.scenario.target),
            seen: error.to_string(),
        })
    }

    /// Opens a connection; the inner error is what connect(2) said: `ETIMEDOUT` when nothing came of it within `wait`.
    pub fn try_connect(&mut self, wait: Duration) -> Result<Result<Connection, std::io::Error>, Failure> {
        let number = self.connections;
        self.connections += 1;
        let local = match self.scenario.source() {
            Some(first) => Some(
                address_of(first, number)
                    .ok_or_else(|| Failure::Broken("a handler has 250 connections at the most".into()))?,
            ),
            None => None,
        };
        let opening = Opening {
            number,
            local,
            target: self.scenario.target,
            minipot: self.scenario.minipot.clone(),
            wait: self.scenario.wait,
            until: self.until,
        };
        Connection::open(opening, self.tell.clone(), wait)
    }

    /// Waits.
    pub fn sleep(&self, duration: Duration) {
        let left = self.until.saturating_duration_since(Instant::now());
        std::thread::sleep(duration.min(left));
    }

    /// Tells the harness of a step at this moment.
    pub(super) fn tell(&self, step: HandlerStep) {
        self.tell.now(step);
    }
}

/// Where the caller stands.
#[track_caller]
pub(super) fn place() -> String {
    Location::caller().to_string()
}

//! A connection: its socket, its timeouts, and the protocol that says what happens.

use std::{
    io::Write as _,
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::net::{RecvFlags, recv};
use tracing::debug;

use super::Timeouts;
use crate::{
    fault::{Fault, Faults},
    protocol::{Action, Protocol},
    reporter::{Origin, Reporter},
};

/// Bytes that one receive takes at most.
const CHUNK: usize = 8192;
/// A peer that takes nothing for so long is given up.
const SEND_TIMEOUT: Duration = Duration::from_secs(300);

/// A connection that was accepted.
pub(super) struct Connection {
    stream: TcpStream,
    origin: Origin,
    protocol: Box<dyn Protocol>,
    timeouts: Timeouts,
    faults: Faults,
    opened: Instant,
    /// When the last bytes came.
    heard: Option<Instant>,
    open: bool,
    /// What comes in is thrown away: [`Fault::StallsOnPipelining`].
    stalled: bool,
}

impl Connection {
    /// Greets the peer and reports it.
    ///
    /// # Errors
    /// When the master is gone.
    pub(super) fn open(
        stream: TcpStream,
        origin: Origin,
        mut protocol: Box<dyn Protocol>,
        timeouts: Timeouts,
        faults: Faults,
        reporter: &mut Reporter,
    ) -> anyhow::Result<Self> {
        stream.set_write_timeout(Some(SEND_TIMEOUT)).context("cannot set up a connection")?;
        let mut actions = protocol.open();
        if faults.has(Fault::NoBanner) {
            actions.retain(|action| !matches!(action, Action::Send(_)));
        }
        debug!("connection {} from {}", origin.id, origin.ip);
        let opened = Instant::now();
        let mut connection =
            Self { stream, origin, protocol, timeouts, faults, opened, heard: None, open: true, stalled: false };
        connection.perform(actions, reporter)?;
        Ok(connection)
    }

    /// Its socket.
    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Where its reports come from.
    pub(super) fn origin(&mut self) -> &mut Origin {
        &mut self.origin
    }

    /// Whether it has not ended.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// When it is given up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let quiet = match self.heard {
            Some(heard) => self.timeouts.idle.map(|idle| heard + idle),
            None => self.timeouts.silence.map(|silence| self.opened + silence),
        };
        quiet.into_iter().chain(self.timeouts.total.map(|total| self.opened + total)).min()
    }

    /// Takes one chunk of what has come in.
    ///
    /// # Errors
    /// When the master is gone.
    pub(super) fn receive(&mut self, reporter: &mut Reporter) -> anyhow::Result<()> {
        let mut buffer = [0; CHUNK];
        let length = match recv(&self.stream, &mut buffer, RecvFlags::DONTWAIT) {
            Ok((0, _)) => {
                self.open = false;
                return Ok(());
            }
            Ok((length, _)) => length,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => {
                debug!("connection {}: {error}", self.origin.id);
                self.open = false;
                return Ok(());
            }
        };
        self.heard = Some(Instant::now());
        if self.faults.has(Fault::LosesPieces) {
            self.protocol.forget_piece();
        }
        let mut rest = &buffer[..length];
        while !rest.is_empty() && self.open && !self.stalled {
            let mut actions = Vec::new();
            let taken = self.protocol.advance(rest, &mut actions);
            rest = &rest[taken..];
            self.stalled = self.faults.has(Fault::StallsOnPipelining) && !actions.is_empty() && !rest.is_empty();
            self.perform(actions, reporter)?;
        }
        Ok(())
    }

    /// Ends it when its time is over.
    pub(super) fn time_out(&mut self) {
        if self.open && self.deadline().is_some_and(|deadline| deadline <= Instant::now()) {
            debug!("connection {}: timeout", self.origin.id);
            if let Some(words) = self.protocol.last_words() {
                // It closes anyway.
                let _ = self.stream.write_all(&words);
            }
            self.open = false;
        }
    }

    /// Does what the protocol says; a peer that cannot be sent to ends it.
    fn perform(&mut self, actions: Vec<Action>, reporter: &mut Reporter) -> anyhow::Result<()> {
        for action in actions {
            match action {
                Action::Report(event) => reporter.report(&mut self.origin, event)?,
                Action::Send(bytes) => self.open = self.stream.write_all(&bytes).is_ok(),
                Action::Close => self.open = false,
            }
            if !self.open {
                break;
            }
        }
        Ok(())
    }
}

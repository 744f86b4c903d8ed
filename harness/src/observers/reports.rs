//! The reports observer: binds a ZMQ PULL socket, takes in at once whatever the system sends, and appends all of it.

mod decode;
mod place;
mod socket;
#[cfg(test)]
mod tests;
mod thread;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;

use crate::history::Recorder;
use place::Place;
use thread::{Command, Intake};

/// Where reports are to come, and under which topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportsSettings {
    /// `ipc://PATH` or `tcp://ADDRESS:PORT`; none: a socket in a folder of its own in the system's temporary folder.
    pub bind: Option<String>,
    /// The topic that messages should have.
    pub topic: String,
}

/// Why reports cannot be taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportsError {
    /// The name of the socket is longer than the kernel takes (unix(7), sun_path).
    #[error(
        "the socket path {path} has {length} bytes and may have {limit}: name a shorter one in `bind` of [reports]"
    )]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its bytes.
        length: usize,
        /// How many it may have.
        limit: usize,
    },
    /// Somebody else takes reports there.
    #[error(
        "{endpoint} is in use: another process takes reports there; stop it, or name another place in `bind` of [reports]"
    )]
    InUse {
        /// Where.
        endpoint: String,
    },
    /// Something that is no socket is there.
    #[error("{path} is there already and is no socket: move it away, or name another place in `bind` of [reports]")]
    NoSocket {
        /// The path.
        path: PathBuf,
    },
    /// It cannot be bound.
    #[error(
        "could not bind {endpoint}: {why}; `bind` of [reports] takes ipc://PATH in a folder that can be written, or tcp://ADDRESS:PORT"
    )]
    Bind {
        /// Where.
        endpoint: String,
        /// Why not.
        why: String,
    },
    /// The observer is not there any more.
    #[error("the reports observer has ended: the history says why")]
    Ended,
}

/// Takes reports in, on a thread of its own, until it is stopped.
pub struct ReportsObserver {
    handle: ReportsHandle,
    thread: Option<JoinHandle<()>>,
    /// The folder that was made for the socket goes with it.
    _place: Arc<Place>,
}

/// A way to the observer, for cases; cheap to clone.
#[derive(Clone)]
pub struct ReportsHandle {
    commands: Sender<Command>,
    wake: Arc<OwnedFd>,
    endpoint: Arc<str>,
    topic: Arc<str>,
}

/// The thread answers within this time, or has ended.
const ANSWER: Duration = Duration::from_secs(30);

impl ReportsObserver {
    /// Binds the socket, which any user can reach afterwards, and begins to take reports in.
    pub fn start(recorder: &Recorder, settings: ReportsSettings) -> Result<Self, ReportsError> {
        let place = Arc::new(Place::find(settings.bind.as_deref())?);
        let endpoint = place.endpoint().to_owned();
        let bind_failed = |why: String| ReportsError::Bind { endpoint: endpoint.clone(), why };
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let wake = Arc::new(wake.map_err(|error| bind_failed(error.to_string()))?);
        let (commands, received) = channel();
        let intake = Intake::bind(recorder.clone(), place.clone(), settings.topic.clone(), received, wake.clone())?;
        let thread = std::thread::Builder::new().name("reports".into()).spawn(move || intake.run());
        let thread = Some(thread.map_err(|error| bind_failed(error.to_string()))?);
        let handle = ReportsHandle { commands, wake, endpoint: endpoint.into(), topic: settings.topic.into() };
        Ok(Self { handle, thread, _place: place })
    }

    /// A way to it for others.
    pub fn handle(&self) -> ReportsHandle {
        self.handle.clone()
    }

    /// Takes in what has come, and closes the socket.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.handle.ask(Command::Stop);
        if let Some(thread) = self.thread.take() {
            // A panic in it is in the history.
            let _ = thread.join();
        }
    }
}

impl Drop for ReportsObserver {
    fn drop(&mut self) {
        self.end();
    }
}

impl ReportsHandle {
    /// Where the system sends its reports, as ZMQ writes it.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The topic that they should have.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Returns when everything that has come until now is in the history: how many messages in all.
    pub fn drain(&self) -> Result<u64, ReportsError> {
        self.ask(Command::Drain)
    }

    /// Takes in what has come and closes the socket: to the system, its peer goes away.
    pub fn unbind(&self) -> Result<(), ReportsError> {
        self.ask(Command::Unbind).map(drop)
    }

    /// Binds again after [`Self::unbind`].
    pub fn bind(&self) -> Result<(), ReportsError> {
        self.ask(Command::Bind)?;
        Ok(())
    }

    /// Binds after [`Self::unbind`], and reads nothing: to the system, its peer is there and takes no reports. What reaches the
    /// socket all the same is taken in by the next [`Self::unbind`].
    pub fn bind_unread(&self) -> Result<(), ReportsError> {
        self.ask(Command::Hold).map(drop)
    }

    fn ask<T>(&self, command: impl FnOnce(Sender<Result<T, ReportsError>>) -> Command) -> Result<T, ReportsError> {
        let (answer, answered) = channel();
        self.commands.send(command(answer)).map_err(|_| ReportsError::Ended)?;
        // eventfd(2): the number is added to a counter, whose reader is woken.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        answered.recv_timeout(ANSWER).map_err(|_| ReportsError::Ended)?
    }
}

//! The thread that takes messages in, so that the system is never held up by us.

use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use zmq::{PollEvents, PollItem};

use super::ReportsError;
use super::place::Place;
use super::socket::{self, HIGH_WATER};
use crate::clock::Timestamp;
use crate::history::{Event, Record, Recorder, ReportsChange, Source};

/// What the thread is asked for.
pub(super) enum Command {
    Drain(Sender<Result<u64, ReportsError>>),
    Unbind(Sender<Result<u64, ReportsError>>),
    Bind(Sender<Result<u64, ReportsError>>),
    Hold(Sender<Result<u64, ReportsError>>),
    Stop(Sender<Result<u64, ReportsError>>),
}

/// Records are handed over in such portions.
const PORTION: usize = 1024;
/// Nothing more is on its way when nothing has come for this long.
const QUIET_MS: i64 = 20;
/// A sender that never stops is not waited for.
const FLOOD: Duration = Duration::from_secs(10);

pub(super) struct Intake {
    recorder: Recorder,
    place: Arc<Place>,
    topic: String,
    commands: Receiver<Command>,
    wake: Arc<OwnedFd>,
    socket: Option<socket::Intake>,
    /// The socket is bound, and nothing is taken in from it.
    held: bool,
    messages: u64,
    /// Messages that came in a row, since when.
    row: (u64, Timestamp),
}

impl Intake {
    pub(super) fn bind(
        recorder: Recorder,
        place: Arc<Place>,
        topic: String,
        commands: Receiver<Command>,
        wake: Arc<OwnedFd>,
    ) -> Result<Self, ReportsError> {
        let row = (0, Timestamp::now());
        let mut intake = Self { recorder, place, topic, commands, wake, socket: None, held: false, messages: 0, row };
        intake.open()?;
        Ok(intake)
    }

    /// Goes on until it is stopped; whatever else ends it stands in the history.
    pub(super) fn run(mut self) {
        let reason = match catch_unwind(AssertUnwindSafe(|| self.serve())) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.message().to_lowercase(),
            Err(_) => "it panicked".into(),
        };
        self.tell(ReportsChange::Died { reason });
    }

    fn serve(&mut self) -> Result<(), zmq::Error> {
        loop {
            self.wait()?;
            self.take_in()?;
            // The counter of the eventfd goes back to zero.
            let _ = rustix::io::read(&*self.wake, &mut [0u8; 8]);
            while let Ok(command) = self.commands.try_recv() {
                self.take_in_all()?;
                let messages = self.messages;
                // Who asked may have gone.
                match command {
                    Command::Drain(answer) => {
                        self.tell(ReportsChange::Drained { messages });
                        let _ = answer.send(Ok(messages));
                    }
                    Command::Unbind(answer) => {
                        self.release()?;
                        let messages = self.messages;
                        if self.socket.take().is_some() {
                            self.tell(ReportsChange::Unbound);
                        }
                        let _ = answer.send(Ok(messages));
                    }
                    Command::Bind(answer) => {
                        let _ = answer.send(self.open().map(|()| messages));
                    }
                    Command::Hold(answer) => {
                        let _ = answer.send(self.hold().map(|()| messages));
                    }
                    Command::Stop(answer) => {
                        self.release()?;
                        let messages = self.messages;
                        self.socket = None;
                        self.tell(ReportsChange::Stopped { messages });
                        let _ = answer.send(Ok(messages));
                        return Ok(());
                    }
                }
            }
        }
    }

    fn open(&mut self) -> Result<(), ReportsError> {
        if self.socket.is_none() {
            self.socket = Some(socket::Intake::bind(&self.place, HIGH_WATER)?);
            let (endpoint, topic) = (self.place.endpoint().to_owned(), self.topic.clone());
            self.tell(ReportsChange::Bound { endpoint, topic });
        }
        Ok(())
    }

    /// Binds a socket that is not read. ZMQ takes one message in by itself; the others wait at the system's end.
    fn hold(&mut self) -> Result<(), ReportsError> {
        if self.socket.is_none() {
            self.socket = Some(socket::Intake::bind(&self.place, 1)?);
            self.held = true;
            self.tell(ReportsChange::Held);
        }
        Ok(())
    }

    /// What a socket that was not read has received is taken in all the same.
    fn release(&mut self) -> Result<(), zmq::Error> {
        if std::mem::take(&mut self.held) { self.take_in_all() } else { Ok(()) }
    }

    fn read(&self) -> Option<&socket::Intake> {
        self.socket.as_ref().filter(|_| !self.held)
    }

    fn wait(&self) -> Result<(), zmq::Error> {
        let wake = PollItem::from_fd(self.wake.as_raw_fd(), PollEvents::POLLIN);
        let mut items = vec![wake];
        if let Some(socket) = self.read() {
            items.extend(socket.items());
        }
        match zmq::poll(&mut items, -1) {
            Ok(_) | Err(zmq::Error::EINTR) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes in what is there, and what ZMQ's own thread still has to read from the kernel.
    fn take_in_all(&mut self) -> Result<(), zmq::Error> {
        let began = Instant::now();
        loop {
            self.take_in()?;
            let Some(socket) = self.read() else { return Ok(()) };
            match zmq::poll(&mut socket.items(), QUIET_MS) {
                Ok(0) => return Ok(()),
                _ if began.elapsed() > FLOOD => return Ok(()),
                Ok(_) | Err(zmq::Error::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes in what is there, until nothing is.
    fn take_in(&mut self) -> Result<(), zmq::Error> {
        loop {
            let Some(socket) = self.read() else { return Ok(()) };
            let mut records: Vec<Record> = socket.changes()?.into_iter().map(change).collect();
            let mut taken = 0;
            while taken < PORTION {
                let Some(message) = socket.receive()? else { break };
                records.push(record(Event::Message(message)));
                taken += 1;
            }
            self.messages += taken as u64;
            records.extend(self.backlog(taken));
            self.recorder.append_all(records);
            if taken < PORTION {
                return Ok(());
            }
        }
    }

    /// As many messages in a row as the queue holds: it may have been full, and the sender held up.
    fn backlog(&mut self, taken: usize) -> Option<Record> {
        let full = |row: u64| row >= HIGH_WATER as u64;
        let before = self.row.0;
        if before == 0 {
            self.row.1 = Timestamp::now();
        }
        self.row.0 += taken as u64;
        let (messages, since) = self.row;
        if taken < PORTION {
            self.row.0 = 0;
        }
        // Told when it begins, and when it is over.
        let tell = full(messages) && (!full(before) || taken < PORTION);
        tell.then(|| change(ReportsChange::Backlog { messages, since }))
    }

    fn tell(&self, what: ReportsChange) {
        self.recorder.append(change(what));
    }
}

fn change(change: ReportsChange) -> Record {
    record(Event::Reports(change))
}

fn record(event: Event) -> Record {
    Record::now(Source::Reports, event)
}

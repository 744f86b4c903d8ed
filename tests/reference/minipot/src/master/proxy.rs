//! The proxy's end: a ZeroMQ PUSH socket that connects, a welcome, then two frames a report.

use anyhow::Context as _;
use zmq::{Context, Error, PUSH, Socket};

use crate::fault::{Fault, Faults};

/// Messages that are kept while the proxy takes none.
const HIGH_WATER_MARK: i32 = 1000;
/// For how long one message more may block, in ms.
const SEND_TIMEOUT: i32 = 5000;
/// For how long the program's end waits for the proxy to take what is left, in ms.
const LINGER: i32 = 1000;
/// Reports after which [`Fault::GoesQuiet`] forwards none.
const QUIET_AFTER: u64 = 10;

/// The connection to the proxy, whether it is there or not: ZeroMQ connects again by itself.
pub(super) struct Proxy {
    socket: Socket,
    topic: String,
    faults: Faults,
    forwarded: u64,
}

/// The queue was full for as long as a message may block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Undelivered;

impl Proxy {
    /// Begins to connect.
    ///
    /// # Errors
    /// When ZeroMQ does not take the address.
    pub(super) fn connect(address: &str, topic: &str, faults: Faults) -> anyhow::Result<Self> {
        let (kept, blocks) = match faults.on() {
            // ZeroMQ takes 0 for no limit, and -1 for no end (zmq_setsockopt(3)).
            Some(Fault::KeepsAll) => (0, SEND_TIMEOUT),
            Some(Fault::KeepsFewer) => (HIGH_WATER_MARK - 1, SEND_TIMEOUT),
            Some(Fault::GivesUpAtOnce) => (HIGH_WATER_MARK, 0),
            Some(Fault::NeverGivesUp) => (HIGH_WATER_MARK, -1),
            _ => (HIGH_WATER_MARK, SEND_TIMEOUT),
        };
        let open = || {
            let socket = Context::new().socket(PUSH)?;
            socket.set_sndhwm(kept)?;
            socket.set_sndtimeo(blocks)?;
            socket.set_linger(LINGER)?;
            socket.connect(address)?;
            Ok::<_, Error>(socket)
        };
        let socket = open()
            .with_context(|| format!("ZeroMQ cannot connect to {address}: is it ipc://PATH or tcp://HOST:PORT?"))?;
        Ok(Self { socket, topic: topic.to_owned(), faults, forwarded: 0 })
    }

    /// Says that the master has started.
    pub(super) fn welcome(&self) -> anyhow::Result<Result<(), Undelivered>> {
        if self.faults.has(Fault::NoWelcome) {
            return Ok(Ok(()));
        }
        self.send(&[self.topic.as_bytes()])
    }

    /// Sends a report.
    pub(super) fn forward(&mut self, report: &[u8]) -> anyhow::Result<Result<(), Undelivered>> {
        self.forwarded += 1;
        let wrong_topic;
        let topic = if self.faults.has(Fault::WrongTopic) {
            wrong_topic = format!("{}/reports", self.topic);
            &wrong_topic
        } else {
            &self.topic
        };
        let topic = topic.as_bytes();
        match self.faults.on() {
            Some(Fault::GoesQuiet) if self.forwarded > QUIET_AFTER => Ok(Ok(())),
            Some(Fault::ExtraFrame) => self.send(&[topic, report, &[]]),
            Some(Fault::SecondWelcome) if self.forwarded == 1 => match self.send(&[topic, report])? {
                Ok(()) => self.welcome(),
                undelivered => Ok(undelivered),
            },
            _ => self.send(&[topic, report]),
        }
    }

    /// Gives up what the proxy has not taken.
    pub(super) fn abandon(&self) -> anyhow::Result<()> {
        self.socket.set_linger(0).context("ZeroMQ does not take the linger time")
    }

    fn send(&self, frames: &[&[u8]]) -> anyhow::Result<Result<(), Undelivered>> {
        loop {
            match self.socket.send_multipart(frames, 0) {
                Ok(()) => return Ok(Ok(())),
                Err(Error::EAGAIN) => return Ok(Err(Undelivered)),
                Err(Error::EINTR) => {}
                Err(error) => return Err(error).context("ZeroMQ does not take a message"),
            }
        }
    }
}

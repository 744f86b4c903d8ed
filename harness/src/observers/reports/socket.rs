//! The PULL socket and the monitor that tells of its peers.

use zmq::{PollEvents, PollItem, SocketEvent};

use super::ReportsError;
use super::decode::{FRAMES, decode};
use super::place::Place;
use crate::history::{Message, ReportsChange};

/// Messages that wait for us at the most; beyond that ZMQ stops reading, and the sender waits. ZMQ's own default is 1000.
pub(super) const HIGH_WATER: i32 = 100_000;
/// A peer that sends a longer frame is put off by ZMQ, which the monitor tells.
const LONGEST_FRAME: i64 = 256 << 20;
const MONITOR: &str = "inproc://reports-monitor";

pub(super) struct Intake {
    pull: zmq::Socket,
    monitor: zmq::Socket,
    // Ends after its sockets.
    _context: zmq::Context,
}

impl Intake {
    /// `high_water` messages wait for us at the most.
    pub(super) fn bind(place: &Place, high_water: i32) -> Result<Self, ReportsError> {
        place.check()?;
        let endpoint = place.endpoint();
        let failed = |error: zmq::Error| match error {
            zmq::Error::EADDRINUSE => ReportsError::InUse { endpoint: endpoint.into() },
            other => ReportsError::Bind { endpoint: endpoint.into(), why: other.message().to_lowercase() },
        };
        // With a context of its own, a socket that is dropped is closed when the context is.
        let context = zmq::Context::new();
        let pull = context.socket(zmq::PULL).map_err(failed)?;
        pull.set_linger(0).and_then(|()| pull.set_rcvhwm(high_water)).map_err(failed)?;
        pull.set_maxmsgsize(LONGEST_FRAME).map_err(failed)?;
        let events = [
            SocketEvent::HANDSHAKE_SUCCEEDED,
            SocketEvent::HANDSHAKE_FAILED_NO_DETAIL,
            SocketEvent::HANDSHAKE_FAILED_PROTOCOL,
            SocketEvent::HANDSHAKE_FAILED_AUTH,
            SocketEvent::DISCONNECTED,
            SocketEvent::ACCEPT_FAILED,
        ];
        let events = events.into_iter().map(|event| i32::from(event.to_raw())).sum();
        pull.monitor(MONITOR, events).map_err(failed)?;
        let monitor = context.socket(zmq::PAIR).map_err(failed)?;
        monitor.connect(MONITOR).map_err(failed)?;
        pull.bind(endpoint).map_err(failed)?;
        place.open_up()?;
        Ok(Self { pull, monitor, _context: context })
    }

    /// What is to be waited for: the monitor, and messages.
    pub(super) fn items(&self) -> [PollItem<'_>; 2] {
        [self.monitor.as_poll_item(PollEvents::POLLIN), self.pull.as_poll_item(PollEvents::POLLIN)]
    }

    /// The next message, when one is there.
    pub(super) fn receive(&self) -> Result<Option<Message>, zmq::Error> {
        let mut frames = Vec::with_capacity(2);
        let mut count = 1;
        match self.pull.recv_msg(zmq::DONTWAIT) {
            Ok(frame) => frames.push(frame),
            Err(zmq::Error::EAGAIN | zmq::Error::EINTR) => return Ok(None),
            Err(error) => return Err(error),
        }
        // The frames of a message come all at once.
        while self.pull.get_rcvmore()? {
            let frame = self.pull.recv_msg(0)?;
            count += 1;
            if frames.len() < FRAMES {
                frames.push(frame);
            }
        }
        Ok(Some(decode(&frames, count)))
    }

    /// What became of peers since the last call.
    pub(super) fn changes(&self) -> Result<Vec<ReportsChange>, zmq::Error> {
        let mut changes = Vec::new();
        loop {
            let event = match self.monitor.recv_multipart(zmq::DONTWAIT) {
                Ok(frames) => frames,
                Err(zmq::Error::EAGAIN | zmq::Error::EINTR) => return Ok(changes),
                Err(error) => return Err(error),
            };
            // zmq_socket_monitor(3): 16 bits of event and 32 of value, in the order of the machine.
            let Some(raw) = event.first().and_then(|frame| frame.first_chunk::<2>()) else { continue };
            changes.push(match SocketEvent::from_raw(u16::from_ne_bytes(*raw)) {
                SocketEvent::HANDSHAKE_SUCCEEDED => ReportsChange::Connected,
                SocketEvent::DISCONNECTED => ReportsChange::Disconnected,
                other => ReportsChange::Refused { reason: format!("{other:?}").to_lowercase() },
            });
        }
    }
}

//! Echo: sends a payload and expects exactly that back.

use super::connection::Connection;
use super::payload::Payload;
use super::recording::Stop;
use super::{ClientContext, Finished};
use crate::clock::Timestamp;
use crate::history::OpId;

/// Connects, sends all, receives the echo, compares it, closes. The payload may be of any length.
pub async fn echo(context: &ClientContext, payload: Payload) -> Finished {
    match Connection::open(context, "echo", payload, false).await {
        Ok(mut connection) => {
            let stop = connection.stream_all().await;
            connection.close(&stop)
        }
        Err(finished) => *finished,
    }
}

/// An echo whose steps are taken one by one, so that several connections can be open together. A step after one that
/// failed does nothing: [`close`](Self::close) tells how it ended. Dropped before that, it ends as cancelled.
pub struct Exchange {
    connection: Result<Connection, Box<Finished>>,
    stop: Option<Stop>,
}

impl Exchange {
    /// Connects.
    pub async fn connect(context: &ClientContext, payload: Payload) -> Self {
        Self { connection: Connection::open(context, "echo", payload, false).await, stop: None }
    }

    /// Whether it is connected, and no step has failed so far.
    pub fn is_open(&self) -> bool {
        self.connection.is_ok() && self.stop.is_none()
    }

    /// Which operation it is.
    pub fn op(&self) -> OpId {
        match &self.connection {
            Ok(connection) => connection.recording.op(),
            Err(finished) => finished.op,
        }
    }

    /// The moment right before the first write, once it has sent.
    pub fn first_byte(&self) -> Option<Timestamp> {
        self.connection.as_ref().ok()?.recording.outgoing.first_byte
    }

    /// Sends the payload, which has to fit into the buffers on the way (64 KiB do): nothing is read meanwhile.
    pub async fn send(&mut self) {
        if let (Ok(connection), None) = (&mut self.connection, &self.stop) {
            let end = connection.recording.outgoing.payload.length();
            self.stop = connection.send(end).await.err();
        }
    }

    /// Receives until the whole echo has come.
    pub async fn receive_echo(&mut self) {
        if let (Ok(connection), None) = (&mut self.connection, &self.stop) {
            self.stop = match connection.receive_all().await {
                Stop::Complete => None,
                stop => Some(stop),
            };
        }
    }

    /// Closes the connection, after the echo of what was sent has come. Ok when that is so, or nothing was sent.
    pub async fn close(self) -> Finished {
        match self.connection {
            Ok(mut connection) => {
                let stop = match self.stop {
                    Some(stop) => stop,
                    None if connection.recording.outgoing.sent == 0 => Stop::Complete,
                    None => connection.receive_all().await,
                };
                connection.close(&stop)
            }
            Err(finished) => *finished,
        }
    }
}

#[cfg(test)]
mod tests;

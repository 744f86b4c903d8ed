//! Ping-pong: messages that each wait for the echo of the last, and how long the round trips take.

use std::time::Duration;

use super::connection::Connection;
use super::payload::Payload;
use super::turns::{Pace, Turns};
use super::{ClientContext, Finished};

/// What a ping-pong consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PingPong {
    /// Round trips.
    pub iterations: u64,
    /// The length of a message in bytes; it should fit into the buffers on the way (64 KiB do).
    pub bytes: u64,
    /// Between an echo and the next message.
    pub delay: Duration,
}

/// Takes the turns on one connection. The messages are consecutive pieces of stream `stream` of `seed`, so each differs from
/// every other. A turn whose content is wrong does not end it; a connection that stops does.
pub async fn ping_pong(context: &ClientContext, seed: u64, stream: u64, plan: PingPong) -> Finished {
    let payload = Payload::new(seed, stream, plan.iterations * plan.bytes);
    match Connection::open(context, "ping_pong", payload, false).await {
        Ok(mut connection) => {
            let turns = Turns::new(&mut connection, plan.bytes, Pace::Pause(plan.delay));
            let stop = turns.take_all(plan.iterations).await;
            connection.close(&stop)
        }
        Err(finished) => *finished,
    }
}

#[cfg(test)]
mod tests;

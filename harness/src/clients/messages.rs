//! Persistence: a connection that has to last, with a message and its echo in each period.

use std::time::Duration;

use super::connection::Connection;
use super::payload::Payload;
use super::turns::{Pace, Turns};
use super::{ClientContext, Finished};

/// What is sent, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Messages {
    /// How many.
    pub count: u64,
    /// The length of a message in bytes; it should fit into the buffers on the way (64 KiB do).
    pub bytes: u64,
    /// Message `n` is due `n` periods after the first.
    pub period: Duration,
}

/// Sends each message when it is due and the last one's echo has come, then closes. The messages are consecutive pieces of
/// stream `stream` of `seed`. A message whose echo is wrong does not end it; a connection that stops does.
pub async fn messages(context: &ClientContext, seed: u64, stream: u64, plan: Messages) -> Finished {
    let payload = Payload::new(seed, stream, plan.count * plan.bytes);
    match Connection::open(context, "messages", payload, false).await {
        Ok(mut connection) => {
            let turns = Turns::new(&mut connection, plan.bytes, Pace::Period(plan.period));
            let stop = turns.take_all(plan.count).await;
            connection.close(&stop)
        }
        Err(finished) => *finished,
    }
}

#[cfg(test)]
mod tests;

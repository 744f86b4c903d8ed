//! Connections that are being opened at the very moment of the event.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::{Held, Ready, Told};
use crate::clients::connection::Connection;
use crate::clients::payload::Payload;
use crate::clients::{ClientContext, Finished};

/// Bytes that each connection sends, and expects back.
const BYTES: u64 = 64;

/// How connections are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connecting {
    /// One each period, whatever became of the last.
    pub period: Duration,
    /// How many at the most.
    pub attempts: u64,
    /// How many are open at once at the most: no more are opened while this many hang.
    pub at_once: usize,
}

/// Opens connections until it is told to finish, each of which sends 64 bytes, expects their echo and closes; each is an
/// operation of its own, with stream `first_stream` of `seed`, the next one, and so on. Returns them in the order in which
/// they ended. It is ready when the first has ended.
pub fn connecting(context: &ClientContext, seed: u64, first_stream: u64, plan: Connecting) -> Held<Vec<Finished>> {
    let context = context.clone();
    Held::spawn(move |ready, told| open_all(context, seed, first_stream, plan, ready, told))
}

async fn open_all(
    context: ClientContext,
    seed: u64,
    first_stream: u64,
    plan: Connecting,
    ready: Ready,
    mut told: Told,
) -> Vec<Finished> {
    let mut finished = Vec::new();
    let mut open = JoinSet::new();
    let mut next = 0;
    let mut tick = interval(plan.period.max(Duration::from_micros(1)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while next < plan.attempts || !open.is_empty() {
        tokio::select! {
            biased;
            () = told.heard() => break,
            Some(ended) = open.join_next() => {
                finished.extend(ended.ok());
                ready.now();
            }
            _ = tick.tick(), if next < plan.attempts && open.len() < plan.at_once => {
                let payload = Payload::new(seed, first_stream.wrapping_add(next), BYTES);
                open.spawn(attempt(context.clone(), payload));
                next += 1;
            }
        }
    }
    finished.extend(open.join_all().await);
    finished
}

async fn attempt(context: ClientContext, payload: Payload) -> Finished {
    match Connection::open(&context, "connecting", payload, false).await {
        Ok(mut connection) => {
            let stop = connection.stream_all().await;
            connection.close(&stop)
        }
        Err(finished) => *finished,
    }
}

//! A system that reports: one PUSH socket, one welcome, then reports of a login as fast as the peer takes them.

use std::time::Instant;

use anyhow::Context;
use rmp::encode::{write_map_len, write_str, write_uint};
use serde::{Deserialize, Serialize};

/// The topic of all messages.
pub(crate) const TOPIC: &str = "sentinel/collect/minipot";
/// Sending must go on within this time, in ms.
const STALLED: i32 = 30_000;

/// What was sent.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Sent {
    /// Messages, the welcome among them.
    pub(crate) messages: u64,
    /// From the first to the last one that ZMQ took.
    pub(crate) wall_ns: u64,
}

/// Sends a welcome and `count` reports, and closes the socket when all have left it.
pub(crate) fn run(endpoint: &str, count: u64) -> anyhow::Result<Sent> {
    let context = zmq::Context::new();
    let push = context.socket(zmq::PUSH)?;
    push.set_linger(STALLED)?;
    push.set_sndtimeo(STALLED)?;
    push.connect(endpoint)?;
    let began = Instant::now();
    push.send(TOPIC, 0).context("the welcome")?;
    for number in 0..count {
        let report = report(number)?;
        push.send(TOPIC, zmq::SNDMORE)
            .and_then(|()| push.send(report, 0))
            .with_context(|| format!("report {number}"))?;
    }
    Ok(Sent { messages: count + 1, wall_ns: began.elapsed().as_nanos() as u64 })
}

/// A login of about 100 bytes; each has a user name of its own.
fn report(number: u64) -> anyhow::Result<Vec<u8>> {
    let mut packed = Vec::with_capacity(128);
    write_map_len(&mut packed, 5)?;
    write_str(&mut packed, "ts")?;
    write_uint(&mut packed, 1_700_000_000 + number / 50_000)?;
    for (key, value) in [("type", "ftp"), ("ip", "127.16.0.1"), ("action", "login")] {
        write_str(&mut packed, key)?;
        write_str(&mut packed, value)?;
    }
    write_str(&mut packed, "data")?;
    write_map_len(&mut packed, 2)?;
    for (key, value) in [("username", format!("user-{number}")), ("password", "secret".into())] {
        write_str(&mut packed, key)?;
        write_str(&mut packed, &value)?;
    }
    Ok(packed)
}

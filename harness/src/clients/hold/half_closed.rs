//! A connection whose sending half is closed: nothing more goes out, and the other end has yet to close its own.

use super::{Held, Ready, Told};
use crate::clients::ClientContext;
use crate::clients::connection::Connection;
use crate::clients::payload::Payload;
use crate::clients::recording::Stop;

/// Echoes one message of `bytes` (up to 64 KiB), half-closes, and waits for the other end to close: that is ok, for all
/// came back before. Told to finish, it waits for the idle deadline at the most; open still, it hangs, which is a timeout.
/// The payload is stream `stream` of `seed`. It is ready when it has half-closed.
pub fn half_closed(context: &ClientContext, seed: u64, stream: u64, bytes: u64) -> Held {
    let context = context.clone();
    Held::spawn(move |ready, told| async move {
        let payload = Payload::new(seed, stream, bytes);
        match Connection::open(&context, "half_closed", payload, false).await {
            Ok(mut connection) => {
                let stop = hold(&mut connection, ready, told).await;
                connection.close(&stop)
            }
            Err(finished) => *finished,
        }
    })
}

async fn hold(connection: &mut Connection, ready: Ready, mut told: Told) -> Stop {
    let end = connection.recording.outgoing.payload.length();
    if let Err(stop) = connection.send(end).await {
        return stop;
    }
    match connection.receive_all().await {
        Stop::Complete => {}
        stop => return stop,
    }
    if let Err(stop) = connection.half_close().await {
        return stop;
    }
    ready.now();
    tokio::select! {
        stop = connection.receive_until_stop(None) => return stop,
        () = told.heard() => {}
    }
    let idle = connection.idle;
    connection.receive_until_stop(Some(idle)).await
}

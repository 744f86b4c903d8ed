//! A connection whose client sends and does not read, so that every buffer on the way is full during the event.

use std::time::Duration;

use super::{Held, Ready, Told};
use crate::clients::ClientContext;
use crate::clients::connection::Connection;
use crate::clients::payload::Payload;
use crate::clients::recording::Stop;

/// Writes that make no progress for this long are held up by full buffers.
const STUCK: Duration = Duration::from_millis(250);

/// Sends `payload` without reading; when told to finish it reads what came, sends the rest, and reads the echo to its end.
/// It is ready when writing is stuck, or all is written. A write that fails ends it: what came before that is read then.
pub fn backpressured(context: &ClientContext, payload: Payload) -> Held {
    let context = context.clone();
    Held::spawn(move |ready, told| async move {
        match Connection::open(&context, "backpressured", payload, false).await {
            Ok(mut connection) => {
                let stop = match fill(&mut connection, ready, told).await {
                    Ok(()) => connection.stream_all().await,
                    Err(stop) => stop,
                };
                connection.close(&stop)
            }
            Err(finished) => *finished,
        }
    })
}

/// Writes until it is told to finish.
async fn fill(connection: &mut Connection, ready: Ready, mut told: Told) -> Result<(), Stop> {
    let end = connection.recording.outgoing.payload.length();
    loop {
        let sent = tokio::select! {
            sent = connection.send_within(STUCK, end) => sent,
            () = told.heard() => return Ok(()),
        };
        let done = sent.transpose()?.is_some();
        ready.now();
        if done {
            told.heard().await;
            return Ok(());
        }
    }
}

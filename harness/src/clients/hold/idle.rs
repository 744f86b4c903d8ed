//! A connection that is silent during the event, and is asked after it whether it still echoes.

use super::{Held, Ready, Told};
use crate::clients::ClientContext;
use crate::clients::connection::Connection;
use crate::clients::payload::Payload;
use crate::clients::recording::Stop;

/// Echoes one message of `bytes` (up to 64 KiB), then holds in silence; when told to finish it echoes a second one.
/// The payload is stream `stream` of `seed`, twice as long as a message. It is ready after the first echo.
pub fn idle(context: &ClientContext, seed: u64, stream: u64, bytes: u64) -> Held {
    let context = context.clone();
    Held::spawn(move |ready, told| async move {
        let payload = Payload::new(seed, stream, bytes * 2);
        match Connection::open(&context, "idle", payload, false).await {
            Ok(mut connection) => {
                let stop = hold(&mut connection, bytes, ready, told).await.err().unwrap_or(Stop::Complete);
                connection.close(&stop)
            }
            Err(finished) => *finished,
        }
    })
}

async fn hold(connection: &mut Connection, bytes: u64, ready: Ready, mut told: Told) -> Result<(), Stop> {
    connection.send(bytes).await?;
    connection.receive(bytes).await?;
    ready.now();
    tokio::select! {
        stop = connection.receive_until_stop(None) => return Err(stop),
        () = told.heard() => {}
    }
    connection.send(bytes * 2).await?;
    match connection.receive_all().await {
        Stop::Complete => Ok(()),
        stop => Err(stop),
    }
}

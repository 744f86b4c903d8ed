//! A connection that takes turns all through the event.

use super::{Held, Ready, Told};
use crate::clients::ClientContext;
use crate::clients::connection::Connection;
use crate::clients::payload::Payload;
use crate::clients::pingpong::PingPong;
use crate::clients::recording::Stop;
use crate::clients::turns::{Pace, Turns};

/// Takes turns until it is told to finish, and finishes the one that it is in; `plan.iterations` is how many at the most.
/// Its record counts those as planned that it began. It is ready after the first turn.
pub fn busy(context: &ClientContext, seed: u64, stream: u64, plan: PingPong) -> Held {
    let context = context.clone();
    Held::spawn(move |ready, told| async move {
        let payload = Payload::new(seed, stream, plan.iterations * plan.bytes);
        match Connection::open(&context, "busy", payload, false).await {
            Ok(mut connection) => {
                let stop = hold(&mut connection, plan, ready, told).await.err().unwrap_or(Stop::Complete);
                connection.close(&stop)
            }
            Err(finished) => *finished,
        }
    })
}

async fn hold(connection: &mut Connection, plan: PingPong, ready: Ready, mut told: Told) -> Result<(), Stop> {
    let mut turns = Turns::new(connection, plan.bytes, Pace::Pause(plan.delay));
    for _ in 0..plan.iterations {
        tokio::select! {
            biased;
            () = told.heard() => break,
            () = turns.wait() => {}
        }
        turns.take().await?;
        ready.now();
    }
    Ok(())
}

//! Bulk transfer: a stream in both directions at once, verified as it flows.

use super::connection::Connection;
use super::payload::Payload;
use super::{ClientContext, Finished};

/// How a transfer is judged beyond the comparison of every byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransferOptions {
    /// Whether both directions get a SHA-256 digest.
    pub sha256: bool,
}

/// Connects, sends the payload while its echo comes back, closes. Needs 512 KiB and the sockets' buffers, however long the
/// payload is.
pub async fn transfer(context: &ClientContext, payload: Payload, options: TransferOptions) -> Finished {
    match Connection::open(context, "transfer", payload, options.sha256).await {
        Ok(mut connection) => {
            let stop = connection.stream_all().await;
            connection.close(&stop)
        }
        Err(finished) => *finished,
    }
}

#[cfg(test)]
mod tests;

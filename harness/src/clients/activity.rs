//! The idle deadline: how long work may go without progress.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use crate::clock::Timestamp;

/// When bytes last moved on a connection, in either direction.
#[derive(Debug, Default)]
pub(super) struct Activity(AtomicU64);

impl Activity {
    /// Bytes moved now.
    pub(super) fn touch(&self) {
        self.0.store(Timestamp::now().0, Ordering::Relaxed);
    }

    /// How long nothing has moved.
    pub(super) fn quiet(&self) -> Duration {
        Timestamp::now().since(Timestamp(self.0.load(Ordering::Relaxed)))
    }

    /// Does the work, unless nothing moves for as long as `idle`: then `None`. One timer serves many reads and writes.
    pub(super) async fn within<T>(&self, idle: Duration, work: impl Future<Output = T>) -> Option<T> {
        self.touch();
        let mut work = pin!(work);
        loop {
            let left = idle.checked_sub(self.quiet()).filter(|left| !left.is_zero())?;
            if let Ok(done) = timeout(left, &mut work).await {
                return Some(done);
            }
        }
    }
}

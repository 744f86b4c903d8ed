//! The idle deadline: how long work may go without progress.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use crate::clock::Timestamp;

/// When bytes last moved on a connection, in either direction, and how long it stood still before that.
#[derive(Debug, Default)]
pub(super) struct Activity {
    last: AtomicU64,
    /// In ns, and when it was over.
    longest_silence: AtomicU64,
    silent_until: AtomicU64,
}

impl Activity {
    /// Bytes moved now.
    pub(super) fn touch(&self) {
        let now = Timestamp::now();
        let silence = now.0.saturating_sub(self.last.swap(now.0, Ordering::Relaxed));
        if silence > self.longest_silence.fetch_max(silence, Ordering::Relaxed) {
            self.silent_until.store(now.0, Ordering::Relaxed);
        }
    }

    /// The longest time in which bytes should have moved and none did, after which they moved again, and when that was.
    pub(super) fn longest_silence(&self) -> (Duration, Timestamp) {
        let longest = Duration::from_nanos(self.longest_silence.load(Ordering::Relaxed));
        (longest, Timestamp(self.silent_until.load(Ordering::Relaxed)))
    }

    /// How long nothing has moved.
    pub(super) fn quiet(&self) -> Duration {
        Timestamp::now().since(Timestamp(self.last.load(Ordering::Relaxed)))
    }

    /// Does the work, unless nothing moves for as long as `idle`: then `None`. One timer serves many reads and writes.
    pub(super) async fn within<T>(&self, idle: Duration, work: impl Future<Output = T>) -> Option<T> {
        // That nothing moved until now is the client's own doing.
        self.last.store(Timestamp::now().0, Ordering::Relaxed);
        let mut work = pin!(work);
        loop {
            let left = idle.checked_sub(self.quiet()).filter(|left| !left.is_zero())?;
            if let Ok(done) = timeout(left, &mut work).await {
                return Some(done);
            }
        }
    }
}

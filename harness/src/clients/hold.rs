//! Connections that are held through an event - a failover - and classified by how they end.
//!
//! Each runs as a task of its own: wait until it is [`ready`](Held::ready), provoke the event, then let it
//! [`finish`](Held::finish). The outcome says what became of it: [`Ok`](crate::history::Outcome::Ok) it survived,
//! [`ClosedEarly`](crate::history::Outcome::ClosedEarly) a clean end of the stream, [`Reset`](crate::history::Outcome::Reset),
//! [`Timeout`](crate::history::Outcome::Timeout) it hung, [`Corrupt`](crate::history::Outcome::Corrupt) what came is not a
//! prefix of what was sent.

use std::future::Future;
use std::panic::resume_unwind;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Finished;

mod backpressured;
mod busy;
mod connecting;
mod half_closed;
mod idle;

pub use backpressured::backpressured;
pub use busy::busy;
pub use connecting::{Connecting, connecting};
pub use half_closed::half_closed;
pub use idle::idle;

/// One or more connections that are being held. Dropped before [`finish`](Self::finish), they end as cancelled.
pub struct Held<T = Finished> {
    ready: watch::Receiver<bool>,
    stop: watch::Sender<bool>,
    task: JoinHandle<T>,
}

impl<T: Send + 'static> Held<T> {
    fn spawn<F>(hold: impl FnOnce(Ready, Told) -> F) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (is_ready, ready) = watch::channel(false);
        let (stop, told) = watch::channel(false);
        Self { ready, stop, task: tokio::spawn(hold(Ready(is_ready), Told(told))) }
    }

    /// Waits until it is in the state that it is to be held in; false when it ended before that.
    pub async fn ready(&mut self) -> bool {
        self.ready.wait_for(|ready| *ready).await.is_ok()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Tells it to come to its end, which takes the idle deadline at the most without progress, and returns how it ended.
    pub async fn finish(mut self) -> T {
        self.stop.send_replace(true);
        // The handle stays where it is while it is awaited: dropped meanwhile, the task is aborted.
        match (&mut self.task).await {
            Ok(result) => return result,
            Err(error) => {
                if let Ok(panic) = error.try_into_panic() {
                    resume_unwind(panic);
                }
            }
        }
        // Only a runtime that shuts down cancels a task, and this future with it.
        std::future::pending().await
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// By which a task says that it is ready.
struct Ready(watch::Sender<bool>);

impl Ready {
    fn now(&self) {
        self.0.send_replace(true);
    }
}

/// By which a task hears that it is to come to its end.
struct Told(watch::Receiver<bool>);

impl Told {
    async fn heard(&mut self) {
        if self.0.wait_for(|stop| *stop).await.is_err() {
            // Nobody is left to tell it: the task is being aborted.
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests;

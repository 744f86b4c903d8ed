//! The way of all streams of a process under the fault slows-tenfold: one narrow line.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The least time that a piece of a stream takes. A round trip through the correct tunnel takes 0.3 ms on two cores, as the suite's
/// clients see it, and the runtime's timers add about a millisecond to this.
const PIECE: Duration = Duration::from_millis(2);
/// Bytes a second of all streams together: the correct tunnel carries 200 to 270 MB/s on two cores.
const RATE: f64 = 25e6;

/// A line that carries one piece after the other.
#[derive(Debug)]
pub(super) struct Line {
    /// When it has carried all that it was given.
    free: Mutex<Instant>,
}

impl Default for Line {
    fn default() -> Self {
        Self { free: Mutex::new(Instant::now()) }
    }
}

impl Line {
    /// Carries so many bytes after those before them: how long that takes from now.
    pub(super) fn carry(&self, bytes: usize) -> Duration {
        let now = Instant::now();
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        *free = (*free).max(now) + Duration::from_secs_f64(bytes as f64 / RATE);
        (*free - now).max(PIECE)
    }
}

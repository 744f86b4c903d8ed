//! The way of all streams of a process under the fault slows-tenfold: one narrow line.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    sync::{Mutex, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// The least time that a piece of a stream takes. A round trip through the correct tunnel takes 0.3 ms on two cores, as the suite's
/// clients see it, and the runtime's timers add about a millisecond to this.
const PIECE: Duration = Duration::from_millis(2);
/// Bytes a second of all streams together: the correct tunnel carries 200 to 270 MB/s on two cores.
const RATE: f64 = 25e6;
/// A byte goes from one thread to another and back in 7 to 8 us on two cores. Where that takes longer, on an emulated CPU, the
/// correct tunnel is slower as well, and all this takes as many times as long; within reason.
const ROUND_TRIP: Duration = Duration::from_micros(8);
const SLOWEST: f64 = 20.0;

/// A line that carries one piece after the other.
#[derive(Debug)]
pub(super) struct Line {
    /// When it has carried all that it was given.
    free: Mutex<Instant>,
    /// How many times as long as on two cores it takes; measured when the first piece comes.
    slower: OnceLock<f64>,
}

impl Default for Line {
    fn default() -> Self {
        Self { free: Mutex::new(Instant::now()), slower: OnceLock::new() }
    }
}

impl Line {
    /// Carries so many bytes after those before them: how long that takes from now.
    pub(super) fn carry(&self, bytes: usize) -> Duration {
        let measured = || round_trip().map_or(1.0, |least| least.div_duration_f64(ROUND_TRIP).clamp(1.0, SLOWEST));
        let slower = *self.slower.get_or_init(measured);
        let now = Instant::now();
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        *free = (*free).max(now) + Duration::from_secs_f64(bytes as f64 / RATE * slower);
        (*free - now).max(PIECE.mul_f64(slower))
    }
}

/// The least time in which a byte goes to another thread and back, through sockets that nobody else sees.
fn round_trip() -> io::Result<Duration> {
    const ROUNDS: usize = 50;
    let (mut here, mut there) = UnixStream::pair()?;
    let echo = thread::Builder::new().spawn(move || -> io::Result<()> {
        let mut byte = [0];
        for _ in 0..ROUNDS {
            there.read_exact(&mut byte)?;
            there.write_all(&byte)?;
        }
        Ok(())
    })?;
    let mut least = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        here.write_all(&[1])?;
        here.read_exact(&mut [0])?;
        least = least.min(start.elapsed());
    }
    let _ = echo.join();
    Ok(least)
}

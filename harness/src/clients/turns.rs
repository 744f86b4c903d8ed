//! Turns: a message goes out, its echo comes back, and only then the next one goes out.

use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::{Instant, sleep, sleep_until};

use super::connection::Connection;
use super::recording::Stop;
use crate::clock::Timestamp;
use crate::history::Iterations;

/// The range of round-trip times, in ns: 1 us to 60 s, three digits. Others count as the nearest of these.
const RTT_NS: (u64, u64, u8) = (1_000, 60_000_000_000, 3);

/// When the next message goes out.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// This long after the last echo.
    Pause(Duration),
    /// By a schedule from the first message on. A message whose time has passed goes out at once.
    Period(Duration),
}

/// Turns on a connection, whose payload is the messages one after the other.
pub(super) struct Turns<'a> {
    connection: &'a mut Connection,
    bytes: u64,
    pace: Pace,
    begin: Instant,
    taken: u64,
}

impl<'a> Turns<'a> {
    /// Messages of `bytes` each.
    pub(super) fn new(connection: &'a mut Connection, bytes: u64, pace: Pace) -> Self {
        let (least, most, digits) = RTT_NS;
        connection.recording.rtt = Histogram::new_with_bounds(least, most, digits).ok();
        connection.recording.iterations = Some(Iterations { planned: 0, ok: 0 });
        Self { connection, bytes, pace, begin: Instant::now(), taken: 0 }
    }

    /// Takes `count` turns, unless the connection stops.
    pub(super) async fn take_all(mut self, count: u64) -> Stop {
        self.iterations().planned = count;
        for _ in 0..count {
            self.wait().await;
            if let Err(stop) = self.take().await {
                return stop;
            }
        }
        Stop::Complete
    }

    /// Waits until the next turn is due.
    pub(super) async fn wait(&self) {
        match self.pace {
            // The runtime's clock ticks in ms: a sleep of no time would last until the next tick.
            Pace::Pause(pause) if self.taken > 0 && !pause.is_zero() => sleep(pause).await,
            Pace::Pause(_) => {}
            Pace::Period(period) => {
                let periods = u32::try_from(self.taken).unwrap_or(u32::MAX);
                sleep_until(self.begin + period.saturating_mul(periods)).await;
            }
        }
    }

    /// Takes the next turn. One whose echo is wrong is taken too, and is not counted as ok.
    pub(super) async fn take(&mut self) -> Result<(), Stop> {
        self.taken += 1;
        let taken = self.taken;
        let planned = &mut self.iterations().planned;
        *planned = taken.max(*planned);

        let end = self.taken * self.bytes;
        let anomalies = self.connection.recording.incoming.anomaly_count();
        let began = Timestamp::now();
        self.connection.send(end).await?;
        self.connection.receive(end).await?;
        let rtt = Timestamp::now().since(began);

        let recording = &mut self.connection.recording;
        recording.incoming.finish(end);
        if recording.incoming.in_step() && recording.incoming.anomaly_count() == anomalies {
            if let Some(histogram) = &mut recording.rtt {
                histogram.saturating_record(u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX));
            }
            self.iterations().ok += 1;
        }
        Ok(())
    }

    fn iterations(&mut self) -> &mut Iterations {
        self.connection.recording.iterations.get_or_insert(Iterations { planned: 0, ok: 0 })
    }
}

//! What happens to a stream's bytes on the way from port to backend: nothing, unless a data fault is on.

mod line;

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;

use crate::fault::{Fault, Faults};
use line::Line;

/// Offset, in a stream, at which [`Fault::StallsStream`] and [`Fault::Stalls10s`] act.
const STALL: u64 = 50_000;
/// For how long [`Fault::Stalls10s`] stops a stream.
const PAUSE: Duration = Duration::from_secs(10);
/// Offset, in a stream, of the first byte that the other data faults touch.
const FIRST: u64 = 100_000;
/// Where the chunk ends that is lost, doubled or exchanged with the next.
const SECOND: u64 = FIRST + CHUNK;
/// Where the next chunk ends.
const THIRD: u64 = SECOND + CHUNK;
/// Bytes of a chunk.
const CHUNK: u64 = 1000;

/// The data faults of a process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tampering {
    faults: Faults,
    line: Arc<Line>,
}

impl Tampering {
    /// Those of `faults`.
    pub(crate) fn new(faults: Faults) -> Self {
        Self { faults, line: Arc::default() }
    }

    /// For a stream at its start.
    pub(crate) fn stream(&self) -> Tamper {
        Tamper { faults: self.faults, line: self.line.clone(), carried: 0, held: BytesMut::new() }
    }
}

/// The data fault of one stream, with the stream's position.
#[derive(Debug)]
pub(crate) struct Tamper {
    faults: Faults,
    line: Arc<Line>,
    /// Bytes taken from the port so far.
    carried: u64,
    /// Bytes that go out later.
    held: BytesMut,
}

/// Whether a stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// At once.
    On,
    /// After this time.
    After(Duration),
    /// The stream ends here.
    End,
}

impl Tamper {
    /// How many bytes may be read from the port at once, so that a fault acts on the same bytes however they come in; 0 means that the
    /// stream carries no more, for good.
    pub(crate) fn room(&self) -> usize {
        let cuts: &[u64] = match self.faults.on() {
            Some(Fault::StallsStream) if self.carried >= STALL => return 0,
            Some(Fault::StallsStream | Fault::Stalls10s) => &[STALL],
            Some(Fault::CorruptsOneByte | Fault::Truncates) => &[FIRST],
            Some(Fault::DropsChunk | Fault::DuplicatesChunk) => &[FIRST, SECOND],
            Some(Fault::ReordersChunks) => &[FIRST, SECOND, THIRD],
            _ => &[],
        };
        let next = cuts.iter().find(|cut| **cut > self.carried);
        next.and_then(|cut| usize::try_from(cut - self.carried).ok()).unwrap_or(usize::MAX)
    }

    /// Passes the stream's next bytes, at most as many as there is room for: `payload` becomes what goes out now, perhaps nothing.
    pub(crate) fn pass(&mut self, payload: &mut BytesMut) -> Flow {
        let start = self.carried;
        self.carried += payload.len() as u64;
        match self.faults.on() {
            Some(Fault::Truncates) if start >= FIRST => {
                payload.clear();
                return Flow::End;
            }
            Some(Fault::CorruptsOneByte) if start == FIRST => {
                if let Some(byte) = payload.first_mut() {
                    *byte ^= 1;
                }
            }
            Some(Fault::DropsChunk) if (FIRST..SECOND).contains(&start) => payload.clear(),
            Some(Fault::DuplicatesChunk) if (FIRST..SECOND).contains(&start) => {
                self.held.extend_from_slice(payload);
                self.release_at(SECOND, payload);
            }
            Some(Fault::ReordersChunks) if (FIRST..SECOND).contains(&start) => {
                self.held.extend_from_slice(payload);
                payload.clear();
            }
            Some(Fault::ReordersChunks) if (SECOND..THIRD).contains(&start) => self.release_at(THIRD, payload),
            Some(Fault::Stalls10s) if start == STALL => return Flow::After(PAUSE),
            Some(Fault::SlowsTenfold) => return Flow::After(self.line.carry(payload.len())),
            _ => {}
        }
        Flow::On
    }

    /// What is still held when the port has sent its last.
    pub(crate) fn rest(&mut self) -> BytesMut {
        self.held.split()
    }

    fn release_at(&mut self, offset: u64, payload: &mut BytesMut) {
        if self.carried == offset {
            payload.extend_from_slice(&self.held.split());
        }
    }
}

#[cfg(test)]
mod tests;

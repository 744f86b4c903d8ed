//! What happens to a stream's bytes on the way from port to backend: nothing, unless a data fault is on.

use crate::fault::{Fault, Faults};

/// Offset, in a stream, of the byte that [`Fault::CorruptsOneByte`] changes.
const CORRUPT_OFFSET: u64 = 100_000;
/// Bytes that a stream carries under [`Fault::StallsStream`].
const STALL_OFFSET: u64 = 50_000;

/// The data fault of one stream, with the stream's position.
#[derive(Debug)]
pub(crate) struct Tamper {
    faults: Faults,
    carried: u64,
}

impl Tamper {
    /// At the start of a stream.
    pub(crate) fn new(faults: Faults) -> Self {
        Self { faults, carried: 0 }
    }

    /// How many bytes may still be read from the port; 0 means that the stream carries no more, for good.
    pub(crate) fn room(&self) -> usize {
        if self.faults.has(Fault::StallsStream) {
            usize::try_from(STALL_OFFSET.saturating_sub(self.carried)).unwrap_or(usize::MAX)
        } else {
            usize::MAX
        }
    }

    /// Passes the stream's next bytes, changed where the fault wants it.
    pub(crate) fn pass(&mut self, payload: &mut [u8]) {
        let start = self.carried;
        self.carried += payload.len() as u64;
        if self.faults.has(Fault::CorruptsOneByte)
            && let Some(offset) = CORRUPT_OFFSET.checked_sub(start)
            && let Some(byte) = usize::try_from(offset).ok().and_then(|offset| payload.get_mut(offset))
        {
            *byte ^= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(faults: Faults, chunk: usize) -> Vec<u8> {
        let mut bytes = vec![0; 200_000];
        let mut tamper = Tamper::new(faults);
        bytes.chunks_mut(chunk).for_each(|chunk| tamper.pass(chunk));
        bytes
    }

    #[test]
    fn changes_nothing_without_a_fault() {
        assert!(passed(Faults::default(), 4096).iter().all(|byte| *byte == 0));
        assert_eq!(Tamper::new(Faults::default()).room(), usize::MAX);
    }

    #[test]
    fn corrupts_exactly_one_bit_however_the_stream_is_cut() {
        for chunk in [1, 7, 4096, 65536, 100_000, 100_001, 200_000] {
            let bytes = passed(Faults::new(Some(Fault::CorruptsOneByte)), chunk);
            assert_eq!(bytes[100_000], 1, "chunks of {chunk}");
            assert_eq!(bytes.iter().filter(|byte| **byte != 0).count(), 1, "chunks of {chunk}");
        }
    }

    #[test]
    fn stalls_at_its_offset() {
        let mut tamper = Tamper::new(Faults::new(Some(Fault::StallsStream)));
        tamper.pass(&mut [0; 49_999]);
        assert_eq!(tamper.room(), 1);
        tamper.pass(&mut [0; 1]);
        assert_eq!(tamper.room(), 0);
    }
}

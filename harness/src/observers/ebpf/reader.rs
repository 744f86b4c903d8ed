//! The reader: empties the ring into the history, and watches for sentinels.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use aya::maps::{MapData, RingBuf};
use aya_log::EbpfLogger;

use super::decode::{Decoded, decode};
use super::load::Sources;
use crate::clock::Timestamp;
use crate::history::{Event, Record, Recorder, Source, TcpState};
use crate::observers::fence::TakesSentinels;
use crate::observers::reader::{Control, Reads};

/// Records that are appended at once, at the most.
const BATCH: usize = 256;

/// Entries that are read before the reader looks for orders: more than the largest ring in use can hold (4 MiB), so that a
/// round reads all that was there when it began, and comes to its end however fast new ones arrive.
const ROUND: usize = 1 << 17;

/// Reads the ring.
pub(super) struct Reader {
    ring: RingBuf<MapData>,
    logger: Option<EbpfLogger<&'static dyn log::Log>>,
    recorder: Recorder,
    /// The thread whose sockets are sentinels.
    fence_tid: u32,
    /// Entries that could not be decoded.
    garbage: u64,
    /// A sentinel, which did listen, was not taken for one that was refused: this kernel marks those that listen as it
    /// always did.
    knows_refusals: bool,
}

/// What came of a round.
enum Read {
    /// In batches.
    Records(Vec<Record>),
    /// A sentinel has closed: by then its CPU has run everything that came before.
    Sentinel { cpu: u32, at: Timestamp },
}

impl Reader {
    /// Sentinels are the sockets of thread `fence_tid`.
    pub(super) fn new(sources: Sources, recorder: Recorder, fence_tid: u32) -> Self {
        let Sources { ring, logger } = sources;
        Self { ring, logger, recorder, fence_tid, garbage: 0, knows_refusals: false }
    }

    /// Reads what the ring held at the call and some more.
    pub(super) fn drain(&mut self, mut append: impl FnMut(Vec<Record>)) {
        self.read(|read| {
            if let Read::Records(records) = read {
                append(records);
            }
        });
    }

    /// Entries that could not be decoded so far.
    pub(super) fn garbage(&self) -> u64 {
        self.garbage
    }

    fn read(&mut self, mut take: impl FnMut(Read)) {
        let mut batch = Vec::new();
        for _ in 0..ROUND {
            let Some(entry) = self.ring.next() else { break };
            match decode(&entry) {
                Ok(mut decoded) => match Sentinel::of(&decoded, self.fence_tid) {
                    Some(Sentinel::Opened) => {}
                    Some(Sentinel::Closed) => {
                        // Who waits for the sentinel takes it for granted that all that is older is there.
                        take(Read::Records(std::mem::take(&mut batch)));
                        self.knows_refusals = !is_refusal(&decoded.record);
                        take(Read::Sentinel { cpu: decoded.cpu, at: decoded.record.at });
                    }
                    None => {
                        doubt_refusal(&mut decoded.record, self.knows_refusals);
                        batch.push(decoded.record);
                    }
                },
                Err(garbage) => {
                    tracing::error!("an entry of the ring is not understood: {garbage}");
                    self.garbage += 1;
                }
            }
            // The entry's room in the ring is free again before anybody waits for the disk.
            drop(entry);
            if batch.len() == BATCH {
                take(Read::Records(std::mem::replace(&mut batch, Vec::with_capacity(BATCH))));
            }
        }
        take(Read::Records(batch));
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }
}

impl Reads for Reader {
    /// Entries that could not be decoded.
    type Told = u64;

    const OBSERVER: &'static str = "ebpf";
    const SOURCE: Source = Source::Ebpf;
    const WHAT: &'static str = "the reader of the ring";
    /// By itself, since the programs wake it only when the ring fills up.
    const EVERY: Duration = Duration::from_millis(10);

    fn round(&mut self, control: &Control<u64>) -> io::Result<()> {
        let recorder = self.recorder.clone();
        self.read(|read| match read {
            Read::Records(records) => recorder.append_all(records),
            Read::Sentinel { cpu, at } => control.awaited(|awaited| {
                if at >= awaited.began {
                    awaited.came(cpu);
                }
            }),
        });
        control.tell(self.garbage);
        Ok(())
    }

    fn last_round(&mut self, control: &Control<u64>) -> io::Result<()> {
        self.round(control)
    }

    fn readable(&self) -> Option<BorrowedFd<'_>> {
        Some(self.ring.as_fd())
    }
}

/// Takes nobody for refused before it is known that this can be told.
fn doubt_refusal(record: &mut Record, knows_refusals: bool) {
    if let Event::SocketState(change) = &mut record.event {
        change.refused &= knows_refusals;
    }
}

fn is_refusal(record: &Record) -> bool {
    matches!(&record.event, Event::SocketState(change) if change.refused)
}

/// What the fence's thread does with its listeners.
#[derive(Debug, PartialEq, Eq)]
enum Sentinel {
    Opened,
    Closed,
}

impl Sentinel {
    /// None for everything else: a connection goes on in interrupts too, in the name of whatever thread was running, be
    /// it the fence's.
    fn of(decoded: &Decoded, fence_tid: u32) -> Option<Self> {
        match &decoded.record.event {
            Event::SocketState(change) if decoded.tid == fence_tid => match (change.from, change.to) {
                (TcpState::Close, TcpState::Listen) => Some(Self::Opened),
                (TcpState::Listen, TcpState::Close) => Some(Self::Closed),
                _ => None,
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::endpoint::{SocketId, Tgid};
    use crate::history::{Process, SocketState};

    #[test]
    fn only_listeners_of_the_fence_s_thread_are_sentinels() {
        let sentinel = |tid, from, to| {
            let process = Process { tgid: Tgid(1), tid, comm: "ebpf-fence".into() };
            let local = "127.0.0.1:1".parse().unwrap();
            let (socket, remote) = (SocketId(1), None);
            let change =
                SocketState { socket, netns: 1, local, remote, from, to, ipv6_only: false, refused: false, process };
            let event = Event::SocketState(change);
            let record = Record { at: Timestamp(1), uncertainty_ns: 0, source: Source::Ebpf, event };
            Sentinel::of(&Decoded { record, tid, cpu: 0 }, 7)
        };
        assert_eq!(sentinel(7, TcpState::Close, TcpState::Listen), Some(Sentinel::Opened));
        assert_eq!(sentinel(7, TcpState::Listen, TcpState::Close), Some(Sentinel::Closed));
        assert_eq!(sentinel(8, TcpState::Listen, TcpState::Close), None);
        // What an interrupt does to connections while the thread runs.
        assert_eq!(sentinel(7, TcpState::FinWait2, TcpState::Close), None);
        assert_eq!(sentinel(7, TcpState::Listen, TcpState::SynRecv), None);
    }
}

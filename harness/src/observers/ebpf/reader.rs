//! The reader: a thread that empties the ring into the history, watches for sentinels, and never dies unnoticed.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use aya::maps::{MapData, RingBuf};
use aya_log::EbpfLogger;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::time::Timespec;

use super::decode::{Decoded, decode};
use crate::clock::Timestamp;
use crate::history::{Event, ObserverChange, Record, Recorder, Source, TcpState};

/// The reader looks at the ring this often by itself, since the programs wake it only when the ring fills up.
const INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// Records that are appended at once, at the most.
const BATCH: usize = 256;

/// Entries that are read before the reader looks for orders: more than the largest ring in use can hold (4 MiB), so that a
/// round reads all that was there when it began, and comes to its end however fast new ones arrive.
const ROUND: usize = 1 << 17;

const RUN: u8 = 0;
const PAUSE: u8 = 1;
const STOP: u8 = 2;
const FAIL: u8 = 3;
const PANIC: u8 = 4;

/// What the reader and the observer share.
pub(super) struct Shared {
    kick: OwnedFd,
    order: AtomicU8,
    /// The thread whose sockets are sentinels.
    fence_tid: AtomicU32,
    /// Entries that could not be decoded.
    garbage: AtomicU64,
    /// A sentinel, which did listen, was not taken for one that was refused: this kernel marks those that listen as it
    /// always did.
    knows_refusals: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// When the last sentinel of each CPU was stamped.
    sentinels: BTreeMap<u32, Timestamp>,
    /// The reader has seen that it is to pause, and has left the ring.
    paused: bool,
    dead: Option<String>,
}

impl Shared {
    pub(super) fn new(fence_tid: u32) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            kick: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            order: AtomicU8::new(RUN),
            fence_tid: AtomicU32::new(fence_tid),
            garbage: AtomicU64::new(0),
            knows_refusals: AtomicBool::new(false),
            state: Mutex::default(),
            changed: Condvar::new(),
        }))
    }

    /// Makes the reader look at the ring now.
    pub(super) fn kick(&self) {
        // Only a counter at its maximum refuses, and then the reader is awake.
        let _ = rustix::io::write(&self.kick, &1_u64.to_ne_bytes());
    }

    /// Lets the reader go on, or pause: then it has left the ring on return.
    pub(super) fn pause(&self, paused: bool) {
        self.state().paused = false;
        self.give(if paused { PAUSE } else { RUN });
        if paused {
            let waited = self.changed.wait_while(self.state(), |state| !state.paused && state.dead.is_none());
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }

    pub(super) fn fail(&self) {
        self.give(FAIL);
    }

    pub(super) fn panic(&self) {
        self.give(PANIC);
    }

    fn give(&self, order: u8) {
        self.order.store(order, Ordering::SeqCst);
        self.kick();
    }

    /// Entries that could not be decoded so far.
    pub(super) fn garbage(&self) -> u64 {
        self.garbage.load(Ordering::Relaxed)
    }

    /// Those of `cpus` whose sentinel of `began` or later has come.
    pub(super) fn returned(&self, cpus: &[u32], began: Timestamp) -> Vec<u32> {
        let state = self.state();
        cpus.iter().copied().filter(|cpu| state.sentinels.get(cpu).is_some_and(|at| *at >= began)).collect()
    }

    /// Waits for news of sentinels; an error says why the reader is dead.
    pub(super) fn wait(&self, cpus: &[u32], began: Timestamp, time: Duration) -> Result<(), String> {
        let missing = |state: &mut State| {
            state.dead.is_none() && !cpus.iter().all(|cpu| state.sentinels.get(cpu).is_some_and(|at| *at >= began))
        };
        let waited = self.changed.wait_timeout_while(self.state(), time, missing);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.dead.clone().map_or(Ok(()), Err)
    }

    /// Why the reader is dead, if it is.
    pub(super) fn death(&self) -> Option<String> {
        self.state().dead.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the ring.
pub(super) struct Reader {
    pub(super) ring: RingBuf<MapData>,
    pub(super) logger: Option<EbpfLogger<&'static dyn log::Log>>,
    pub(super) shared: Arc<Shared>,
}

impl Reader {
    /// Reads what the ring held at the call and some more; records come in batches, sentinels are noted and left out.
    pub(super) fn drain(&mut self, mut append: impl FnMut(Vec<Record>)) {
        let fence_tid = self.shared.fence_tid.load(Ordering::Relaxed);
        let mut batch = Vec::new();
        for _ in 0..ROUND {
            let Some(entry) = self.ring.next() else { break };
            match decode(&entry) {
                Ok(mut decoded) => match Sentinel::of(&decoded, fence_tid) {
                    Some(Sentinel::Opened) => {}
                    Some(Sentinel::Closed) => {
                        // Who waits for the sentinel takes it for granted that all that is older is there.
                        append(std::mem::take(&mut batch));
                        self.shared.knows_refusals.store(!is_refusal(&decoded.record), Ordering::Relaxed);
                        self.shared.note(decoded.cpu, decoded.record.at);
                    }
                    None => {
                        self.shared.doubt_refusal(&mut decoded.record);
                        batch.push(decoded.record);
                    }
                },
                Err(garbage) => {
                    tracing::error!("an entry of the ring is not understood: {garbage}");
                    self.shared.garbage.fetch_add(1, Ordering::Relaxed);
                }
            }
            // The entry's room in the ring is free again before anybody waits for the disk.
            drop(entry);
            if batch.len() == BATCH {
                append(std::mem::replace(&mut batch, Vec::with_capacity(BATCH)));
            }
        }
        append(batch);
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }

    /// Goes on in a thread of its own until it is told to stop; any other end is recorded as the observer's death.
    pub(super) fn spawn(self, recorder: Recorder) -> io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("ebpf-reader".into()).spawn(move || {
            let shared = Arc::clone(&self.shared);
            let reason = match catch_unwind(AssertUnwindSafe(|| self.run(&recorder))) {
                Ok(Ok(())) => return,
                Ok(Err(error)) => format!("the reader of the ring failed: {error}"),
                Err(_) => "the reader of the ring panicked".to_owned(),
            };
            tracing::error!("the ebpf observer died: {reason}");
            recorder.record(Source::Ebpf, Event::Observer(ObserverChange::Died { reason: reason.clone() }));
            shared.state().dead = Some(reason);
            shared.changed.notify_all();
        })
    }

    fn run(mut self, recorder: &Recorder) -> io::Result<()> {
        loop {
            let order = self.shared.order.load(Ordering::SeqCst);
            match order {
                FAIL => return Err(io::Error::other("it was told to fail")),
                PANIC => panic!("it was told to panic"),
                PAUSE => self.shared.note_paused(),
                _ => self.drain(|records| recorder.append_all(records)),
            }
            if order == STOP {
                return Ok(());
            }
            let kick = PollFd::new(&self.shared.kick, PollFlags::IN);
            let mut watched = [kick, PollFd::from_borrowed_fd(self.ring.as_fd(), PollFlags::IN)];
            // A paused reader does not look at the ring, or it would spin on what it does not read.
            let watched = if order == PAUSE { &mut watched[..1] } else { &mut watched[..] };
            match poll(watched, Some(&INTERVAL)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let mut count = [0; 8];
            // Nothing to read means that it was not a kick.
            let _ = rustix::io::read(&self.shared.kick, &mut count);
        }
    }
}

impl Shared {
    /// Ends the reader after it has emptied the ring once more.
    pub(super) fn stop(&self) {
        self.give(STOP);
    }

    /// Takes nobody for refused before it is known that this can be told.
    fn doubt_refusal(&self, record: &mut Record) {
        if let Event::SocketState(change) = &mut record.event
            && change.refused
        {
            change.refused = self.knows_refusals.load(Ordering::Relaxed);
        }
    }

    fn note_paused(&self) {
        self.state().paused = true;
        self.changed.notify_all();
    }

    /// A sentinel has closed: by then its CPU has run everything that came before.
    fn note(&self, cpu: u32, at: Timestamp) {
        self.state().sentinels.insert(cpu, at);
        self.changed.notify_all();
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

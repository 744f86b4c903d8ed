//! From the events of all rings to records in the order of time.
//!
//! Each ring is in order, and all of them only once the slowest has been read: events are held back for a while, then taken
//! in the order of their stamps, because what a descriptor or a thread is depends on what came before.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::fds::{Socket, Table};
use super::tree::Tree;
use super::wire::{Call, Event as ScapEvent, What};
use super::{Lie, READINGS};
use crate::clock::{Alignment, Timestamp};
use crate::endpoint::Endpoint;
use crate::history::{Event, Record, Source, Syscall, SyscallPhase, Tuple};
use crate::observers::procfs;

/// How long events are held back: longer than a CPU takes from stamping one to writing it, unless it is stopped in between.
pub(super) const HOLD_BACK: Duration = Duration::from_millis(20);

/// Events from before realtime was set come for so long at the most.
const OLD_STAMPS: Duration = Duration::from_secs(1);

/// All that is known, and all that is held back.
pub(super) struct Pipeline {
    clock: Alignment,
    stepped: Option<Timestamp>,
    /// Read in this round.
    fresh: Vec<ScapEvent>,
    /// By time and the order of reading.
    held: BTreeMap<(Timestamp, u64), Held>,
    taken: u64,
    pub(super) tree: Tree,
    pub(super) fds: Table,
    /// Calls that have been entered, by thread.
    entered: HashMap<u32, Call>,
    /// The thread whose calls are sentinels.
    fence_tid: u32,
    /// The last sentinel of each ring.
    sentinels: Vec<i64>,
    /// From when on calls are recorded.
    since: Option<Timestamp>,
    /// Events that could not be decoded.
    pub(super) garbage: u64,
    /// CPUs that came or went.
    pub(super) hotplugs: u64,
    /// Whether the module may have lost a clone.
    pub(super) births_lost: bool,
    /// Calls of threads of which nobody knows whose they were.
    pub(super) strangers: u64,
    lie: Option<Lie>,
    lies: u64,
}

struct Held {
    event: ScapEvent,
    uncertainty_ns: u64,
}

impl Pipeline {
    /// For so many rings; the calls of thread `fence_tid` are sentinels.
    pub(super) fn new(clock: Alignment, rings: usize, fence_tid: u32, lie: Option<Lie>) -> Self {
        Self {
            clock,
            stepped: None,
            fresh: Vec::new(),
            held: BTreeMap::new(),
            taken: 0,
            tree: Tree::default(),
            fds: Table::default(),
            entered: HashMap::new(),
            fence_tid,
            sentinels: vec![-1; rings],
            since: None,
            garbage: 0,
            hotplugs: 0,
            births_lost: false,
            strangers: 0,
            lie,
            lies: 0,
        }
    }

    /// Calls from now on are recorded; earlier ones only taught what is what.
    pub(super) fn record_from(&mut self, since: Timestamp) {
        self.since = Some(since);
    }

    /// What is not known of the difference between the clocks, in ns.
    pub(super) fn uncertainty_ns(&self) -> u64 {
        self.clock.uncertainty_ns()
    }

    /// The number of the last sentinel that came from a ring; -1 before the first.
    pub(super) fn sentinel(&self, ring: usize) -> i64 {
        self.sentinels.get(ring).copied().unwrap_or(-1)
    }

    /// Takes an event as it lay in a ring.
    pub(super) fn take(&mut self, ring: usize, bytes: &[u8]) {
        match ScapEvent::try_from(bytes) {
            Ok(ScapEvent { what: What::Other, .. }) => {}
            Ok(event) if event.tid == self.fence_tid => {
                if let (What::Call(Call { name: "listen", argument: Some(number), .. }), Some(last)) =
                    (&event.what, self.sentinels.get_mut(ring))
                {
                    *last = (*last).max(*number);
                }
            }
            Ok(event) => self.fresh.push(event),
            Err(garbage) => {
                tracing::error!("an event of scap is not understood: {garbage}");
                self.garbage += 1;
            }
        }
    }

    /// All rings were read once: their events get their place in time. Says so when realtime was set meanwhile.
    pub(super) fn round_ends(&mut self, now: Timestamp) -> Option<String> {
        // The clocks are read after the rings: if realtime was set before an event was stamped, that shows now.
        let step = self.clock.refine(READINGS);
        if step.is_some() {
            self.stepped = Some(now);
        } else if self.stepped.is_some_and(|at| now.since(at) > OLD_STAMPS) {
            self.clock.forget_steps();
            self.stepped = None;
        }
        for event in self.fresh.drain(..) {
            let (at, uncertainty_ns) = self.clock.monotonic(event.realtime);
            self.held.insert((at, self.taken), Held { event, uncertainty_ns });
            self.taken += 1;
        }
        step.map(|step| {
            format!(
                "the system's time was set by about {:.3} ms: within {} s of it, scap's times are as uncertain",
                step.by_ns as f64 / 1e6,
                OLD_STAMPS.as_secs()
            )
        })
    }

    /// Takes the held events up to a moment, in the order of time, and appends what is to be recorded.
    pub(super) fn release(&mut self, until: Timestamp, records: &mut Vec<Record>) {
        while let Some(entry) = self.held.first_entry() {
            if entry.key().0 > until {
                break;
            }
            let ((at, _), Held { event, uncertainty_ns }) = entry.remove_entry();
            if let Some(call) = self.happened(event)
                && self.since.is_some_and(|since| at >= since)
                && let Some((at, call)) = self.told(at, call)
            {
                records.push(Record { at, uncertainty_ns, source: Source::Scap, event: Event::Syscall(call) });
            }
        }
    }

    /// Learns from /proc what was there before there were events.
    pub(super) fn seed(&mut self) -> std::io::Result<()> {
        for thread in procfs::threads()? {
            self.tree.seed(thread.tid, thread.tgid, &thread.comm);
        }
        let followed: Vec<u32> = self.tree.followed().collect();
        for tgid in followed {
            for socket in procfs::socket_descriptors(tgid) {
                self.fds.seed(tgid, socket.fd, Socket { local: socket.local, remote: socket.remote });
            }
        }
        Ok(())
    }

    /// Learns from an event; returns the call that a followed process made.
    fn happened(&mut self, event: ScapEvent) -> Option<Syscall> {
        let tid = event.tid;
        match event.what {
            What::Call(call) => return self.called(tid, call),
            What::Cloned { result, parent, tgid, flags, comm } => {
                if let Some(born) = self.tree.cloned(tid, tgid, result, parent, flags, comm) {
                    self.fds.forked(born.parent, born.child);
                }
            }
            What::Executed { tgid, parent, comm } => {
                self.entered.remove(&tid);
                self.tree.executed(tgid, parent, comm);
                if self.tree.wanted(tgid).is_some() {
                    // What was to be closed on exec is gone; the module does not say what that was.
                    let left: Vec<i32> = procfs::socket_descriptors(tgid).iter().map(|socket| socket.fd).collect();
                    self.fds.retain(tgid, |fd| left.contains(&fd));
                }
            }
            What::Exited => {
                self.entered.remove(&tid);
                if let Some(tgid) = self.tree.exited(tid) {
                    self.fds.exited(tgid);
                }
            }
            What::Hotplug => self.hotplugs += 1,
            What::Other => {}
        }
        None
    }

    fn called(&mut self, tid: u32, mut call: Call) -> Option<Syscall> {
        if !self.tree.knows(tid) {
            self.look_up(tid);
        }
        let process = self.tree.wanted(tid)?;
        let tgid = process.tgid.0;
        if call.phase == SyscallPhase::Enter {
            self.entered.insert(tid, call.clone());
        } else if let Some(entered) = self.entered.remove(&tid).filter(|entered| entered.name == call.name) {
            // API 1 tells each thing once.
            call.fd = call.fd.or(entered.fd);
            call.argument = call.argument.or(entered.argument);
            call.address = call.address.or(entered.address);
        }
        // What bind and connect were given is told, or not known.
        let given = ["bind", "connect"].contains(&call.name);
        let known = call.fd.filter(|_| !given).and_then(|fd| self.fds.get(tgid, fd));
        self.fds.take(tgid, &call);
        Some(Syscall {
            name: call.name.into(),
            phase: call.phase,
            fd: call.fd.unwrap_or(-1),
            argument: call.argument,
            address: call.address.or(known.and_then(Socket::named)),
            tuple: call.tuple,
            process,
        })
    }

    /// A thread whose making was not told: API 1 loses a clone3 whose arguments are not in memory, and the kernel starts processes
    /// itself.
    fn look_up(&mut self, tid: u32) {
        match procfs::origin(tid) {
            Some((tgid, parent, comm)) => {
                if let Some(born) = self.tree.found(tid, tgid, parent, &comm) {
                    self.fds.forked(born.parent, born.child);
                }
            }
            // It is gone. When no clone was lost, it was none of those that are followed.
            None if self.births_lost => self.strangers += 1,
            None => {}
        }
    }

    /// The truth, unless a negative control asks for something else.
    fn told(&mut self, at: Timestamp, mut call: Syscall) -> Option<(Timestamp, Syscall)> {
        let Some(lie) = self.lie else { return Some((at, call)) };
        if let Lie::SkewedClock { by_ns } = lie {
            return Some((Timestamp(at.0.saturating_add_signed(by_ns)), call));
        }
        let is_close = call.name == "close" && matches!(call.phase, SyscallPhase::Exit(0));
        let is_accept = call.name.starts_with("accept") && matches!(call.phase, SyscallPhase::Exit(0..));
        let concerned = match lie {
            Lie::WrongFd => is_close,
            _ => is_accept,
        };
        if !concerned {
            return Some((at, call));
        }
        self.lies += 1;
        if self.lies.is_multiple_of(2) {
            return Some((at, call));
        }
        match lie {
            Lie::WrongFd => call.fd += 1,
            Lie::WrongResult => call.phase = SyscallPhase::Exit(-103),
            Lie::WrongTuple => call.tuple = call.tuple.map(misled),
            _ => return None,
        }
        Some((at, call))
    }
}

/// The same with another port at the other end.
fn misled(tuple: Tuple) -> Tuple {
    let remote = tuple.remote;
    Tuple { remote: Endpoint::new(remote.ip(), if remote.port() == 1 { 2 } else { 1 }), ..tuple }
}

#[cfg(test)]
mod tests;

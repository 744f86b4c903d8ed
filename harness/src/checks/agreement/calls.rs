//! The calls of each thread as two witnesses tell of them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::{EDGE_NS, Span};
use crate::clock::Timestamp;
use crate::history::{Event, ProcessChange, Record, Source, Syscall, SyscallPhase};

/// A call that was left, by one witness's account.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    /// The name under which it is compared: scap's API 1 has one for dup, dup2 and dup3.
    pub(super) class: &'static str,
    /// The record of its exit.
    pub(super) call: &'a Syscall,
    pub(super) result: i64,
    /// When it was entered, where the witness tells.
    pub(super) enter: Option<Timestamp>,
    pub(super) exit: Timestamp,
    pub(super) uncertainty_ns: u64,
}

impl Call<'_> {
    /// eBPF tells of these only where the descriptor is a socket.
    pub(super) fn is_of_any_file(&self) -> bool {
        ["close", "dup"].contains(&self.class)
    }

    /// Whether two accounts can be of the same call, as far as names, descriptors and results go.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let fds = [self.call.fd, other.call.fd];
        self.class == other.class && self.result == other.result && (fds[0] == fds[1] || fds.contains(&-1))
    }
}

impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Syscall { name, fd, address, tuple, process, .. } = self.call;
        write!(f, "{name}(")?;
        if *fd >= 0 {
            write!(f, "{fd}")?;
        }
        if let Some(address) = address {
            write!(f, ", {address}")?;
        }
        write!(f, ") = {}", self.result)?;
        if let Some(tuple) = tuple {
            write!(f, " ({} <-> {})", tuple.local, tuple.remote)?;
        }
        write!(f, " of {process}, thread {}, at {}", process.tid, self.exit)
    }
}

/// The calls of a thread.
#[derive(Debug, Default)]
pub(super) struct Thread<'a> {
    pub(super) tid: u32,
    /// Those that eBPF saw left, in their order.
    pub(super) ours: Vec<Call<'a>>,
    /// Those that scap saw left.
    pub(super) theirs: Vec<Call<'a>>,
    /// When eBPF saw a close_range(2) left.
    pub(super) ranges: Vec<Timestamp>,
    /// When eBPF saw a call entered.
    enters: Vec<Timestamp>,
    /// The times of all records.
    times: Vec<Timestamp>,
    /// What has been entered and not left yet, by eBPF's account and by scap's.
    open: [Option<(&'a str, Timestamp)>; 2],
}

/// Sorts calls by thread; `records` stand in the order of time.
pub(super) fn threads(records: &[Record]) -> Vec<Thread<'_>> {
    let mut threads: BTreeMap<u32, Thread<'_>> = BTreeMap::new();
    for record in records {
        let Event::Syscall(call) = &record.event else { continue };
        let thread = threads.entry(call.process.tid).or_default();
        thread.tid = call.process.tid;
        match record.source {
            Source::Ebpf => thread.take(record, call, false),
            Source::Scap => thread.take(record, call, true),
            _ => {}
        }
    }
    threads.into_values().collect()
}

impl<'a> Thread<'a> {
    fn take(&mut self, record: &Record, call: &'a Syscall, theirs: bool) {
        self.times.push(record.at);
        let open = &mut self.open[usize::from(theirs)];
        let SyscallPhase::Exit(result) = call.phase else {
            *open = Some((&call.name, record.at));
            if !theirs {
                self.enters.push(record.at);
            }
            return;
        };
        let entered = open.take().filter(|(name, _)| *name == call.name).map(|(_, at)| at);
        if call.name == "close_range" && !theirs {
            self.ranges.push(record.at);
        }
        let Some(class) = class(&call.name) else { return };
        let (exit, uncertainty_ns) = (record.at, record.uncertainty_ns);
        let call = Call { class, call, result, enter: entered, exit, uncertainty_ns };
        if theirs { self.theirs.push(call) } else { self.ours.push(call) }
    }

    /// When the thread entered its next call after a moment, by eBPF's account.
    pub(super) fn next_enter(&self, after: Timestamp) -> Option<Timestamp> {
        self.enters.get(self.enters.partition_point(|at| *at <= after)).copied()
    }

    /// Whether the other witness must have seen a call that this one saw: the thread did something before and after it in the
    /// span, or it lies well within.
    pub(super) fn is_settled(&self, call: &Call<'_>, span: Span) -> bool {
        let begins = call.enter.unwrap_or(call.exit);
        let before = self.times.partition_point(|at| *at < begins) > 0;
        let after = self.times.get(self.times.partition_point(|at| *at <= call.exit));
        let well_after = call.exit.0.saturating_sub(span.begin.0) >= EDGE_NS;
        let well_before = span.end.0.saturating_sub(call.exit.0) >= EDGE_NS;
        span.contains(call.exit) && (before || well_after) && (well_before || after.is_some_and(|at| *at <= span.end))
    }
}

fn class(name: &str) -> Option<&'static str> {
    Some(match name {
        "listen" => "listen",
        "bind" => "bind",
        "connect" => "connect",
        "accept" => "accept",
        "accept4" => "accept4",
        "shutdown" => "shutdown",
        "close" => "close",
        "dup" | "dup2" | "dup3" => "dup",
        _ => return None,
    })
}

/// Which descriptors are sockets, by eBPF's account: when that began, and until when nothing that eBPF saw has closed it.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    closed: HashMap<(u32, i32), Vec<(Timestamp, Timestamp)>>,
    open: HashMap<(u32, i32), Timestamp>,
}

impl Sockets {
    /// From records in the order of time.
    pub(super) fn by_ebpf(records: &[Record]) -> Self {
        let mut sockets = Self::default();
        for record in records.iter().filter(|record| record.source == Source::Ebpf) {
            match &record.event {
                Event::Syscall(call) => sockets.take(record.at, call),
                Event::Process(ProcessChange::Exec { process } | ProcessChange::Exit { process, .. }) => {
                    sockets.close(record.at, process.tgid.0, i32::MIN..=i32::MAX);
                }
                _ => {}
            }
        }
        sockets
    }

    /// Whether a call closed a descriptor that is a socket by eBPF's account, and still open by it.
    pub(super) fn closes(&self, call: &Call<'_>) -> bool {
        let key = (call.call.process.tgid.0, call.call.fd);
        let open = self.open.get(&key).map(|from| (*from, Timestamp(u64::MAX)));
        let spans = self.closed.get(&key).into_iter().flatten().copied().chain(open);
        call.class == "close"
            && call.result == 0
            && spans.into_iter().any(|(from, to)| from < call.exit && call.exit < to)
    }

    fn take(&mut self, at: Timestamp, call: &Syscall) {
        let tgid = call.process.tgid.0;
        match (call.name.as_str(), call.phase) {
            ("accept" | "accept4", SyscallPhase::Exit(fd @ 0..)) => self.open(at, tgid, fd as i32),
            ("listen" | "connect", SyscallPhase::Exit(0)) => self.open(at, tgid, call.fd),
            ("close", SyscallPhase::Enter) => self.close(at, tgid, call.fd..=call.fd),
            ("close_range", SyscallPhase::Enter) => {
                // The last one is an unsigned number.
                let last = call.argument.filter(|last| *last >= 0).map_or(i32::MAX, |last| last as i32);
                self.close(at, tgid, call.fd..=last);
            }
            ("dup2" | "dup3", SyscallPhase::Enter) => {
                let onto = call.argument.unwrap_or(-1) as i32;
                self.close(at, tgid, onto..=onto);
            }
            _ => {}
        }
    }

    fn open(&mut self, at: Timestamp, tgid: u32, fd: i32) {
        self.open.entry((tgid, fd)).or_insert(at);
    }

    fn close(&mut self, at: Timestamp, tgid: u32, fds: std::ops::RangeInclusive<i32>) {
        let closed = &mut self.closed;
        self.open.retain(|key, from| {
            let stays = key.0 != tgid || !fds.contains(&key.1);
            if !stays {
                closed.entry(*key).or_default().push((*from, at));
            }
            stays
        });
    }
}

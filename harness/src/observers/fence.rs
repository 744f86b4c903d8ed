//! Fences: sentinels, one from each CPU, prove that everything which happened before a moment has been read.
//!
//! A sentinel is something that the observer sees and that nobody else does. What is written on a CPU is read in the order
//! in which it was written there, be it in a ring of that CPU or in one that all share. So when the sentinel of every CPU
//! has come back, everything that happened before the first of them has been read.

use std::collections::BTreeSet;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, Pid, gettid, sched_getaffinity, sched_setaffinity};

use crate::clock::Timestamp;

/// The sentinels of a fence, as far as they have come back.
#[derive(Clone, Debug, Default)]
pub(super) struct Awaited {
    /// The fence's number.
    pub(super) number: u64,
    /// When it began.
    pub(super) began: Timestamp,
    /// The CPUs whose sentinels are waited for.
    pub(super) cpus: BTreeSet<u32>,
    returned: BTreeSet<u32>,
}

impl Awaited {
    /// A fence that begins now, and has asked no CPU yet.
    pub(super) fn begin(number: u64) -> Self {
        Self { number, began: Timestamp::now(), ..Self::default() }
    }

    /// Waits for the sentinels of these CPUs. When they are others than before, one may have gone offline, all of them are
    /// asked anew.
    pub(super) fn expect(&mut self, cpus: BTreeSet<u32>) {
        if self.cpus != cpus {
            self.returned.clear();
            self.cpus = cpus;
        }
    }

    /// The sentinel of this CPU has come back, and what is older is in the history.
    pub(super) fn came(&mut self, cpu: u32) {
        self.returned.insert(cpu);
    }

    /// The CPUs whose sentinels have not come back.
    pub(super) fn missing(&self) -> Vec<u32> {
        self.cpus.difference(&self.returned).copied().collect()
    }

    /// Whether all sentinels have come back.
    pub(super) fn is_complete(&self) -> bool {
        self.cpus.is_subset(&self.returned)
    }
}

/// Where sentinels come back.
pub(super) trait TakesSentinels {
    /// Changes what is waited for.
    fn awaited<R>(&self, change: impl FnOnce(&mut Awaited) -> R) -> R;

    /// Has what is written already read at once, where that is possible.
    fn hurry(&self);

    /// Waits until the sentinels have come back, for `time` at the most; an error says why none will come any more.
    fn wait(&self, time: Duration) -> Result<(), String>;
}

/// How a fence ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fenced {
    /// When it began.
    pub(super) began: Timestamp,
    /// CPUs that were asked.
    pub(super) cpus: u32,
    /// Sentinels that came back.
    pub(super) seen: u32,
    /// The time that it had.
    pub(super) within: Duration,
    /// Why no more will come, if that is so.
    pub(super) ended: Option<String>,
}

/// Fences of an observer.
pub(super) struct Fences {
    sentinels: Sentinels,
    within: Duration,
    again: Duration,
}

impl Fences {
    /// A fence has failed when it takes longer than `within`; sentinels that are missing are provoked again after `again`.
    pub(super) fn new(sentinels: Sentinels, within: Duration, again: Duration) -> Self {
        Self { sentinels, within, again }
    }

    /// Provokes sentinels until those of all CPUs have come back, the time is up, or nobody takes them in any more.
    pub(super) fn fence(&self, number: u64, reader: &impl TakesSentinels) -> io::Result<Fenced> {
        let began = reader.awaited(|awaited| {
            *awaited = Awaited::begin(number);
            awaited.began
        });
        let mut ended = None;
        loop {
            // Asked anew each time: a CPU may go offline.
            let cpus = cpus()?;
            let missing = reader.awaited(|awaited| {
                awaited.expect(cpus.iter().copied().collect());
                awaited.missing()
            });
            let left = self.within.saturating_sub(Timestamp::now().since(began));
            if missing.is_empty() || left.is_zero() || ended.is_some() {
                let (cpus, seen) = (cpus.len() as u32, (cpus.len() - missing.len()) as u32);
                return Ok(Fenced { began, cpus, seen, within: self.within, ended });
            }
            self.provoke(number, &missing, left)?;
            reader.hurry();
            // A ring that was full has lost the sentinel; it is provoked again.
            ended = reader.wait(self.again.min(left)).err();
        }
    }

    /// Provokes sentinels on these CPUs; gives up waiting for that after `time`.
    pub(super) fn provoke(&self, number: u64, cpus: &[u32], time: Duration) -> io::Result<()> {
        self.sentinels.provoke(number, cpus, time)
    }
}

/// The thread that makes sentinels; it lives in the network namespace of the thread that started it. It ends by itself once
/// this is dropped: nobody waits for it, since a CPU that is kept busy may hold it up for as long as it likes.
pub(super) struct Sentinels {
    orders: Sender<(u64, Vec<u32>)>,
    outcomes: Receiver<io::Result<()>>,
    tid: u32,
}

impl Sentinels {
    /// Starts the thread, for an observer of this name; `make` makes the sentinel of the fence with a number on the CPU that
    /// it is called on.
    pub(super) fn start(observer: &str, make: impl Fn(u64) -> io::Result<()> + Send + 'static) -> io::Result<Self> {
        let (orders, incoming) = channel::<(u64, Vec<u32>)>();
        let (outgoing, outcomes) = channel();
        let (tell_tid, told_tid) = channel();
        std::thread::Builder::new().name(format!("{observer}-fence")).spawn(move || {
            // It has microseconds of work that a case waits for. Whoever may not do this waits longer on a busy machine.
            let _ = setpriority_process(None, -20);
            let _ = tell_tid.send(gettid());
            for (number, cpus) in incoming {
                let made = cpus.into_iter().try_for_each(|cpu| if go_to(cpu)? { make(number) } else { Ok(()) });
                if outgoing.send(made).is_err() {
                    return;
                }
            }
        })?;
        let tid = told_tid.recv().map_err(|_| io::Error::other("the fence's thread ended at once"))?;
        Ok(Self { orders, outcomes, tid: tid.as_raw_nonzero().get() as u32 })
    }

    /// The thread's id, by which its doings are known.
    pub(super) fn tid(&self) -> u32 {
        self.tid
    }

    fn provoke(&self, number: u64, cpus: &[u32], time: Duration) -> io::Result<()> {
        let gone = || io::Error::other("the fence's thread is gone");
        self.orders.send((number, cpus.to_vec())).map_err(|_| gone())?;
        match self.outcomes.recv_timeout(time) {
            Ok(outcome) => outcome,
            // The sentinels that are missing tell of it.
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => Err(gone()),
        }
    }
}

/// The CPUs that are online and on which this process may run.
pub(super) fn cpus() -> io::Result<Vec<u32>> {
    // The process's first thread: the mask of the sentinels' own thread names the CPU that it visited last.
    let set = sched_getaffinity(Some(rustix::process::getpid()))?;
    Ok((0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).map(|cpu| cpu as u32).collect())
}

/// Moves the calling thread to a CPU; false when that went offline since it was listed.
fn go_to(cpu: u32) -> io::Result<bool> {
    let mut set = CpuSet::new();
    set.set(cpu as usize);
    match sched_setaffinity(None::<Pid>, &set) {
        Ok(()) => Ok(true),
        Err(Errno::INVAL) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;

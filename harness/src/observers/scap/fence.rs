//! Sentinels: a thread that makes a call on each CPU, so that the rings can be proven read.
//!
//! A ring holds what happened on its CPU in the order in which it was written. So when the call that was made on a CPU comes
//! out of its ring, everything that was written there before has been read.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, Pid, gettid, sched_getaffinity, sched_setaffinity};

/// The thread. It ends by itself once this is dropped.
pub(super) struct Sentinels {
    orders: Sender<(i32, Vec<u32>)>,
    outcomes: Receiver<io::Result<()>>,
    tid: u32,
}

impl Sentinels {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Self> {
        let (orders, incoming) = channel::<(i32, Vec<u32>)>();
        let (outgoing, outcomes) = channel();
        let (tell_tid, told_tid) = channel();
        let no_socket = eventfd(0, EventfdFlags::CLOEXEC)?;
        std::thread::Builder::new().name("scap-fence".into()).spawn(move || {
            // It has microseconds of work that a case waits for. Whoever may not do this waits longer on a busy machine.
            let _ = setpriority_process(None, -20);
            let _ = tell_tid.send(gettid());
            for (number, cpus) in incoming {
                let outcome = cpus.into_iter().try_for_each(|cpu| provoke(&no_socket, cpu, number));
                if outgoing.send(outcome).is_err() {
                    return;
                }
            }
        })?;
        let tid = told_tid.recv().map_err(|_| io::Error::other("the fence's thread ended at once"))?;
        Ok(Self { orders, outcomes, tid: tid.as_raw_nonzero().get() as u32 })
    }

    /// The thread's id, by which its calls are known.
    pub(super) fn tid(&self) -> u32 {
        self.tid
    }

    /// The CPUs that are online and on which this process may run.
    pub(super) fn cpus(&self) -> io::Result<Vec<u32>> {
        // The process's first thread: the mask of the sentinels' own thread names the CPU that it visited last.
        let set = sched_getaffinity(Some(rustix::process::getpid()))?;
        Ok((0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).map(|cpu| cpu as u32).collect())
    }

    /// Makes the call with this number on each of these CPUs; gives up waiting for that after `time`.
    pub(super) fn provoke(&self, number: i32, cpus: &[u32], time: Duration) -> io::Result<()> {
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

/// Listens on what is no socket: that fails, changes nothing, and its backlog is a number of our choice.
fn provoke(no_socket: &OwnedFd, cpu: u32, number: i32) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu as usize);
    match sched_setaffinity(None::<Pid>, &set) {
        Ok(()) => {}
        // The CPU went offline since it was listed.
        Err(Errno::INVAL) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    match rustix::net::listen(no_socket, number) {
        Err(Errno::NOTSOCK) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => Err(io::Error::other("an eventfd listens")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_sentinel_is_a_call_that_fails_on_every_cpu() {
        let sentinels = Sentinels::start().unwrap();
        let cpus = sentinels.cpus().unwrap();
        assert!(!cpus.is_empty() && sentinels.tid() != 0);
        sentinels.provoke(7, &cpus, Duration::from_secs(10)).unwrap();
    }
}

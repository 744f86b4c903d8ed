//! Sentinels: a thread that opens and closes a listening socket on each CPU, so that the ring can be proven read.
//!
//! The ring is one queue in the order of reservation, and a program runs to its end on the CPU that it began on. So
//! when the sentinel of every CPU has come back, everything that happened before the first of them has been read.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, Pid, gettid, sched_getaffinity, sched_setaffinity};

/// The thread; it lives in the network namespace of the thread that started it. It ends by itself once this is dropped:
/// nobody waits for it, since a CPU that is kept busy may hold it up for as long as it likes.
pub(super) struct Sentinels {
    orders: Sender<Vec<u32>>,
    outcomes: Receiver<io::Result<()>>,
    tid: u32,
}

impl Sentinels {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Self> {
        let (orders, incoming) = channel::<Vec<u32>>();
        let (outgoing, outcomes) = channel();
        let (tell_tid, told_tid) = channel();
        std::thread::Builder::new().name("ebpf-fence".into()).spawn(move || {
            // It has microseconds of work that a case waits for. Whoever may not do this waits longer on a busy machine.
            let _ = setpriority_process(None, -20);
            let _ = tell_tid.send(gettid());
            for cpus in incoming {
                if outgoing.send(cpus.into_iter().try_for_each(provoke)).is_err() {
                    return;
                }
            }
        })?;
        let tid = told_tid.recv().map_err(|_| io::Error::other("the fence's thread ended at once"))?;
        Ok(Self { orders, outcomes, tid: tid.as_raw_nonzero().get() as u32 })
    }

    /// The thread's id, by which its sockets are known.
    pub(super) fn tid(&self) -> u32 {
        self.tid
    }

    /// The CPUs that are online and on which this process may run.
    pub(super) fn cpus(&self) -> io::Result<Vec<u32>> {
        // The process's first thread: the mask of the sentinels' own thread names the CPU that it visited last.
        let set = sched_getaffinity(Some(rustix::process::getpid()))?;
        Ok((0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).map(|cpu| cpu as u32).collect())
    }

    /// Opens and closes a listener on each of these CPUs; gives up waiting for that after `time`.
    pub(super) fn provoke(&self, cpus: &[u32], time: Duration) -> io::Result<()> {
        let gone = || io::Error::other("the fence's thread is gone");
        self.orders.send(cpus.to_vec()).map_err(|_| gone())?;
        match self.outcomes.recv_timeout(time) {
            Ok(outcome) => outcome,
            // The sentinels that are missing tell of it.
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => Err(gone()),
        }
    }
}

fn provoke(cpu: u32) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu as usize);
    match sched_setaffinity(None::<Pid>, &set) {
        Ok(()) => {}
        // The CPU went offline since it was listed.
        Err(Errno::INVAL) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).map_err(|error| match error {
        Errno::ADDRNOTAVAIL => {
            io::Error::other("127.0.0.1 is missing: set the loopback interface up (`ip link set lo up`)")
        }
        error => error.into(),
    })?;
    Ok(listen(&socket, 1)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_starved_thread_is_not_waited_for() {
        let (orders, incoming) = channel();
        let (outgoing, outcomes) = channel();
        let sentinels = Sentinels { orders, outcomes, tid: 0 };
        let began = Instant::now();
        sentinels.provoke(&[3], Duration::from_millis(20)).unwrap();
        assert!(began.elapsed() >= Duration::from_millis(20));
        assert_eq!(incoming.recv().unwrap(), [3]);
        drop((incoming, outgoing));
        assert!(sentinels.provoke(&[3], Duration::from_secs(60)).is_err());
    }
}

//! Sentinels: closes of a descriptor that nobody has, one on each CPU.
//!
//! The driver has a ring a CPU, each in order. So when the sentinel of every CPU has come back, everything that happened
//! before the first of them has been read.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};

use super::format::SENTINELS;

/// The CPUs that are online and on which this process may run.
pub(super) fn cpus() -> io::Result<Vec<u32>> {
    let set = sched_getaffinity(Some(rustix::process::getpid()))?;
    Ok((0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).map(|cpu| cpu as u32).collect())
}

/// Closes the descriptor of this fence on each of these CPUs, and does not wait for a busy one for longer than `time`: then
/// its sentinel does not come back, which tells of it.
pub(super) fn provoke(number: u64, cpus: Vec<u32>, time: Duration) -> io::Result<()> {
    let (done, outcome) = channel();
    std::thread::Builder::new().name("sinsp-fence".into()).spawn(move || {
        let provoked = cpus.into_iter().try_for_each(|cpu| on(cpu, number));
        // Nobody waits any more when it took too long.
        let _ = done.send(provoked);
    })?;
    match outcome.recv_timeout(time) {
        Ok(outcome) => outcome,
        Err(RecvTimeoutError::Timeout) => Ok(()),
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the fence's thread ended at once")),
    }
}

fn on(cpu: u32, number: u64) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu as usize);
    match sched_setaffinity(None::<Pid>, &set) {
        Ok(()) => {}
        // The CPU went offline since it was listed.
        Err(Errno::INVAL) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    // SAFETY: nobody has a descriptor of this number, so nothing is closed.
    let result = unsafe { libc::close((SENTINELS + number) as libc::c_int) };
    if result == 0 {
        return Err(io::Error::other("somebody had a descriptor of the sentinels' numbers"));
    }
    Ok(())
}

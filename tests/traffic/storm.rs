//! Many calls as fast as they can be made, on one CPU.

use libc::{AF_INET, SOCK_STREAM};
use portwitness::clock::Timestamp;
use portwitness::history::Arguments;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::script::{state, write_out};

/// So many sockets come and go.
pub(crate) fn storm(times: u64) {
    // One ring takes it all.
    let mut one = CpuSet::new();
    let here = sched_getaffinity(None).unwrap();
    one.set((0..CpuSet::MAX_CPU).find(|cpu| here.is_set(*cpu)).unwrap());
    sched_setaffinity(None, &one).unwrap();
    let before = Timestamp::now();
    for _ in 0..times {
        // SAFETY: numbers alone.
        unsafe { libc::close(libc::socket(AF_INET, SOCK_STREAM, 0)) };
    }
    let with = Arguments { times: Some(times), ..Arguments::default() };
    state("storm", Some(0), before, Some(Timestamp::now()), with);
    write_out();
}

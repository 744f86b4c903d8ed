//! Puts records on the ring, wakes the reader sparingly, and counts what found no room.

use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::{bpf_get_smp_processor_id, bpf_ktime_get_ns};
use aya_ebpf::helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid};
use portwitness_ebpf_common::{Header, Kind, Probe};

use crate::maps::{DROPS, EVENTS, WAKE_ABOVE};

/// The running task: its process and itself.
#[inline(always)]
pub fn current() -> (u32, u32) {
    let both = bpf_get_current_pid_tgid();
    ((both >> 32) as u32, both as u32)
}

/// The header of a record of this moment and task.
#[inline(always)]
pub fn header(kind: Kind) -> Header {
    let (tgid, tid) = current();
    // SAFETY: both helpers take nothing and always succeed.
    let (at, cpu) = unsafe { (bpf_ktime_get_ns(), bpf_get_smp_processor_id()) };
    Header { at, kind: kind as u32, cpu, tgid, tid, comm: bpf_get_current_comm().unwrap_or_default() }
}

/// Puts a record on the ring; false when there was no room.
#[inline(always)]
pub fn emit<T>(record: &T) -> bool {
    // Waking the reader costs the task that is observed about 14 us, so it happens only when the ring fills up; the
    // reader looks by itself every few milliseconds.
    let flags =
        if EVENTS.query(BPF_RB_AVAIL_DATA.into()) > WAKE_ABOVE.load() { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP };
    EVENTS.output::<T>(record, flags.into()).is_ok()
}

/// Counts a record that was lost, on this CPU.
#[inline(always)]
pub fn count_drop(probe: Probe) {
    if let Some(count) = DROPS.get_ptr_mut(probe as u32) {
        // SAFETY: the pointer is to this CPU's own value. A program that interrupts this one on the same CPU could cost
        // one count, not the knowledge that something was lost.
        unsafe { *count += 1 };
    }
}

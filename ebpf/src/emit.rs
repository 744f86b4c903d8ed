//! Puts records on the ring, wakes the reader sparingly, and counts what found no room.

use core::mem::MaybeUninit;

use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::{bpf_get_current_comm, bpf_get_smp_processor_id, bpf_ktime_get_ns};
use portwitness_ebpf_common::{Header, Kind, Probe};

use crate::maps::{DROPS, EVENTS, WAKE_ABOVE, WOKEN};

/// In ns.
const WAKE_EVERY: u64 = 1_000_000;

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
    let mut comm = MaybeUninit::<[u8; 16]>::uninit();
    // SAFETY: the helper writes all of it, zeros when it fails.
    let comm = unsafe {
        bpf_get_current_comm(comm.as_mut_ptr().cast(), 16);
        comm.assume_init()
    };
    Header { at, kind: kind as u32, cpu, tgid, tid, comm }
}

/// Zeros a record of words. The compiler would call memset for it, which in these programs is a loop over bytes.
#[inline(always)]
pub fn zeroed<T>(place: &mut MaybeUninit<T>) -> &mut T {
    let words = place.as_mut_ptr().cast::<u64>();
    for word in 0..size_of::<T>() / 8 {
        // SAFETY: within the record, which is made of integers and as long as a number of words.
        unsafe { words.add(word).write_volatile(0) };
    }
    // SAFETY: zeros are integers.
    unsafe { place.assume_init_mut() }
}

/// Puts a record on the ring; false when there was no room.
#[inline(always)]
pub fn emit<T>(record: &T) -> bool {
    let flags = if is_filling() && wakes_now() { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP };
    EVENTS.output::<T>(record, flags.into()).is_ok()
}

#[inline(always)]
fn is_filling() -> bool {
    EVENTS.query(BPF_RB_AVAIL_DATA.into()) > WAKE_ABOVE.load()
}

/// Waking the reader costs the task that is observed some microseconds, so it happens only when the ring fills up, and then
/// once a millisecond by each CPU, for a reader that waits for a CPU itself is not awake sooner when it is woken again. The
/// reader looks by itself every few milliseconds.
#[inline(always)]
fn wakes_now() -> bool {
    // SAFETY: takes nothing and always succeeds.
    let now = unsafe { bpf_ktime_get_ns() };
    let Some(last) = WOKEN.get_ptr_mut(0) else { return true };
    // SAFETY: the pointer is to this CPU's own value. A program that interrupts this one may wake the reader once more.
    unsafe {
        let due = now - *last > WAKE_EVERY;
        if due {
            *last = now;
        }
        due
    }
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

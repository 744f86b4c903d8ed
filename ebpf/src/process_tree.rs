//! Which processes are tracked: children of a tracked process, from the fork until the last thread is gone.
//!
//! Births come from task:task_newtask rather than sched:sched_process_fork: its clone flags tell a thread from a
//! process on every rung, and it stands behind the last step at which fork can fail (kernel/fork.c, copy_process).

use core::arch::asm;

use aya_ebpf::EbpfContext;
use aya_ebpf::macros::{btf_tracepoint, raw_tracepoint, tracepoint};
use aya_ebpf::programs::{BtfTracePointContext, RawTracePointContext, TracePointContext};
use aya_log_ebpf::{debug, warn};
use portwitness_ebpf_common::{Kind, Probe, ProcessRecord, TRACK_ALL, UNKNOWN};

use crate::emit::{count_drop, current, emit, header};
use crate::kernel::{exit_of_current, read};
use crate::maps::{CALLS, THREADS, TRACKED, is_tracked, offset, tracking};

/// include/uapi/linux/sched.h
const CLONE_THREAD: u64 = 0x10000;

#[btf_tracepoint(function = "task_newtask")]
pub fn fork_btf(ctx: BtfTracePointContext) -> i32 {
    forked(&ctx, ctx.arg(1), || read(ctx.arg(0), offset!(task_tgid)));
    0
}

#[raw_tracepoint(tracepoint = "task_newtask")]
pub fn fork_raw(ctx: RawTracePointContext) -> i32 {
    forked(&ctx, ctx.arg(1), || read(ctx.arg(0), offset!(task_tgid)));
    0
}

#[tracepoint]
pub fn fork_classic(ctx: TracePointContext) -> u32 {
    let (flags_at, pid_at) = (offset!(newtask_clone_flags) as usize, offset!(newtask_pid) as usize);
    // SAFETY: user space took the offset from the tracepoint's format, which says u64 (unsigned long).
    if let Ok(flags) = unsafe { ctx.read_at::<u64>(flags_at) } {
        // SAFETY: likewise, pid_t.
        forked(&ctx, flags, || unsafe { ctx.read_at::<u32>(pid_at) }.ok());
    }
    0
}

#[btf_tracepoint(function = "sched_process_exec")]
pub fn exec_btf(_: BtfTracePointContext) -> i32 {
    executed();
    0
}

#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn exec_raw(_: RawTracePointContext) -> i32 {
    executed();
    0
}

#[tracepoint]
pub fn exec_classic(_: TracePointContext) -> u32 {
    executed();
    0
}

#[btf_tracepoint(function = "sched_process_exit")]
pub fn exit_btf(ctx: BtfTracePointContext) -> i32 {
    exited(&ctx, || false);
    0
}

#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn exit_raw(ctx: RawTracePointContext) -> i32 {
    exited(&ctx, || false);
    0
}

#[tracepoint]
pub fn exit_classic(ctx: TracePointContext) -> u32 {
    exited(&ctx, || {
        let field = offset!(exit_group_dead);
        if field == UNKNOWN {
            return !counted(-1).unwrap_or_else(|| {
                let (tgid, tid) = current();
                tgid != tid
            });
        }
        // SAFETY: user space took the offset from the tracepoint's format, which says bool.
        unsafe { ctx.read_at::<u8>(field as usize) }.is_ok_and(|dead| dead != 0)
    });
    0
}

/// A task was made by the running one.
#[inline(always)]
fn forked<C: EbpfContext>(ctx: &C, clone_flags: u64, child: impl Fn() -> Option<u32>) {
    if clone_flags & CLONE_THREAD != 0 {
        counted(1);
        return;
    }
    let (tgid, _) = current();
    if tracking(tgid).is_none() {
        return;
    }
    let Some(child) = child() else { return };
    if TRACKED.insert(child, TRACK_ALL, 0).is_ok() && (!counts() || THREADS.insert(child, 1, 0).is_ok()) {
        debug!(ctx, "process {} is tracked, a child of {}", child, tgid);
    } else {
        count_drop(Probe::Tracked);
        warn!(ctx, "the map of tracked processes is full: process {} is not followed", child);
    }
    record(ProcessRecord { header: header(Kind::Fork), child, ..EMPTY });
}

#[inline(always)]
fn executed() {
    let (tgid, _) = current();
    if is_tracked(tgid) {
        record(ProcessRecord { header: header(Kind::Exec), ..EMPTY });
    }
}

/// The running task ends; `dead` says whether it is the process's last, where the kernel's structures are not known.
#[inline(always)]
fn exited<C: EbpfContext>(ctx: &C, dead: impl Fn() -> bool) {
    let (tgid, tid) = current();
    // A thread that was killed within a call never leaves the call. Another of its process's last threads may have ended
    // the tracking already, and what it left would pass for the call of a later thread with its number.
    let _ = CALLS.remove(tid);
    if !is_tracked(tgid) {
        return;
    }
    let (dead, status, status_known) = match exit_of_current() {
        Some((dead, status)) => (dead, status, 1),
        None => (dead(), 0, 0),
    };
    // Two last threads may both find the process dead: the one that takes it out of the map reports it.
    if dead && TRACKED.remove(tgid).is_ok() {
        let _ = THREADS.remove(tgid);
        debug!(ctx, "process {} has ended", tgid);
        record(ProcessRecord { header: header(Kind::Exit), status, status_known, ..EMPTY });
    }
}

/// Whether threads have to be counted: the kernel tells in no other way which of them is a process's last.
#[inline(always)]
fn counts() -> bool {
    offset!(signal_live) == UNKNOWN && offset!(exit_group_dead) == UNKNOWN
}

/// Adds to the number of threads of the running process, and says whether it has any left; `None` for a process that was
/// there before it was followed, of which the number is not known.
///
/// By an instruction that does not return the former value, as that needs Linux 5.12; core's own atomics have none for eBPF. Of two
/// last threads both may find the number 0, and the later one does.
#[inline(always)]
fn counted(change: i64) -> Option<bool> {
    if !counts() {
        return None;
    }
    let number = THREADS.get_ptr_mut(current().0)?;
    // SAFETY: a value of the map is aligned, and stays for as long as the program runs; all who change it do so like this.
    unsafe {
        asm!("lock *(u64 *)({number} + 0) += {change}", number = in(reg) number, change = in(reg) change);
        Some(number.read_volatile() > 0)
    }
}

const EMPTY: ProcessRecord = ProcessRecord {
    header: portwitness_ebpf_common::Header { at: 0, kind: 0, cpu: 0, tgid: 0, tid: 0, comm: [0; 16] },
    child: 0,
    status: 0,
    status_known: 0,
    padding: 0,
};

#[inline(always)]
fn record(record: ProcessRecord) {
    if !emit(&record) {
        count_drop(Probe::Process);
    }
}

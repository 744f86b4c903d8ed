//! Causes: what tracked processes ask of their sockets, at the entry and the exit of the system call.

use core::mem::MaybeUninit;

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::bpf_probe_read_user;
use aya_ebpf::macros::tracepoint;
use aya_ebpf::programs::TracePointContext;
use portwitness_ebpf_common::{
    AF_INET, AF_INET6, Call, ConnectedRecord, Kind, PHASE_ENTER, PHASE_EXIT, Probe, SETTING_CAUSES, SyscallRecord,
    UNKNOWN,
};

use crate::emit::{count_drop, current, emit, header, zeroed};
use crate::kernel::{is_socket, read_ends};
use crate::maps::{CALLS, is_tracked, offset, setting};
use crate::socket_state::numbered;

/// Where the arguments of a call begin in the record of its sys_enter tracepoint, and its result in that of sys_exit:
/// behind the common fields and the call's number (kernel/trace/trace_syscalls.c).
const BEHIND_NUMBER: usize = 16;

macro_rules! enter {
    ($($name:ident: $call:ident),+ $(,)?) => {$(
        #[tracepoint]
        pub fn $name(ctx: TracePointContext) -> u32 {
            entered(&ctx, Call::$call);
            0
        }
    )+};
}

enter! {
    enter_listen: Listen,
    enter_bind: Bind,
    enter_connect: Connect,
    enter_accept: Accept,
    enter_accept4: Accept4,
    enter_close: Close,
    enter_close_range: CloseRange,
    enter_dup2: Dup2,
    enter_dup3: Dup3,
    enter_shutdown: Shutdown,
}

/// The exit of any of these calls.
#[tracepoint]
pub fn exit_call(ctx: TracePointContext) -> u32 {
    let (_, tid) = current();
    let Some(call) = CALLS.get_ptr_mut(tid) else { return 0 };
    // SAFETY: only this thread writes to it, and it is taken out at the end.
    let call = unsafe { &mut *call };
    // SAFETY: the result is a long at this place.
    call.result = unsafe { *ctx.as_ptr().cast::<u8>().add(BEHIND_NUMBER).cast::<i64>() };
    call.phase = PHASE_EXIT;
    call.header = header(Kind::Syscall);
    if !connected(call) {
        record(call);
    }
    let listened = call.call == Call::Listen as u8;
    let _ = CALLS.remove(tid);
    if listened {
        numbered(tid);
    }
    0
}

#[inline(always)]
fn entered(ctx: &TracePointContext, call: Call) {
    let (tgid, tid) = current();
    if setting(SETTING_CAUSES) == 0 || !is_tracked(tgid) {
        return;
    }
    // SAFETY: every one of these calls has at least one argument, and the record has room for six.
    let [first, second, third] = unsafe { *ctx.as_ptr().cast::<u8>().add(BEHIND_NUMBER).cast::<[u64; 3]>() };
    let fd = first as i32;
    let concerns_socket = match call {
        Call::Close => is_socket(fd),
        // The descriptor that is silently closed.
        Call::Dup2 | Call::Dup3 => is_socket(second as i32),
        _ => true,
    };
    if !concerns_socket {
        return;
    }
    let mut place = MaybeUninit::uninit();
    let entry: &mut SyscallRecord = zeroed(&mut place);
    entry.header = header(Kind::Syscall);
    if call.has_argument() {
        entry.argument = i64::from(second as i32);
    }
    if call.has_address() {
        read_address(entry, second, third);
    }
    entry.fd = fd;
    entry.call = call as u8;
    entry.phase = PHASE_ENTER;
    if CALLS.insert(tid, &*entry, 0).is_err() {
        count_drop(Probe::Calls);
    }
    record(entry);
}

/// Fills in family, port and address of a `sockaddr_in` or `sockaddr_in6` of the caller; nothing for any other.
#[inline(always)]
fn read_address(entry: &mut SyscallRecord, pointer: u64, length: u64) {
    // SAFETY: the helper checks the address, here and below; only integers are read.
    let Ok([start, v4]) = (unsafe { bpf_probe_read_user(pointer as *const [u32; 2]) }) else { return };
    let family = start as u16;
    match family {
        AF_INET if length >= 8 => entry.address[0] = v4,
        // SAFETY: see above.
        AF_INET6 if length >= 24 => match unsafe { bpf_probe_read_user((pointer + 8) as *const [u32; 4]) } {
            Ok(address) => entry.address = address,
            Err(_) => return,
        },
        _ => return,
    }
    entry.family = family;
    entry.port = u16::from_be((start >> 16) as u16);
}

/// Records the exit of accept or connect with both ends of the socket that it was left with; false where there are none, or
/// none can be read.
#[inline(always)]
fn connected(call: &SyscallRecord) -> bool {
    let fd = if call.call == Call::Connect as u8 {
        call.fd
    } else if call.call == Call::Accept as u8 || call.call == Call::Accept4 as u8 {
        call.result as i32
    } else {
        return false;
    };
    if fd < 0 || offset!(inode_mode) == UNKNOWN {
        return false;
    }
    let mut place = MaybeUninit::uninit();
    let entry: &mut ConnectedRecord = zeroed(&mut place);
    if read_ends(fd, entry).is_none() {
        return false;
    }
    entry.call = *call;
    entry.call.header.kind = Kind::Connected as u32;
    if !emit(entry) {
        count_drop(Probe::Syscall);
    }
    true
}

#[inline(always)]
fn record(call: &SyscallRecord) {
    if !emit(call) {
        count_drop(Probe::Syscall);
    }
}

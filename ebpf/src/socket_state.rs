//! Socket states, on the tracepoint sock:inet_sock_set_state: when ports open and close, and the life of connections.
//!
//! A listener's edges are CLOSE -> LISTEN and LISTEN -> CLOSE. A child of a listener begins as LISTEN -> SYN_RECV, and
//! TIME_WAIT has a socket of its own without a tracepoint: the connection ends with FIN_WAIT2 -> CLOSE.

use core::mem::MaybeUninit;

use aya_ebpf::EbpfContext;
use aya_ebpf::macros::{btf_tracepoint, raw_tracepoint, tracepoint};
use aya_ebpf::programs::{BtfTracePointContext, RawTracePointContext, TracePointContext};
use aya_log_ebpf::warn;
use portwitness_ebpf_common::{
    AF_INET6, Call, Kind, Probe, SCOPE_CONNECTIONS, SCOPE_LISTENERS, SCOPE_PORTS, SETTING_FENCE_THREAD, SocketRecord,
};

use crate::emit::{count_drop, current, emit, header, zeroed};
use crate::kernel::{complete_socket, port_of, read, read_socket, refused};
use crate::maps::{CALLS, NETNS, PORTS, SCOPE, SOCKETS, UNNUMBERED, is_tracked, setting, tracking};

const SYN_SENT: u8 = 2;
const SYN_RECV: u8 = 3;
const CLOSE: u8 = 7;
const LISTEN: u8 = 10;

const IPPROTO_TCP: u16 = 6;

#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn socket_state_btf(ctx: BtfTracePointContext) -> i32 {
    let change = Change { socket: ctx.arg(0), from: ctx.arg::<i32>(1) as u8, to: ctx.arg::<i32>(2) as u8 };
    changed(&ctx, &change, |record| read_socket(change.socket, record));
    0
}

#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub fn socket_state_raw(ctx: RawTracePointContext) -> i32 {
    let change = Change { socket: ctx.arg(0), from: ctx.arg::<i32>(1) as u8, to: ctx.arg::<i32>(2) as u8 };
    changed(&ctx, &change, |record| read_socket(change.socket, record));
    0
}

#[tracepoint]
pub fn socket_state_classic(ctx: TracePointContext) -> u32 {
    // SAFETY: the record is at least this long since Linux 5.6, holds integers, and outlives the call.
    let fields = unsafe { &*ctx.as_ptr().cast::<Fields>() };
    let change = Change { socket: fields.socket, from: fields.from as u8, to: fields.to as u8 };
    changed(&ctx, &change, |record| {
        fields.fill(record);
        if fields.family == AF_INET6 {
            let at = ctx.as_ptr() as u64;
            (record.local, record.remote) = (read(at, LOCAL_V6)?, read(at, REMOTE_V6)?);
        }
        complete_socket(fields.socket, record);
        Some(fields.protocol)
    });
    0
}

struct Change {
    socket: u64,
    from: u8,
    to: u8,
}

impl Change {
    /// A listener appeared or went. Only this happens in the task that asked for it: connections go on in interrupts too,
    /// in the name of whatever task they interrupted.
    #[inline(always)]
    fn is_edge(&self) -> bool {
        matches!((self.from, self.to), (CLOSE, LISTEN) | (LISTEN, CLOSE))
    }
}

/// The tracepoint's record (include/trace/events/sock.h, alike from Linux 5.6 to 6.18), as far as it can be read in single
/// loads from its very start: the verifier refuses to follow a pointer into it.
#[repr(C)]
struct Fields {
    _common: u64,
    socket: u64,
    from: i32,
    to: i32,
    local_port: u16,
    remote_port: u16,
    family: u16,
    protocol: u16,
    local_v4: u32,
    remote_v4: u32,
}

/// Where the record holds 16 bytes of IPv6 address each.
const LOCAL_V6: u32 = 40;
const REMOTE_V6: u32 = 56;

impl Fields {
    #[inline(always)]
    fn fill(&self, record: &mut SocketRecord) {
        record.local[0] = self.local_v4;
        record.remote[0] = self.remote_v4;
        record.family = self.family;
        record.local_port = self.local_port;
        record.remote_port = self.remote_port;
    }
}

/// Whether this bit of the scope is set.
#[inline(always)]
fn in_scope(bit: u32) -> bool {
    SCOPE.load() & bit != 0
}

/// A socket goes from one state to another; `look` fills in what it is and returns its protocol.
///
/// A lookup in a hash map costs as much as most of the rest, so each is made only where its answer decides something.
#[inline(always)]
fn changed<C: EbpfContext>(ctx: &C, change: &Change, look: impl FnOnce(&mut SocketRecord) -> Option<u16>) {
    let (tgid, tid) = current();
    let tracked = || is_tracked(tgid);
    // SAFETY: only the presence of the key counts.
    let followed = || unsafe { SOCKETS.get(change.socket) }.is_some();
    // Most transitions on a machine are none of ours, and end here.
    match (change.from, change.to) {
        (CLOSE, LISTEN) | (LISTEN, CLOSE | SYN_RECV) => {}
        (CLOSE, SYN_SENT) if in_scope(SCOPE_CONNECTIONS) || tracked() => {}
        _ if followed() => {}
        _ => return,
    }
    let mut place = MaybeUninit::uninit();
    let record: &mut SocketRecord = zeroed(&mut place);
    // SCTP and MPTCP share the tracepoint; an MPTCP listener has a TCP socket underneath, which counts.
    if look(record) != Some(IPPROTO_TCP) {
        return;
    }
    let port = u64::from(record.netns) << 32 | u64::from(record.local_port);
    let sentinel = tid == setting(SETTING_FENCE_THREAD) && change.is_edge();
    // Told by what never changes: a listener of which this holds when it opens needs not be followed to its end.
    let always_observed = record.netns == NETNS.load() && record.netns != 0 && in_scope(SCOPE_LISTENERS);
    // A namespace that cannot be told (0) may be any: then whoever belongs to the run stands for the observed one, the
    // process whose children are followed included.
    let netns = record.netns;
    let here = || if netns == 0 { tracking(tgid).is_some() } else { netns == NETNS.load() };
    // SAFETY: only the presence of the key counts.
    let listed = || unsafe { PORTS.get(port) }.is_some();
    let observed =
        || always_observed || sentinel || (in_scope(SCOPE_LISTENERS) && here()) || (in_scope(SCOPE_PORTS) && listed());
    let wanted = match (change.from, change.to) {
        (CLOSE, LISTEN) => observed() || tracked(),
        // What a dying process leaves is closed after it ceased to be tracked: its socket is followed still.
        (LISTEN, CLOSE) => observed() || tracked() || followed(),
        (LISTEN, SYN_RECV) => listed() || (in_scope(SCOPE_CONNECTIONS) && here()),
        (CLOSE, SYN_SENT) => here() || tracked() || followed(),
        _ => true,
    };
    if !wanted {
        return;
    }
    match (change.from, change.to) {
        (CLOSE, LISTEN) | (LISTEN, CLOSE) if always_observed => {}
        (_, CLOSE) => drop(SOCKETS.remove(change.socket)),
        (CLOSE, LISTEN | SYN_SENT) | (LISTEN, SYN_RECV) => follow(ctx, change.socket, record.local_port),
        // It came here because it is followed.
        _ => {}
    }
    if change.to == LISTEN && tracked() && !listed() && PORTS.insert(port, 1, 0).is_err() {
        count_drop(Probe::Ports);
        warn!(ctx, "the map of tracked ports is full: connections to port {} are not followed", record.local_port);
    }
    if (change.from, change.to) == (LISTEN, CLOSE) {
        record.flags |= refused(change.socket);
    }
    record.header = header(Kind::SocketState);
    record.socket = change.socket;
    record.from = change.from;
    record.to = change.to;
    if change.to == LISTEN && record.local_port == 0 && hold(tid, record) {
        return;
    }
    // A lost sentinel is provoked again, and nothing of the run went with it.
    if !emit(record) && !sentinel {
        count_drop(Probe::SocketState);
    }
}

#[inline(always)]
fn follow<C: EbpfContext>(ctx: &C, socket: u64, port: u16) {
    if SOCKETS.insert(socket, 1, 0).is_err() {
        count_drop(Probe::Sockets);
        warn!(ctx, "the map of followed sockets is full: a socket at port {} is not followed", port);
    }
}

/// listen(2) on a socket that was never bound: it listens before it has a port (inet_csk_listen_start, Linux 6.18), so the
/// record waits for the end of the call, where that is watched; else it goes out with port 0.
#[inline(always)]
fn hold(tid: u32, record: &SocketRecord) -> bool {
    // SAFETY: the value is looked at at once, and only this thread writes it.
    let listens = unsafe { CALLS.get(tid) }.is_some_and(|call| call.call == Call::Listen as u8);
    listens && UNNUMBERED.insert(tid, record, 0).is_ok()
}

/// The thread's listen(2) is over: the listener that waited for its port has it.
#[inline(always)]
pub fn numbered(tid: u32) {
    // SAFETY: the value is copied at once, and only this thread writes it.
    let Some(record) = (unsafe { UNNUMBERED.get(tid) }) else { return };
    let mut record = *record;
    let _ = UNNUMBERED.remove(tid);
    record.local_port = port_of(record.socket).unwrap_or(0);
    let port = u64::from(record.netns) << 32 | u64::from(record.local_port);
    if is_tracked(record.header.tgid) && PORTS.insert(port, 1, 0).is_err() {
        count_drop(Probe::Ports);
    }
    if !emit(&record) {
        count_drop(Probe::SocketState);
    }
}

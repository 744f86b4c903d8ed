//! Records as they lie on the ring buffer: flat, integers only, padding written out.

#[cfg(feature = "user")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Address family of IPv4 (include/linux/socket.h).
pub const AF_INET: u16 = 2;
/// Address family of IPv6.
pub const AF_INET6: u16 = 10;
/// Bit of [`SocketRecord::flags`]: IPV6_V6ONLY is set.
pub const IPV6_ONLY: u8 = 1;
/// Bit of [`SocketRecord::flags`]: a socket that leaves LISTEN was never among those that listen.
pub const REFUSED: u8 = 2;
/// [`SyscallRecord::phase`]: the call was entered.
pub const PHASE_ENTER: u8 = 0;
/// [`SyscallRecord::phase`]: the call returned.
pub const PHASE_EXIT: u8 = 1;

/// What a record is; the number stands in [`Header::kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// A [`SocketRecord`].
    SocketState = 1,
    /// A [`SyscallRecord`].
    Syscall = 2,
    /// A [`ProcessRecord`]: a child was made.
    Fork = 3,
    /// A [`ProcessRecord`]: a program was executed.
    Exec = 4,
    /// A [`ProcessRecord`]: the last thread is gone.
    Exit = 5,
    /// A [`ConnectedRecord`].
    Connected = 6,
}

/// The start of every record.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[repr(C)]
pub struct Header {
    /// `bpf_ktime_get_ns`: CLOCK_MONOTONIC in ns.
    pub at: u64,
    /// A [`Kind`].
    pub kind: u32,
    /// The CPU it happened on.
    pub cpu: u32,
    /// The running task's process.
    pub tgid: u32,
    /// The running task.
    pub tid: u32,
    /// Its name, ended by a zero (TASK_COMM_LEN).
    pub comm: [u8; 16],
}

/// A TCP socket changed its state.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[repr(C)]
pub struct SocketRecord {
    /// Kind, time, task.
    pub header: Header,
    /// The kernel's address of the socket.
    pub socket: u64,
    /// Own address in network order, IPv4 in the first word.
    pub local: [u32; 4],
    /// The other end's address, likewise.
    pub remote: [u32; 4],
    /// Inode number of the network namespace, 0 when unknown.
    pub netns: u32,
    /// Own port, in host order.
    pub local_port: u16,
    /// The other end's port, in host order; 0 for none.
    pub remote_port: u16,
    /// [`AF_INET`] or [`AF_INET6`].
    pub family: u16,
    /// State before (include/net/tcp_states.h).
    pub from: u8,
    /// State after.
    pub to: u8,
    /// [`IPV6_ONLY`] and [`REFUSED`], or nothing.
    pub flags: u8,
    /// Zero.
    pub padding: [u8; 3],
}

/// A tracked process entered or left a system call.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[repr(C)]
pub struct SyscallRecord {
    /// Kind, time, task.
    pub header: Header,
    /// What the call returned; 0 at its entry.
    pub result: i64,
    /// The second argument where it says something: backlog, new or last descriptor, how.
    pub argument: i64,
    /// The address given to bind or connect in network order, IPv4 in the first word.
    pub address: [u32; 4],
    /// The descriptor it was called with.
    pub fd: i32,
    /// The port given to bind or connect, in host order.
    pub port: u16,
    /// Family of `address`, 0 for none.
    pub family: u16,
    /// A [`Call`].
    pub call: u8,
    /// [`PHASE_ENTER`] or [`PHASE_EXIT`].
    pub phase: u8,
    /// Zero.
    pub padding: [u8; 6],
}

/// A tracked process left accept or connect with a socket that has another end.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[repr(C)]
pub struct ConnectedRecord {
    /// The call's exit.
    pub call: SyscallRecord,
    /// The socket's own address in network order, IPv4 in the first word.
    pub local: [u32; 4],
    /// The other end's address, likewise.
    pub remote: [u32; 4],
    /// Own port, in host order.
    pub local_port: u16,
    /// The other end's port, in host order.
    pub remote_port: u16,
    /// [`AF_INET`] or [`AF_INET6`].
    pub family: u16,
    /// Zero.
    pub padding: u16,
}

/// A tracked process forked, executed or exited.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[repr(C)]
pub struct ProcessRecord {
    /// Kind, time, task.
    pub header: Header,
    /// The child of a fork, else 0.
    pub child: u32,
    /// As wait(2) reports it, for an exit, where `status_known` is 1.
    pub status: i32,
    /// Whether `status` could be read.
    pub status_known: u32,
    /// Zero.
    pub padding: u32,
}

/// Who holds a socket: a value of the map `HOLDERS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[repr(C)]
pub struct Holder {
    /// The first process found to hold it, 0 for none.
    pub tgid: u32,
    /// 1 when a tracked process holds it.
    pub tracked: u32,
    /// The process's name, ended by a zero.
    pub comm: [u8; 16],
}

#[cfg(feature = "user")]
impl Holder {
    /// From a value of the map; `None` when it has another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::read_from_bytes(bytes).ok()
    }
}

const _: () = assert!(size_of::<Holder>() == 24);
const _: () = assert!(size_of::<Header>() == 40);
const _: () = assert!(size_of::<SocketRecord>() == 96);
const _: () = assert!(size_of::<SyscallRecord>() == 88);
const _: () = assert!(size_of::<ConnectedRecord>() == 128);
const _: () = assert!(size_of::<ProcessRecord>() == 56);

/// The system calls that are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are those of the calls")]
pub enum Call {
    Listen = 1,
    Bind = 2,
    Connect = 3,
    Accept = 4,
    Accept4 = 5,
    Close = 6,
    CloseRange = 7,
    Dup2 = 8,
    Dup3 = 9,
    Shutdown = 10,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Listen,
        Self::Bind,
        Self::Connect,
        Self::Accept,
        Self::Accept4,
        Self::Close,
        Self::CloseRange,
        Self::Dup2,
        Self::Dup3,
        Self::Shutdown,
    ];

    /// Its name, as the tracepoints have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Bind => "bind",
            Self::Connect => "connect",
            Self::Accept => "accept",
            Self::Accept4 => "accept4",
            Self::Close => "close",
            Self::CloseRange => "close_range",
            Self::Dup2 => "dup2",
            Self::Dup3 => "dup3",
            Self::Shutdown => "shutdown",
        }
    }

    /// Whether its second argument belongs into the record.
    pub const fn has_argument(self) -> bool {
        matches!(self, Self::Listen | Self::CloseRange | Self::Dup2 | Self::Dup3 | Self::Shutdown)
    }

    /// Whether its second argument is an address.
    pub const fn has_address(self) -> bool {
        matches!(self, Self::Bind | Self::Connect)
    }
}

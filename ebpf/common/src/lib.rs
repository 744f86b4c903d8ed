//! What the eBPF programs and the harness agree on: records on the ring, kernel offsets, settings, drop counters.
//!
//! The programs use it as it is; the harness turns on the feature `user`, which adds decoding.

#![no_std]

#[cfg(feature = "user")]
mod decode;
mod offsets;
mod probe;
mod record;

#[cfg(feature = "user")]
pub use decode::{DecodeError, Message};
pub use offsets::{Offsets, SOCK_COMMON_REACH, UNKNOWN};
pub use probe::Probe;
pub use record::{
    AF_INET, AF_INET6, Call, ConnectedRecord, Header, Holder, IPV6_ONLY, Kind, PHASE_ENTER, PHASE_EXIT, ProcessRecord,
    REFUSED, SocketRecord, SyscallRecord,
};

/// Index in the map `SETTINGS`: 1 when system calls are to be recorded.
pub const SETTING_CAUSES: u32 = 0;
/// Index in the map `SETTINGS`: the thread whose listeners are sentinels, recorded wherever they appear and go.
pub const SETTING_FENCE_THREAD: u32 = 1;
/// Index in the map `SETTINGS`: the first of the [`SPAN`] descriptors of each process at which the program `holders` looks.
pub const SETTING_DESCRIPTORS_FROM: u32 = 2;
/// How many settings there are.
pub const SETTINGS: u32 = 3;

/// As many descriptors of each process the program `holders` looks at in one go: the verifier follows every one.
pub const SPAN: u32 = 256;

/// Bit of the constant `SCOPE`: every listener of the network namespace is recorded, whoever owns it.
pub const SCOPE_LISTENERS: u32 = 1;
/// Bit of the constant `SCOPE`: so is every connection of the namespace.
pub const SCOPE_CONNECTIONS: u32 = 2;
/// Bit of the constant `SCOPE`: listeners at the ports of the map `PORTS` are recorded, whoever owns them.
pub const SCOPE_PORTS: u32 = 4;

/// Value in the map `TRACKED`: the children are followed, the process itself is not.
pub const TRACK_CHILDREN: u32 = 1;
/// Value in the map `TRACKED`: the process and its children are followed.
pub const TRACK_ALL: u32 = 2;

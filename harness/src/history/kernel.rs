//! What the kernel did, as an observer reports it.

use std::fmt;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::endpoint::{Endpoint, SocketId, Tgid};

/// The task that was running when a thing was observed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Process (thread group).
    pub tgid: Tgid,
    /// Thread.
    pub tid: u32,
    /// Its command name, 15 bytes at most (TASK_COMM_LEN).
    pub comm: CompactString,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.comm.is_empty() && self.tgid.0 == 0 {
            return f.write_str("someone unseen");
        }
        write!(f, "{}[{}]", self.comm, self.tgid)
    }
}

/// A TCP socket went from one state to another (`sock:inet_sock_set_state`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketState {
    /// Which socket.
    pub socket: SocketId,
    /// The inode number of its network namespace; 0 when the observer cannot tell.
    pub netns: u32,
    /// Its own address and port. Port 0 for a socket that begins to listen without ever having been bound, where system
    /// calls are not recorded: the kernel chooses the port afterwards, and the closing has it.
    pub local: Endpoint,
    /// The other end; none for a listening socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<Endpoint>,
    /// Before.
    pub from: TcpState,
    /// After.
    pub to: TcpState,
    /// It takes no IPv4 connections although it is an IPv6 socket (IPV6_V6ONLY).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ipv6_only: bool,
    /// It leaves LISTEN because its listen(2) is refused: the address was taken, and no connection could reach it. Known
    /// where the kernel's structures are, for a socket that never listened before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
    /// Who was running: right for LISTEN, at times a bystander for the other states (softirq).
    pub process: Process,
}

/// A socket that listened before the observer could see it begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// Its own address and port.
    pub local: Endpoint,
    /// The inode number of its network namespace; 0 when unknown.
    pub netns: u32,
    /// It takes no IPv4 connections although it is an IPv6 socket; false when unknown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ipv6_only: bool,
    /// Who holds it, where that could be found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
}

/// The states of a TCP socket, numbered as in include/net/tcp_states.h (Linux 6.18).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are the states' names in RFC 9293")]
pub enum TcpState {
    Established = 1,
    SynSent = 2,
    SynRecv = 3,
    FinWait1 = 4,
    FinWait2 = 5,
    TimeWait = 6,
    Close = 7,
    CloseWait = 8,
    LastAck = 9,
    Listen = 10,
    Closing = 11,
    NewSynRecv = 12,
    BoundInactive = 13,
}

impl TryFrom<u8> for TcpState {
    type Error = u8;

    fn try_from(number: u8) -> Result<Self, u8> {
        Ok(match number {
            1 => Self::Established,
            2 => Self::SynSent,
            3 => Self::SynRecv,
            4 => Self::FinWait1,
            5 => Self::FinWait2,
            6 => Self::TimeWait,
            7 => Self::Close,
            8 => Self::CloseWait,
            9 => Self::LastAck,
            10 => Self::Listen,
            11 => Self::Closing,
            12 => Self::NewSynRecv,
            13 => Self::BoundInactive,
            unknown => return Err(unknown),
        })
    }
}

/// A system call of a tracked process: who did what to which descriptor, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Syscall {
    /// `listen`, `bind`, `connect`, `accept`, `accept4`, `close`, `close_range`, `dup2`, `dup3` or `shutdown`; of scap also
    /// `socket` and `dup`, which stands for `dup2` and `dup3` too in its API 1.
    pub name: CompactString,
    /// Entered or left.
    pub phase: SyscallPhase,
    /// The descriptor it was called with; -1 where the observer is not told, as scap at an accept.
    pub fd: i32,
    /// The second argument where it says something: backlog, new descriptor, how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argument: Option<i64>,
    /// The address that bind or connect was given; of scap, at other calls, where the descriptor is bound or connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Endpoint>,
    /// Both ends of the socket with which accept or connect was left, as far as the observer can tell: an address of zeros
    /// or port 0 is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuple: Option<Tuple>,
    /// Who.
    pub process: Process,
}

impl Syscall {
    /// Whether it is a call that can close a listener.
    pub fn can_close(&self) -> bool {
        ["close", "close_range", "dup2", "dup3", "shutdown"].contains(&self.name.as_str())
    }

    /// Whether it is entered here, not left.
    pub fn is_entry(&self) -> bool {
        self.phase == SyscallPhase::Enter
    }
}

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tuple {
    /// The process's own.
    pub local: Endpoint,
    /// The other.
    pub remote: Endpoint,
}

/// Entered, or left with a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyscallPhase {
    /// It was called.
    Enter,
    /// It returned: not negative for success (a descriptor for accept), else the negated errno.
    Exit(i64),
}

/// The tracked process tree changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum ProcessChange {
    /// A child was made.
    Fork {
        /// Who made it.
        parent: Process,
        /// The child.
        child: Tgid,
    },
    /// A new program runs in the process.
    Exec {
        /// Who, with the new command name.
        process: Process,
    },
    /// The last thread of the process is gone.
    Exit {
        /// Who.
        process: Process,
        /// As wait(2) would report it: exit code << 8, or the signal; none where the kernel's structures are not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<i32>,
    },
}

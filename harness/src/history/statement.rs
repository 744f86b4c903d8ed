//! What a traffic program says that it did: the truth with which a stream of events is compared.

use std::net::SocketAddr;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::kernel::Process;
use crate::clock::Timestamp;

/// One system call, as the program that made it states it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// Its name; `procexit` for the end of a thread, which is no call and has no result.
    pub call: CompactString,
    /// Who.
    pub process: Process,
    /// Its parent's number.
    pub parent: u32,
    /// What it returned: a negated errno for a failure. None when the caller does not live to see it, or goes on as
    /// another program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<i64>,
    /// It had not begun at this moment.
    pub before: Timestamp,
    /// It was over at this moment; none when the caller does not live to see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Timestamp>,
    /// What it was called with, and what it was about.
    #[serde(default)]
    pub with: Arguments,
}

/// The arguments of a call, as far as it has them, and the state of its socket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Arguments {
    /// The descriptor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fd: Option<i64>,
    /// The socket's family, as in socket(2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<i64>,
    /// The socket's type, with the flags in it.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<i64>,
    /// Its protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<i64>,
    /// The address that was handed over: to bind to, to connect to, to send to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// The socket's own end before the call, where that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_before: Option<Address>,
    /// The socket's own end after the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<Address>,
    /// The other end after the call; of whom an accept took in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<Address>,
    /// Of listen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backlog: Option<i64>,
    /// Of shutdown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub how: Option<i64>,
    /// Of accept4, sendto, recvfrom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<i64>,
    /// Bytes to be sent, or room for bytes to come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<i64>,
    /// The two descriptors of a socketpair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pair: Option<(i64, i64)>,
    /// What dup2 and dup3 replace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_fd: Option<i64>,
    /// Path of a program: of the one that runs, or that is to be executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The path by which the program that runs was executed, where that leads to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executed_as: Option<String>,
    /// Its arguments, from the second on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Vec<String>>,
    /// The status of a process that ends, as in wait(2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<i64>,
    /// Connections that wait to be accepted beside the one that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<i64>,
    /// How many such calls were made in a row, where it was not one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
}

/// An end of a socket, as the system call has it: a v4-mapped address stays one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Address {
    /// IPv4 or IPv6.
    Inet(SocketAddr),
    /// The path of a unix socket; of one without a name it is empty.
    Unix(String),
    /// A pointer to nowhere, or an address that is none.
    Bad,
}

/// With these closes a traffic program brackets what it states: each of its threads begins with one of the first and
/// ends with one of the second, and in between it makes no call of a kind that it states without stating it.
pub const BEGINS: i64 = 0x5058_0000;
/// See [`BEGINS`].
pub const ENDS: i64 = 0x5058_0001;

//! What an actor says that it did, and between which moments: one JSON object a line.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// One thing that was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// What.
    #[serde(flatten)]
    pub(crate) did: Did,
    /// It had not begun at this moment, in ns of CLOCK_MONOTONIC.
    pub(crate) before_ns: u64,
    /// It was over at this moment; none when the actor does not live to see it.
    pub(crate) after_ns: Option<u64>,
    /// The inode number of the network namespace in which it was done.
    pub(crate) netns: u32,
    /// Who did it.
    pub(crate) by: By,
}

/// A task, as far as it is known beforehand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct By {
    pub(crate) tgid: Option<u32>,
    pub(crate) tid: Option<u32>,
    pub(crate) comm: Option<String>,
}

/// What can be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "snake_case")]
pub(crate) enum Did {
    /// A socket began to listen.
    Opened(Name),
    /// It ceased to.
    Closed(Name),
    /// It seemed to listen, and was refused.
    Refused(Name),
    /// A system call that concerns sockets, and what it returned: a negated errno for a failure.
    Called { name: String, fd: i32, result: i64 },
    /// A connection was made.
    Connected { local: SocketAddr, remote: SocketAddr },
    /// A listener's connection was complete.
    Accepted { local: SocketAddr, remote: SocketAddr },
    /// A child was made.
    Forked { child: u32 },
    /// A program was executed; `by` has its name.
    Executed,
    /// A process ended, with this status of wait(2).
    Exited { status: i32 },
    /// The actor goes on when a byte comes on its standard input.
    Paused,
    /// This kernel cannot do it.
    Skipped { reason: String },
}

/// A listener.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Name {
    /// Its number in the scenario: an address may have several.
    pub(crate) listener: u32,
    pub(crate) at: SocketAddr,
    pub(crate) ipv6_only: bool,
}

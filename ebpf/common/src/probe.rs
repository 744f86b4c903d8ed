//! The places at which a record can be lost, each with a counter a CPU in the map `DROPS`.

/// A counter's index in the map `DROPS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Probe {
    /// The ring had no room for a socket's state.
    SocketState = 0,
    /// The ring had no room for a system call.
    Syscall = 1,
    /// The ring had no room for a fork, exec or exit.
    Process = 2,
    /// The map of tracked processes was full: a process is not followed.
    Tracked = 3,
    /// The map of followed sockets was full: a connection is not followed.
    Sockets = 4,
    /// The map of tracked ports was full: connections to a port are not followed.
    Ports = 5,
    /// The map of calls in progress was full: the end of a call is not recorded.
    Calls = 6,
}

impl Probe {
    /// All of them, in the order of their indices.
    pub const ALL: [Self; 7] =
        [Self::SocketState, Self::Syscall, Self::Process, Self::Tracked, Self::Sockets, Self::Ports, Self::Calls];

    /// Its name in the history.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SocketState => "socket_state",
            Self::Syscall => "syscall",
            Self::Process => "process",
            Self::Tracked => "map of tracked processes",
            Self::Sockets => "map of followed sockets",
            Self::Ports => "map of tracked ports",
            Self::Calls => "map of calls in progress",
        }
    }
}

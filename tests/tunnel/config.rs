//! `PortConfig` of the specification: every port and the reconnect timeout, read from the profile.

use std::time::Duration;

use portwitness::endpoint::Endpoint;
use portwitness::sut::{Profile, ProfileError};

/// In seconds: an hour.
const LONGEST_TIMEOUT: f64 = 3600.0;

/// In bytes: more than any tunnel needs to keep for one group of cases, unless it keeps what it carried.
const MEMORY_GROWTH: f64 = 1024e6;
/// More than the connections of any group that a failover cuts short.
const SOCKET_GROWTH: f64 = 16.0;

/// One of the two tunnels of each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tun {
    One,
    Two,
}

/// One of the two clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    One,
    Two,
}

/// Where a connection enters the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// At the server: it comes out at the active client.
    Server(Tun),
    /// At a client: it comes out at the server.
    Client(Client, Tun),
}

/// A port with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) endpoint: Endpoint,
}

/// What the profile allows the system, beside the specification.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Limits {
    /// Memory that a process may gain in a group of cases.
    pub(crate) memory_bytes: u64,
    /// Sockets that it may gain.
    pub(crate) sockets: u64,
    /// How many times as long as a bare relay its round trips may take; not judged where there is none.
    pub(crate) relay_times: Option<f64>,
    /// How long a connection that carries something may stand still; not judged where there is none.
    pub(crate) silence: Option<Duration>,
}

impl Limits {
    /// Reads `memory_growth_mb`, `socket_growth`, `relay_times_at_most` and `silence_at_most_secs`, each optional.
    pub(crate) fn read(profile: &Profile) -> Result<Self, ProfileError> {
        let memory = profile.optional_number("memory_growth_mb")?.map_or(MEMORY_GROWTH, |megabytes| megabytes * 1e6);
        let sockets = profile.optional_number("socket_growth")?.unwrap_or(SOCKET_GROWTH);
        let relay_times = profile.optional_number("relay_times_at_most")?;
        // Whatever is longer than an hour is no limit.
        let silence = profile.optional_number("silence_at_most_secs")?;
        let silence = silence.map(|seconds| Duration::from_secs_f64(seconds.min(3600.0)));
        Ok(Self { memory_bytes: memory as u64, sockets: sockets as u64, relay_times, silence })
    }
}

/// All ports of the system, and how long they stay closed at a failover.
#[derive(Clone, Debug)]
pub(crate) struct PortConfig {
    /// The specification's `reconnectTimeoutSecs`.
    pub(crate) reconnect_timeout: Duration,
    pub(crate) websocket: Port,
    server: [Port; 2],
    clients: [[Port; 2]; 2],
    client_backends: [[Port; 2]; 2],
    server_backends: [Port; 2],
}

impl Client {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::One => Self::Two,
            Self::Two => Self::One,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "client 1",
            Self::Two => "client 2",
        }
    }
}

impl Entry {
    /// The direction and the tunnel, as the specification names them: `server-to-client tun1`.
    pub(crate) fn direction(self) -> String {
        match self {
            Self::Server(tun) => format!("server-to-client {}", tun.name()),
            Self::Client(_, tun) => format!("client-to-server {}", tun.name()),
        }
    }
}

impl Tun {
    pub(crate) const BOTH: [Self; 2] = [Self::One, Self::Two];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "tun1",
            Self::Two => "tun2",
        }
    }
}

impl PortConfig {
    /// Reads the endpoints by the specification's names, in snake case.
    pub(crate) fn read(profile: &Profile) -> Result<Self, ProfileError> {
        let port = |name: String, key: &str| Ok(Port { name, endpoint: profile.endpoint(key)? });
        let pair = |name: &str, before: &str, after: &str| -> Result<[Port; 2], ProfileError> {
            Ok([
                port(format!("{name} tun1"), &format!("{before}_tun1_{after}"))?,
                port(format!("{name} tun2"), &format!("{before}_tun2_{after}"))?,
            ])
        };
        Ok(Self {
            reconnect_timeout: timeout(profile)?,
            websocket: port("websocket".into(), "websocket")?,
            server: pair("server", "server_to_client", "listen")?,
            clients: [
                pair("client 1", "client1_to_server", "listen")?,
                pair("client 2", "client2_to_server", "listen")?,
            ],
            client_backends: [
                pair("backend of client 1", "server_to_client1", "connect")?,
                pair("backend of client 2", "server_to_client2", "connect")?,
            ],
            server_backends: pair("backend of the server", "client_to_server", "connect")?,
        })
    }

    /// The port at which an entry listens.
    pub(crate) fn listen(&self, entry: Entry) -> &Port {
        match entry {
            Entry::Server(tun) => &self.server[tun as usize],
            Entry::Client(client, tun) => &self.clients[client as usize][tun as usize],
        }
    }

    /// The backend that an entry leads to while `active` is the active client.
    pub(crate) fn backend(&self, entry: Entry, active: Client) -> &Port {
        match entry {
            Entry::Server(tun) => &self.client_backends[active as usize][tun as usize],
            Entry::Client(_, tun) => &self.server_backends[tun as usize],
        }
    }

    /// The six backends.
    pub(crate) fn backends(&self) -> impl Iterator<Item = &Port> {
        self.client_backends.iter().flatten().chain(&self.server_backends)
    }

    /// The seven ports at which the system listens.
    pub(crate) fn listening(&self) -> impl Iterator<Item = &Port> {
        self.server.iter().chain(self.clients.iter().flatten()).chain([&self.websocket])
    }

    /// The four ports that close when `client` becomes active: the server's, and those of the new standby.
    pub(crate) fn closing(&self, client: Client) -> impl Iterator<Item = &Port> {
        self.server.iter().chain(&self.clients[client.other() as usize])
    }

    /// The three ports that stay open when `client` becomes active: its own, and the websocket's.
    pub(crate) fn staying(&self, client: Client) -> impl Iterator<Item = &Port> {
        self.clients[client as usize].iter().chain([&self.websocket])
    }
}

fn timeout(profile: &Profile) -> Result<Duration, ProfileError> {
    let key = "reconnect_timeout_secs";
    let seconds = profile.number(key)?;
    if seconds <= LONGEST_TIMEOUT {
        return Ok(Duration::from_secs_f64(seconds));
    }
    let (name, found) = (profile.name.clone(), seconds.to_string());
    Err(ProfileError::WrongType { name, key: key.into(), wanted: "at most 3600 seconds", found })
}

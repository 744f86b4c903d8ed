//! Which sightings are shown.

use std::net::IpAddr;
use std::str::FromStr;

use super::life::{Meaning, Sighting};
use crate::endpoint::Endpoint;
use crate::history::{Event, TcpState};

/// All of these must match; one that names nothing matches everything.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Any of these states, before or after.
    pub states: Vec<StateFilter>,
    /// Any of these addresses, at either end.
    pub addresses: Vec<AddressFilter>,
    /// Any of these command names.
    pub comms: Vec<String>,
}

/// A state of a socket, in words of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[allow(missing_docs, reason = "the names are the states' names in RFC 9293")]
pub enum StateFilter {
    /// A port opened or closed.
    Listen,
    SynSent,
    SynRecv,
    Established,
    #[value(name = "fin-wait1")]
    FinWait1,
    #[value(name = "fin-wait2")]
    FinWait2,
    CloseWait,
    LastAck,
    Closing,
    /// A port or a connection ended.
    Close,
}

/// An address with or without a port: `127.0.0.1`, `::1`, `127.0.0.1:80`, `[::1]:80`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressFilter {
    ip: IpAddr,
    port: Option<u16>,
}

impl Filter {
    /// Whether a sighting is shown; of the states of a connection without being asked only its beginning and its end,
    /// unless `every_state`. Losses always are.
    pub fn takes(&self, sighting: &Sighting<'_>, every_state: bool) -> bool {
        if sighting.meaning == Meaning::Lost {
            return true;
        }
        let state = match self.states.as_slice() {
            [] => every_state || sighting.meaning != Meaning::Step,
            states => states.iter().any(|state| state.matches(sighting)),
        };
        let ends = ends(&sighting.record.event);
        let address = self.addresses.is_empty()
            || self.addresses.iter().any(|wanted| ends.iter().flatten().any(|end| wanted.matches(*end)));
        let comm = self.comms.is_empty()
            || sighting.who.as_ref().is_some_and(|who| self.comms.iter().any(|comm| who.comm == comm.as_str()));
        state && address && comm
    }
}

/// Both ends of the socket that an event is about.
fn ends(event: &Event) -> [Option<Endpoint>; 2] {
    match event {
        Event::SocketState(change) => [Some(change.local), change.remote],
        Event::Listening(seed) => [Some(seed.local), None],
        Event::Syscall(call) => [call.address, None],
        _ => [None, None],
    }
}

impl StateFilter {
    fn matches(self, sighting: &Sighting<'_>) -> bool {
        let change = match &sighting.record.event {
            Event::Listening(_) => return self == Self::Listen,
            Event::SocketState(change) => change,
            _ => return false,
        };
        // A connection that begins at a listener is no news of the listener.
        if (change.from, change.to) == (TcpState::Listen, TcpState::SynRecv) {
            return self == Self::SynRecv;
        }
        let state = match self {
            Self::Listen => TcpState::Listen,
            Self::SynSent => TcpState::SynSent,
            Self::SynRecv => TcpState::SynRecv,
            Self::Established => TcpState::Established,
            Self::FinWait1 => TcpState::FinWait1,
            Self::FinWait2 => TcpState::FinWait2,
            Self::CloseWait => TcpState::CloseWait,
            Self::LastAck => TcpState::LastAck,
            Self::Closing => TcpState::Closing,
            Self::Close => return change.to == TcpState::Close,
        };
        change.from == state || change.to == state
    }
}

impl AddressFilter {
    fn matches(self, end: Endpoint) -> bool {
        let port = self.port.unwrap_or(end.port());
        end.covers(Endpoint::new(self.ip, port), false)
    }
}

impl FromStr for AddressFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self { ip: ip.to_canonical(), port: None });
        }
        let endpoint: Endpoint = text.parse().map_err(|_| format!("`{text}` is neither ADDRESS nor ADDRESS:PORT"))?;
        Ok(Self { ip: endpoint.ip(), port: Some(endpoint.port()) })
    }
}

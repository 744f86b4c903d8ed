//! What a handler's process is told: which scenario, where, with which marker, until when.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Dialogue;
use crate::endpoint::Endpoint;

/// From one handler's own address to the next: it has as many connections at the most, each with an address of its own.
const ADDRESSES: u32 = 250;

/// A scenario, ready to be carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// In words.
    pub name: String,
    /// The `type` of the reports that it expects.
    pub minipot: String,
    /// What is carried out.
    pub program: Program,
    /// Where it connects to.
    pub target: Endpoint,
    /// The address of its first connection, the others have the following ones. None: as the kernel chooses.
    pub address: Option<IpAddr>,
    /// What it puts into user names and URLs: nobody else in the run has it.
    pub marker: String,
    /// What is random in it follows from this.
    pub seed: u64,
    /// Connections that it has open at once, at the most: minipots take five.
    pub connections: u32,
    /// It is killed after this long.
    pub deadline: Duration,
    /// A reply must come within this time where the scenario says nothing else.
    pub wait: Duration,
    /// Values for it, by name.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
}

/// What is carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// A dialogue file.
    Dialogue {
        /// Where it came from, for messages.
        path: PathBuf,
        /// What stands in it.
        text: String,
    },
    /// A handler in Rust, by the name under which the program has it.
    Coded {
        /// Of [`Registered`](super::Registered).
        name: String,
    },
}

impl Scenario {
    /// A dialogue against a target. Its marker and address are given by whoever runs it.
    pub fn dialogue(dialogue: &Dialogue, target: Endpoint) -> Self {
        Self {
            name: dialogue.name.clone(),
            minipot: dialogue.minipot.clone(),
            program: Program::Dialogue { path: dialogue.path.clone(), text: dialogue.text.clone() },
            target: if dialogue.ipv6 { with_ipv6(target) } else { target },
            address: None,
            marker: String::new(),
            seed: 0,
            connections: dialogue.connections(),
            deadline: dialogue.deadline,
            wait: dialogue.wait,
            variables: BTreeMap::new(),
        }
    }

    /// A handler in Rust that has one connection at a time, with 30 s in all and 5 s a reply.
    pub fn coded(name: &str, minipot: &str, target: Endpoint) -> Self {
        Self {
            name: name.into(),
            minipot: minipot.into(),
            program: Program::Coded { name: name.into() },
            target,
            address: None,
            marker: String::new(),
            seed: 0,
            connections: 1,
            deadline: Duration::from_secs(30),
            wait: Duration::from_secs(5),
            variables: BTreeMap::new(),
        }
    }

    /// The address of its first connection, if it is one of the target's kind: IPv6 is spoken from the address that the
    /// kernel chooses.
    pub fn source(&self) -> Option<IpAddr> {
        self.address.filter(|address| address.is_ipv4() == self.target.ip().is_ipv4())
    }

    /// The same with a value for a variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }
}

/// The first address of the handler with this number (from 1): 127.16.0.1, 127.16.1.1, ... Each has 250 of its own.
pub fn address(handler: u64) -> IpAddr {
    let index = (handler.saturating_sub(1) % (0xE0 << 8)) as u32;
    IpAddr::V4(Ipv4Addr::from(0x7F10_0001 + (index << 8)))
}

/// The loopback address of IPv6 for one of IPv4.
fn with_ipv6(target: Endpoint) -> Endpoint {
    match target.ip() {
        IpAddr::V4(ip) if ip.is_loopback() => Endpoint::new(Ipv6Addr::LOCALHOST.into(), target.port()),
        _ => target,
    }
}

/// The address of a connection of a handler.
pub fn address_of(first: IpAddr, connection: u32) -> Option<IpAddr> {
    match first {
        IpAddr::V4(first) if connection < ADDRESSES => Some(IpAddr::V4(Ipv4Addr::from(u32::from(first) + connection))),
        // There is one loopback address of IPv6.
        IpAddr::V6(first) => Some(IpAddr::V6(first)),
        IpAddr::V4(_) => None,
    }
}

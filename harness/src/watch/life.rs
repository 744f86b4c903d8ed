//! Gives each record its meaning by all that came before it. Memory is bounded by ports and by connections under way.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::port::{Age, Port};
use crate::clock::Timestamp;
use crate::endpoint::{Endpoint, SocketId};
use crate::history::{Event, Process, ProcessChange, Record, SocketState, TcpState};

/// What a record means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A port listens since before the watch began.
    Listening,
    /// A port opened, and was closed for so long before, where that was seen.
    Opened(Option<Duration>),
    /// Another socket listens at an open port, and they are so many now.
    Joined(usize),
    /// A socket ceased to listen, and so many are left.
    Left(usize),
    /// A port closed, after it listened for so long.
    Closed(Age),
    /// A socket that seemed to listen never did.
    Refused,
    /// A connection was accepted by the kernel, on behalf of a listener.
    Accepted,
    /// A connect succeeded, and took so long.
    Connected(Duration),
    /// A connect failed after so long.
    Failed(Duration),
    /// An established connection ended, after so long.
    Ended(Duration),
    /// A connection went from one state to another in between.
    Step,
    /// Records were lost.
    Lost,
    /// Everything else: processes, system calls, what observers say.
    Other,
}

/// A record with its meaning.
#[derive(Clone, Debug)]
pub struct Sighting<'a> {
    /// The record.
    pub record: &'a Record,
    /// What it means.
    pub meaning: Meaning,
    /// Who did it; of a connection, whose it is. None where that cannot be told.
    pub who: Option<Process>,
    /// The connection was accepted here, not made from here.
    pub incoming: bool,
}

/// Everything that is known of ports and connections.
#[derive(Debug)]
pub struct Lives {
    began: Timestamp,
    /// The observed network namespace, for what an observer cannot place.
    home: u32,
    /// By endpoint and network namespace.
    ports: BTreeMap<(Endpoint, u32), Port>,
    connections: HashMap<SocketId, Connection>,
    /// Connections so far.
    pub counts: Counts,
    /// Records that were lost, by probe.
    pub lost: BTreeMap<String, u64>,
    /// Why the observer died, if it did.
    pub died: Option<String>,
}

/// Connections, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Accepted by a listener.
    pub accepted: u64,
    /// Made by a connect.
    pub connected: u64,
    /// Connects that failed.
    pub failed: u64,
    /// Of the established ones, those that ended.
    pub ended: u64,
}

#[derive(Debug)]
struct Connection {
    began: Timestamp,
    established: Option<Timestamp>,
    who: Option<Process>,
    incoming: bool,
}

impl Lives {
    /// Nothing is known yet; the watch begins, in this network namespace.
    pub fn new(began: Timestamp, home: u32) -> Self {
        Self {
            began,
            home,
            ports: BTreeMap::new(),
            connections: HashMap::new(),
            counts: Counts::default(),
            lost: BTreeMap::new(),
            died: None,
        }
    }

    /// When the watch began.
    pub fn began(&self) -> Timestamp {
        self.began
    }

    /// The observed network namespace.
    pub fn home(&self) -> u32 {
        self.home
    }

    /// Every port that was seen, with its network namespace.
    pub fn ports(&self) -> impl Iterator<Item = (Endpoint, u32, &Port)> {
        self.ports.iter().map(|((endpoint, netns), port)| (*endpoint, *netns, port))
    }

    /// Takes the next record, and says what it means.
    pub fn take<'a>(&mut self, record: &'a Record) -> Sighting<'a> {
        let at = record.at;
        let (meaning, who, incoming) = match &record.event {
            Event::Listening(seed) => {
                self.port(seed.local, seed.netns).seeded(at, seed.process.clone());
                (Meaning::Listening, seed.process.clone(), false)
            }
            Event::SocketState(change) => match (change.from, change.to) {
                (TcpState::Close, TcpState::Listen) => {
                    let joined = self.port(change.local, change.netns).joined(at, &change.process);
                    (joined.map_or_else(Meaning::Joined, Meaning::Opened), seen(&change.process), false)
                }
                (TcpState::Listen, TcpState::Close) if change.refused => {
                    self.port(change.local, change.netns).refused();
                    (Meaning::Refused, seen(&change.process), false)
                }
                (TcpState::Listen, TcpState::Close) => {
                    let began = self.began;
                    let left = self.port(change.local, change.netns).left(at, began);
                    (left.map_or_else(Meaning::Left, Meaning::Closed), seen(&change.process), false)
                }
                _ => self.connection(at, change),
            },
            Event::Process(change) => {
                let (ProcessChange::Fork { parent: process, .. }
                | ProcessChange::Exec { process }
                | ProcessChange::Exit { process, .. }) = change;
                (Meaning::Other, Some(process.clone()), false)
            }
            Event::Syscall(call) => (Meaning::Other, Some(call.process.clone()), false),
            Event::Loss { probe, count, .. } => {
                *self.lost.entry(probe.clone()).or_default() += count;
                (Meaning::Lost, None, false)
            }
            Event::Observer(crate::history::ObserverChange::Died { reason }) => {
                self.died = Some(reason.clone());
                (Meaning::Lost, None, false)
            }
            _ => (Meaning::Other, None, false),
        };
        Sighting { record, meaning, who, incoming }
    }

    fn port(&mut self, local: Endpoint, netns: u32) -> &mut Port {
        let netns = if netns == 0 { self.home } else { netns };
        self.ports.entry((local, netns)).or_insert_with(Port::new)
    }

    /// The port that accepted a connection at `local`: there, or at a wildcard that covers it.
    fn accepting(&mut self, local: Endpoint, netns: u32) -> Option<&mut Port> {
        let netns = if netns == 0 { self.home } else { netns };
        let wildcards = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        let places = [local.ip()].into_iter().chain(wildcards).map(|ip| Endpoint::new(ip, local.port()));
        let accepts = |place: &Endpoint| {
            place.covers(local, false) && self.ports.get(&(*place, netns)).is_some_and(|port| port.sockets > 0)
        };
        let place = places.into_iter().find(accepts)?;
        self.ports.get_mut(&(place, netns))
    }

    fn connection(&mut self, at: Timestamp, change: &SocketState) -> (Meaning, Option<Process>, bool) {
        if let Some(begun) = self.begin(at, change) {
            self.connections.insert(change.socket, begun);
        }
        // What began before the watch has neither owner nor age.
        let Some(connection) = self.connections.get_mut(&change.socket) else { return (Meaning::Step, None, false) };
        let (who, incoming) = (connection.who.clone(), connection.incoming);
        let meaning = match change.to {
            TcpState::Established => {
                connection.established = Some(at);
                let took = at.since(connection.began);
                if incoming {
                    self.counts.accepted += 1;
                    if let Some(port) = self.accepting(change.local, change.netns) {
                        port.accepted += 1;
                    }
                    Meaning::Accepted
                } else {
                    self.counts.connected += 1;
                    Meaning::Connected(took)
                }
            }
            TcpState::Close => {
                let (began, established) = (connection.began, connection.established);
                self.connections.remove(&change.socket);
                match established {
                    Some(established) => {
                        self.counts.ended += 1;
                        Meaning::Ended(at.since(established))
                    }
                    None if incoming => Meaning::Step,
                    None => {
                        self.counts.failed += 1;
                        Meaning::Failed(at.since(began))
                    }
                }
            }
            _ => Meaning::Step,
        };
        (meaning, who, incoming)
    }

    /// A connection that begins with this change. Only its connect runs in the task that asked for it.
    fn begin(&mut self, at: Timestamp, change: &SocketState) -> Option<Connection> {
        let (who, incoming) = match (change.from, change.to) {
            (TcpState::Close, TcpState::SynSent) => (seen(&change.process), false),
            (TcpState::Listen, TcpState::SynRecv) => {
                (self.accepting(change.local, change.netns).and_then(|port| port.holder.clone()), true)
            }
            _ => return None,
        };
        Some(Connection { began: at, established: None, who, incoming })
    }
}

/// A process, unless the observer could not see one.
fn seen(process: &Process) -> Option<Process> {
    (process.tgid.0 != 0 || !process.comm.is_empty()).then(|| process.clone())
}

//! Which sockets listen: folded from records, for live waits and for checks alike.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::kernel::{Process, SocketState, TcpState};
use super::record::{Event, Record};
use crate::endpoint::{Endpoint, SocketId};

/// The set of listening sockets at one moment.
#[derive(Clone, Debug, Default)]
pub struct Listeners {
    sockets: HashMap<SocketId, Listener>,
    /// Sockets that listened before observation began: their kernel addresses are not known, so they are counted.
    seeded: Vec<Listener>,
}

#[derive(Clone, Debug)]
struct Listener {
    local: Endpoint,
    netns: u32,
    ipv6_only: bool,
    process: Option<Process>,
}

impl Listeners {
    /// Takes a record into account; records that say nothing of listeners change nothing.
    pub fn apply(&mut self, record: &Record) {
        match &record.event {
            Event::Listening(seed) => {
                self.seeded.push(Listener {
                    local: seed.local,
                    netns: seed.netns,
                    ipv6_only: seed.ipv6_only,
                    process: seed.process.clone(),
                });
            }
            Event::SocketState(change) if change.from == TcpState::Close && change.to == TcpState::Listen => {
                let listener = Listener {
                    local: change.local,
                    netns: change.netns,
                    ipv6_only: change.ipv6_only,
                    process: Some(change.process.clone()),
                };
                self.sockets.insert(change.socket, listener);
            }
            Event::SocketState(change) if change.from == TcpState::Listen && change.to == TcpState::Close => {
                if self.sockets.remove(&change.socket).is_none()
                    && let Some(known) =
                        seed_of(change, self.seeded.iter().map(|it| (it.local, it.netns, it.ipv6_only)))
                {
                    self.seeded.swap_remove(known);
                }
            }
            _ => {}
        }
    }

    /// How many sockets a connect to `target` could reach, in the network namespace with this inode number.
    pub fn count(&self, target: Endpoint, netns: u32) -> usize {
        self.covering(target, netns).count()
    }

    /// Who holds a socket that a connect to `target` could reach, where that is known.
    pub fn holder(&self, target: Endpoint, netns: u32) -> Option<&Process> {
        self.covering(target, netns).find_map(|listener| listener.process.as_ref())
    }

    fn covering(&self, target: Endpoint, netns: u32) -> impl Iterator<Item = &Listener> {
        self.sockets
            .values()
            .chain(&self.seeded)
            .filter(move |known| same_netns(known.netns, netns) && known.local.covers(target, known.ipv6_only))
    }

    /// A listening socket that keeps others from listening at `wanted`, and who holds it, where that is known.
    pub fn in_the_way(&self, wanted: Endpoint, netns: u32) -> Option<(Endpoint, Option<&Process>)> {
        let mut all = self.sockets.values().chain(&self.seeded);
        all.find(|known| same_netns(known.netns, netns) && known.local.collides(wanted))
            .map(|known| (known.local, known.process.as_ref()))
    }

    /// Every listening endpoint, sorted; an endpoint stands once for each of its sockets.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let mut all: Vec<_> = self.sockets.values().chain(&self.seeded).map(|listener| listener.local).collect();
        all.sort();
        all
    }
}

/// Which of these seeds (address, namespace, IPv6 only) is the socket that closed: the one that is quite like it, else one of
/// which it was not known whether it takes IPv4 connections.
pub(super) fn seed_of(closed: &SocketState, seeds: impl Iterator<Item = (Endpoint, u32, bool)>) -> Option<usize> {
    let alike =
        seeds.enumerate().filter(|(_, (local, netns, _))| *local == closed.local && same_netns(*netns, closed.netns));
    let (index, _) =
        alike.max_by_key(|(index, (_, _, ipv6_only))| (*ipv6_only == closed.ipv6_only, Reverse(*index)))?;
    Some(index)
}

/// Zero stands for a namespace that the observer cannot tell.
fn same_netns(one: u32, other: u32) -> bool {
    one == other || one == 0 || other == 0
}

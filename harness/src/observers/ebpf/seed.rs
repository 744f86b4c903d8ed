//! What listened before the programs were attached, without counting anything twice.
//!
//! The programs are attached first, and what they report stays on the ring while the kernel is asked for what listens. The transition to
//! LISTEN is reported before the socket can be listed (net/ipv4/inet_connection_sock.c, inet_csk_listen_start),
//! so after the reading the ring holds the opening of every socket in the list that opened meanwhile: these are no
//! seeds. A socket that changed while the list was being read may or may not be in it: then it is read again.

use std::collections::HashMap;
use std::io;

use super::decode::process_of;
use super::load::Loaded;
use super::reader::Reader;
use crate::clock::Timestamp;
use crate::endpoint::Endpoint;
use crate::history::{Event, Listening, Record, SocketState, Source, TcpState};
use crate::observers::Scope;
use crate::observers::procfs::{self, PortFilter};

/// Listeners may come and go all the time; after this many readings what was in all of them counts.
const ATTEMPTS: usize = 12;

/// Appends the seeds at these ports, amid what the ring holds so far.
pub(super) fn seed(reader: &mut Reader, loaded: &mut Loaded, scope: &Scope, ports: &PortFilter) -> io::Result<()> {
    let mut seen = Vec::new();
    let mut readings = Vec::new();
    let (at, seeds) = loop {
        let at = Timestamp::now();
        let listening = procfs::listeners(scope.netns, ports)?;
        reader.drain(|records| seen.extend(records));
        let earlier = seen.iter().take_while(|record| record.at < at);
        let seeds = without_opened(listening, earlier);
        if !seen.iter().any(|record| record.at >= at && edge(record).is_some()) {
            break (at, seeds);
        }
        readings.push(seeds);
        if readings.len() == ATTEMPTS {
            break (at, in_all(readings));
        }
    };
    let seeds = with_owners(loaded, seeds);
    let mut seen = seen.into_iter().peekable();
    while let Some(record) = seen.next_if(|record| record.at < at) {
        scope.recorder.append(record);
    }
    for seed in seeds {
        scope.recorder.append(Record { at, uncertainty_ns: 0, source: Source::Procfs, event: Event::Listening(seed) });
    }
    seen.for_each(|record| scope.recorder.append(record));
    Ok(())
}

/// A socket that listens, by its inode number.
type Seed = (u64, Listening);

/// With an owner where the kernel can be asked for it; /proc is not: to find an owner there touches the descriptors of every
/// process.
fn with_owners(loaded: &mut Loaded, seeds: Vec<Seed>) -> Vec<Listening> {
    let asked = loaded.holders(&seeds.iter().map(|(inode, _)| *inode).collect());
    let owners = asked.unwrap_or_else(|why| {
        tracing::debug!("who holds what listens already cannot be told: {why}");
        HashMap::new()
    });
    let with_owner = |(inode, seed): Seed| {
        let process = owners.get(&inode).map(|it| process_of(it.tgid, it.tgid, &it.comm));
        Listening { process, ..seed }
    };
    seeds.into_iter().map(with_owner).collect()
}

/// Leaves out a seed for every socket that opened, and did not close again, in `earlier`.
fn without_opened<'a>(listening: Vec<Seed>, earlier: impl Iterator<Item = &'a Record>) -> Vec<Seed> {
    let mut open = HashMap::new();
    for change in earlier.filter_map(edge) {
        if change.to == TcpState::Listen {
            open.insert(change.socket, change.local);
        } else {
            open.remove(&change.socket);
        }
    }
    let mut opened: Vec<Endpoint> = open.into_values().collect();
    let is_seed = |(_, seed): &Seed| match opened.iter().position(|local| *local == seed.local) {
        Some(known) => {
            opened.swap_remove(known);
            false
        }
        None => true,
    };
    listening.into_iter().filter(is_seed).collect()
}

/// What the last reading shares with each other one. Sockets that open and close at one address all the time are others in each
/// reading, by their inode numbers: the kernel counts these up (fs/inode.c, get_next_ino).
fn in_all(mut readings: Vec<Vec<Seed>>) -> Vec<Seed> {
    let mut last = readings.pop().unwrap_or_default();
    for reading in readings {
        last.retain(|(inode, seed)| reading.iter().any(|(other, same)| other == inode && same.local == seed.local));
    }
    last
}

/// A listener that appeared or went.
fn edge(record: &Record) -> Option<&SocketState> {
    match &record.event {
        Event::SocketState(change) => match (change.from, change.to) {
            (TcpState::Close, TcpState::Listen) | (TcpState::Listen, TcpState::Close) => Some(change),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::endpoint::SocketId;
    use crate::history::Process;

    fn listening(inode: u64, local: &str) -> Seed {
        (inode, Listening { local: local.parse().unwrap(), netns: 1, ipv6_only: false, process: None })
    }

    fn change(socket: u64, local: &str, opens: bool) -> Record {
        let (from, to) = if opens { (TcpState::Close, TcpState::Listen) } else { (TcpState::Listen, TcpState::Close) };
        let event = Event::SocketState(SocketState {
            socket: SocketId(socket),
            netns: 1,
            local: local.parse().unwrap(),
            remote: None,
            from,
            to,
            ipv6_only: false,
            refused: false,
            process: Process::default(),
        });
        Record { at: Timestamp(socket), uncertainty_ns: 0, source: Source::Ebpf, event }
    }

    #[test]
    fn what_opened_meanwhile_is_no_seed() {
        let list = vec![listening(1, "127.0.0.1:1"), listening(2, "127.0.0.1:2"), listening(3, "127.0.0.1:2")];
        let earlier = [change(9, "127.0.0.1:2", true)];
        let seeds = without_opened(list, earlier.iter());
        assert_eq!(seeds, [listening(1, "127.0.0.1:1"), listening(3, "127.0.0.1:2")]);
    }

    #[test]
    fn what_opened_and_closed_again_takes_no_seed_away() {
        let earlier = [change(9, "127.0.0.1:2", true), change(9, "127.0.0.1:2", false)];
        let seeds = without_opened(vec![listening(2, "127.0.0.1:2")], earlier.iter());
        assert_eq!(seeds, [listening(2, "127.0.0.1:2")]);
    }

    #[test]
    fn what_was_not_in_every_reading_is_no_seed() {
        let [old, passing] = [listening(1, "127.0.0.1:1"), listening(2, "127.0.0.1:2")];
        let again = listening(3, "127.0.0.1:2");
        let readings = vec![vec![old.clone(), passing], vec![again.clone(), old.clone()], vec![again, old.clone()]];
        assert_eq!(in_all(readings), [old], "another socket at the same address each time");
        assert_eq!(in_all(Vec::new()), []);
    }
}

//! What /proc tells: which sockets listen at this moment, and who holds them.

mod descriptors;
mod resources;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use procfs::FromBufReadSI;
use procfs::net::{TcpNetEntries, TcpNetEntry, TcpState};

use super::sock_diag::netlink::{self, Listener};
use crate::endpoint::{Endpoint, Tgid};
use crate::history::{Listening, Process};
pub use descriptors::{SocketDescriptor, Thread, origin, socket_descriptors, threads};
pub use resources::resources;

/// The inode number of the calling thread's network namespace.
pub fn own_netns() -> io::Result<u32> {
    netns_of(Path::new("/proc/thread-self"))
}

/// The inode number of a process's network namespace; an error names the process when there is none, or it may not be
/// looked at.
pub fn netns_of_process(process: u32) -> io::Result<u32> {
    netns_of(&PathBuf::from(format!("/proc/{process}"))).map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::NotFound => format!("there is no process {process}"),
            _ => format!("process {process} may not be looked at: {error}; run as root"),
        };
        io::Error::new(error.kind(), why)
    })
}

/// The process that a thread belongs to; a process belongs to itself.
pub fn process_of(thread: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

/// Whether a process is there at this moment.
pub fn is_there(process: u32) -> bool {
    Path::new("/proc").join(process.to_string()).exists()
}

/// These processes with all of their descendants that are there at this moment.
pub fn tree(roots: &[u32]) -> io::Result<BTreeSet<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for process in processes()? {
        // `PID (comm) STATE PPID ...`, and the name may hold spaces and parentheses (proc_pid_stat(5)).
        let Ok(stat) = fs::read_to_string(process.join("stat")) else { continue };
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        if let (Some(parent), Some(process)) = (parent, number(&process)) {
            children.entry(parent).or_default().push(process);
        }
    }
    let mut found = BTreeSet::new();
    let mut pending = roots.to_vec();
    while let Some(process) = pending.pop() {
        if found.insert(process) {
            pending.extend(children.remove(&process).unwrap_or_default());
        }
    }
    Ok(found)
}

/// What it means that these two and [`taken`] look for the holders of sockets in /proc. To look at a descriptor there, or only
/// to list them, is to hold the open file for a moment (fs/proc/fd.c, Linux 6.18): a process that closes it in that moment
/// leaves the close to whoever looked, 5 times in 31,000 with another that looked without a pause, up to 1.8 ms late.
pub const TOUCHES: &str = "who holds a socket is looked for in /proc, which can delay a close in the same moment";

/// The ports at which any of these processes holds a listening socket of this network namespace; see [`TOUCHES`].
pub fn ports_of(netns: u32, processes: &BTreeSet<u32>) -> io::Result<BTreeSet<u16>> {
    let held: HashSet<u64> = sockets_of(processes);
    let listening = listening(&folder_in(netns)?)?.into_iter();
    Ok(listening.filter(|socket| held.contains(&socket.inode)).map(|socket| socket.local.port()).collect())
}

/// The sockets that these processes hold, by inode number, as far as this user may see; see [`TOUCHES`].
pub fn sockets_of(processes: &BTreeSet<u32>) -> HashSet<u64> {
    processes.iter().flat_map(|process| sockets_in(&PathBuf::from(format!("/proc/{process}")))).collect()
}

/// How many descriptors of this process are sockets, as far as this user may see; see [`TOUCHES`].
pub fn count_sockets(process: u32) -> u64 {
    sockets_in(&PathBuf::from(format!("/proc/{process}"))).count() as u64
}

/// Ports whose listeners are of interest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortFilter {
    /// Every port.
    All,
    /// These.
    These(BTreeSet<u16>),
}

impl PortFilter {
    fn takes(&self, port: u16) -> bool {
        match self {
            Self::All => true,
            Self::These(ports) => ports.contains(&port),
        }
    }
}

/// The TCP sockets that listen at these ports of the network namespace with this inode number, IPv4 and IPv6, each with its
/// own inode number; who holds them is not told here.
pub fn listeners(netns: u32, ports: &PortFilter) -> io::Result<Vec<(u64, Listening)>> {
    if *ports == PortFilter::These(BTreeSet::new()) {
        return Ok(Vec::new());
    }
    let mut sockets = listening(&folder_in(netns)?)?;
    sockets.retain(|socket| ports.takes(socket.local.port()));
    let listening = |it: &Listener| Listening { local: it.local, netns, ipv6_only: it.ipv6_only, process: None };
    Ok(sockets.iter().map(|socket| (socket.inode, listening(socket))).collect())
}

/// A socket that keeps others from listening where it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Where it listens: at the address that was asked for, or one that collides with it.
    pub at: Endpoint,
    /// Who holds it, where this user may see that.
    pub by: Option<Process>,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by {
            Some(process) => write!(f, "{process}")?,
            None => f.write_str("a process that this user may not see")?,
        }
        write!(f, " at {}", self.at)
    }
}

/// What in the calling thread's network namespace keeps others from listening at `endpoint`; see [`TOUCHES`]: this is for
/// messages about what is in the way, never for what is observed.
pub fn taken(endpoint: Endpoint) -> Option<Taken> {
    let sockets = listening(Path::new("/proc/thread-self")).ok()?;
    let found = sockets.iter().find(|socket| socket.local.collides(endpoint))?;
    let by = holders(&HashSet::from([found.inode])).remove(&found.inode);
    Some(Taken { at: found.local, by })
}

fn netns_of(process: &Path) -> io::Result<u32> {
    // The inode numbers of namespaces are 32 bits wide (include/linux/ns_common.h).
    fs::metadata(process.join("ns/net")).map(|namespace| namespace.ino() as u32)
}

/// A folder of /proc whose `net` shows this namespace: our own thread's, or that of some process within it.
fn folder_in(netns: u32) -> io::Result<PathBuf> {
    let own = PathBuf::from("/proc/thread-self");
    if netns_of(&own)? == netns {
        return Ok(own);
    }
    processes()?
        .find(|process| netns_of(process).is_ok_and(|other| other == netns))
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no process is in network namespace {netns}")))
}

fn processes() -> io::Result<impl Iterator<Item = PathBuf>> {
    let is_number = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit());
    Ok(fs::read_dir("/proc")?.filter_map(|entry| Some(entry.ok()?.path())).filter(is_number))
}

/// Every listening TCP socket in the network namespace of this process. sock_diag(7) is asked first: to read
/// /proc/net/tcp takes a walk through the table of all connections, and it does not tell IPv6-only sockets.
fn listening(process: &Path) -> io::Result<Vec<Listener>> {
    let asked = netlink::listening(&process.join("ns/net"));
    if let Ok(listeners) = asked {
        return Ok(listeners);
    }
    let found: Vec<Listener> = tables(process)?.into_iter().map(Listener::from).collect();
    if found.iter().any(|it| it.local.ip().is_ipv6() && it.local.ip().is_unspecified()) {
        tracing::warn!("whether listeners at [::] that are there already take IPv4 connections is not known");
    }
    Ok(found)
}

impl From<TcpNetEntry> for Listener {
    fn from(socket: TcpNetEntry) -> Self {
        Self { local: Endpoint::from(socket.local_address), ipv6_only: false, inode: socket.inode }
    }
}

fn tables(process: &Path) -> io::Result<Vec<TcpNetEntry>> {
    let mut all = Vec::new();
    for table in ["net/tcp", "net/tcp6"] {
        let file = match fs::File::open(process.join(table)) {
            Ok(file) => file,
            // A kernel without IPv6 has no such table.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        all.extend(listening_in(BufReader::new(file)).map_err(|error| io::Error::other(format!("{table}: {error}")))?);
    }
    Ok(all)
}

/// The listening sockets of a table, as /proc/net/tcp has it.
fn listening_in(table: impl BufRead) -> procfs::ProcResult<impl Iterator<Item = TcpNetEntry>> {
    let entries = TcpNetEntries::from_buf_read(table, &procfs::LocalSystemInfo)?;
    Ok(entries.0.into_iter().filter(|socket| socket.state == TcpState::Listen))
}

/// For each of these sockets, by inode number, a process that holds it, as far as this user may see.
fn holders(sockets: &HashSet<u64>) -> HashMap<u64, Process> {
    let mut found = HashMap::new();
    let Ok(processes) = processes() else { return found };
    for process in processes {
        if found.len() == sockets.len() {
            break;
        }
        for inode in sockets_in(&process).filter(|inode| sockets.contains(inode)) {
            found.entry(inode).or_insert_with(|| process_at(&process));
        }
    }
    found
}

/// The inode numbers of the sockets that a process holds.
fn sockets_in(process: &Path) -> impl Iterator<Item = u64> + use<> {
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten();
    let links = descriptors.filter_map(|descriptor| fs::read_link(descriptor.ok()?.path()).ok());
    links.filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
}

/// The number of a process's folder.
fn number(folder: &Path) -> Option<u32> {
    folder.file_name()?.to_str()?.parse().ok()
}

fn process_at(folder: &Path) -> Process {
    let tgid = number(folder).unwrap_or_default();
    let comm = fs::read_to_string(folder.join("comm")).unwrap_or_default();
    Process { tgid: Tgid(tgid), tid: tgid, comm: comm.trim_end().into() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::TcpListener;

    use proptest::prelude::*;

    use super::*;
    use crate::properties::{config, text};

    #[test]
    fn a_listener_is_found_with_its_owner() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let local = Endpoint::from(listener.local_addr().unwrap());
            let seen = listeners(own_netns().unwrap(), &PortFilter::These([local.port()].into())).unwrap();
            assert!(seen.iter().any(|(_, seed)| seed.local == local), "{seen:?}");
            assert_eq!(taken(local).unwrap().by.unwrap().tgid, Tgid(std::process::id()));
            drop(listener);
            assert_eq!(taken(local), None);
        }
    }

    #[test]
    fn a_namespace_without_processes_is_named() {
        let error = listeners(1, &PortFilter::All).unwrap_err();
        assert!(error.to_string().contains("network namespace 1"), "{error}");
    }

    const TABLE: &str = "\
        sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
        0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2718 1 0000000000000000 100 0\n   \
        1: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 \
        00000000     0        0 31415 1 0000000000000000 100 0 0 10 0\n";

    #[test]
    fn a_table_is_read() {
        let seen: Vec<_> =
            listening_in(TABLE.as_bytes()).unwrap().map(|socket| (socket.local_address, socket.inode)).collect();
        assert_eq!(seen, [("127.0.0.1:8080".parse().unwrap(), 2718), ("[::1]:80".parse().unwrap(), 31415)]);
    }

    proptest! {
        #![proptest_config(config(1000))]

        #[test]
        fn any_table_is_read_or_refused(
            edits in prop::collection::vec((any::<prop::sample::Index>(), "[0-9A-Fa-f: \n\\PC]{0,3}"), 1..4),
            text in text(),
        ) {
            let mut damaged = TABLE.to_owned();
            for (at, with) in edits {
                let at = at.index(damaged.len());
                if damaged.is_char_boundary(at) && damaged.is_char_boundary(at + 1) {
                    damaged.replace_range(at..=at, &with);
                }
            }
            for table in [damaged, text.clone(), format!("head\n{text}")] {
                let _ = listening_in(table.as_bytes()).map(Iterator::count);
            }
        }
    }
}

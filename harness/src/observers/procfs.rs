//! What /proc tells: which sockets listen at this moment, and who holds them.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use procfs::FromBufReadSI;
use procfs::net::{TcpNetEntries, TcpNetEntry, TcpState};

use crate::endpoint::{Endpoint, Tgid};
use crate::history::{Listening, Process};

/// The inode number of the calling thread's network namespace.
pub fn own_netns() -> io::Result<u32> {
    netns_of(Path::new("/proc/thread-self"))
}

/// Every TCP socket that listens in the network namespace with this inode number, IPv4 and IPv6, with its owner where
/// that may be seen. Whether an IPv6 socket takes IPv4 connections too is not to be had from here.
pub fn listeners(netns: u32) -> io::Result<Vec<Listening>> {
    let sockets = listening(&folder_in(netns)?)?;
    let owners = holders(&sockets.iter().map(|socket| socket.inode).collect());
    Ok(sockets
        .iter()
        .map(|socket| Listening {
            local: Endpoint::from(socket.local_address),
            netns,
            ipv6_only: false,
            process: owners.get(&socket.inode).cloned(),
        })
        .collect())
}

/// Who listens at `endpoint` in the calling thread's network namespace, or at a wildcard that covers it.
pub fn owner_of(endpoint: Endpoint) -> Option<Process> {
    let sockets = listening(Path::new("/proc/thread-self")).ok()?;
    let found = sockets.iter().find(|socket| Endpoint::from(socket.local_address).covers(endpoint, false))?;
    holders(&HashSet::from([found.inode])).remove(&found.inode)
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

fn listening(process: &Path) -> io::Result<Vec<TcpNetEntry>> {
    let mut all = Vec::new();
    for table in ["net/tcp", "net/tcp6"] {
        let file = match fs::File::open(process.join(table)) {
            Ok(file) => file,
            // A kernel without IPv6 has no such table.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let entries = TcpNetEntries::from_buf_read(BufReader::new(file), &procfs::LocalSystemInfo)
            .map_err(|error| io::Error::other(format!("{table}: {error}")))?;
        all.extend(entries.0.into_iter().filter(|socket| socket.state == TcpState::Listen));
    }
    Ok(all)
}

/// For each of these sockets, by inode number, a process that holds it, as far as this user may see.
fn holders(sockets: &HashSet<u64>) -> HashMap<u64, Process> {
    let mut found = HashMap::new();
    let Ok(processes) = processes() else { return found };
    for process in processes {
        if found.len() == sockets.len() {
            break;
        }
        let Ok(descriptors) = fs::read_dir(process.join("fd")) else { continue };
        let links = descriptors.filter_map(|descriptor| fs::read_link(descriptor.ok()?.path()).ok());
        let inodes = links.filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        for inode in inodes.filter(|inode| sockets.contains(inode)) {
            found.entry(inode).or_insert_with(|| process_at(&process));
        }
    }
    found
}

fn process_at(folder: &Path) -> Process {
    let tgid = folder.file_name().and_then(|name| name.to_str()?.parse().ok()).unwrap_or_default();
    let comm = fs::read_to_string(folder.join("comm")).unwrap_or_default();
    Process { tgid: Tgid(tgid), tid: tgid, comm: comm.trim_end().into() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listener_is_found_with_its_owner() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let local = Endpoint::from(listener.local_addr().unwrap());
            let seen = listeners(own_netns().unwrap()).unwrap();
            let seed = seen.iter().find(|seed| seed.local == local).unwrap();
            assert_eq!(seed.process.as_ref().unwrap().tgid, Tgid(std::process::id()));
            assert_eq!(owner_of(local).unwrap().tgid, Tgid(std::process::id()));
            drop(listener);
            assert_eq!(owner_of(local), None);
        }
    }

    #[test]
    fn a_namespace_without_processes_is_named() {
        let error = listeners(1).unwrap_err();
        assert!(error.to_string().contains("network namespace 1"), "{error}");
    }
}

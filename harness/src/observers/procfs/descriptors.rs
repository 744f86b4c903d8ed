//! What /proc tells of threads and of the descriptors of a process.

use std::collections::HashMap;
use std::fs;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use procfs::FromBufReadSI;
use procfs::net::{TcpNetEntries, TcpState};

use super::{number, processes};
use crate::endpoint::Endpoint;

/// A thread that is there at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Its number.
    pub tid: u32,
    /// Its process.
    pub tgid: u32,
    /// Its name.
    pub comm: String,
}

/// A descriptor of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketDescriptor {
    /// Its number.
    pub fd: i32,
    /// Where the socket is bound, if it is a TCP socket that is.
    pub local: Option<Endpoint>,
    /// What it is connected to.
    pub remote: Option<Endpoint>,
}

/// Every thread of every process.
pub fn threads() -> io::Result<Vec<Thread>> {
    let mut all = Vec::new();
    for process in processes()? {
        let Some(tgid) = number(&process) else { continue };
        // It may end at any time.
        for task in fs::read_dir(process.join("task")).into_iter().flatten().flatten() {
            let task = task.path();
            let (Some(tid), Ok(comm)) = (number(&task), fs::read_to_string(task.join("comm"))) else { continue };
            all.push(Thread { tid, tgid, comm: comm.trim_end().to_owned() });
        }
    }
    Ok(all)
}

/// The process of a thread, that one's parent, and the thread's name; `None` when it is gone.
pub fn origin(thread: u32) -> Option<(u32, u32, String)> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    Some((field("Tgid:")?.parse().ok()?, field("PPid:")?.parse().ok()?, field("Name:")?.to_owned()))
}

/// The sockets of a process; none of one that is gone, or that may not be looked at.
pub fn socket_descriptors(process: u32) -> Vec<SocketDescriptor> {
    let folder = PathBuf::from(format!("/proc/{process}"));
    let descriptors = fs::read_dir(folder.join("fd")).into_iter().flatten().flatten();
    let sockets: Vec<(i32, u64)> = descriptors
        .filter_map(|entry| {
            let link = fs::read_link(entry.path()).ok()?;
            let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, inode))
        })
        .collect();
    if sockets.is_empty() {
        return Vec::new();
    }
    let ends = ends(&folder);
    sockets
        .into_iter()
        .map(|(fd, inode)| {
            let (local, remote) = ends.get(&inode).copied().unwrap_or_default();
            SocketDescriptor { fd, local, remote }
        })
        .collect()
}

/// Both ends of every TCP socket of a process's network, by inode number.
fn ends(process: &Path) -> HashMap<u64, (Option<Endpoint>, Option<Endpoint>)> {
    let tables = ["net/tcp", "net/tcp6"].into_iter().filter_map(|table| fs::File::open(process.join(table)).ok());
    let entries =
        tables.filter_map(|file| TcpNetEntries::from_buf_read(BufReader::new(file), &procfs::LocalSystemInfo).ok());
    entries
        .flat_map(|entries| entries.0)
        .map(|socket| {
            let listens = socket.state == TcpState::Listen;
            let remote = (!listens).then(|| Endpoint::from(socket.remote_address));
            (socket.inode, (Some(Endpoint::from(socket.local_address)), remote))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn this_process_has_a_thread_and_its_listener() {
        let own = std::process::id();
        assert!(threads().unwrap().iter().any(|thread| thread.tgid == own && thread.tid == own));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = Some(Endpoint::from(listener.local_addr().unwrap()));
        let fd = listener.as_raw_fd();
        assert!(socket_descriptors(own).contains(&SocketDescriptor { fd, local, remote: None }));
        assert_eq!(socket_descriptors(u32::MAX), []);
        let (process, parent, name) = origin(own).unwrap();
        assert!(process == own && parent == std::os::unix::process::parent_id() && !name.is_empty());
        assert_eq!(origin(u32::MAX), None);
    }
}

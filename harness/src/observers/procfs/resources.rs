//! What /proc tells of a process and its descendants: memory and open sockets.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::history::Resources;

/// Samples the process with this pid, which the profile calls `process`, with everything that it spawned. Descendants that
/// end meanwhile are left out; that the process itself is gone is an error.
pub fn resources(process: &str, pid: u32) -> io::Result<Resources> {
    let (resident_bytes, sockets) = of_one(pid)?;
    let mut sum = Resources { process: process.into(), tgid: pid, processes: 1, resident_bytes, sockets };
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        for child in children(parent) {
            let Ok((resident_bytes, sockets)) = of_one(child) else { continue };
            sum.processes += 1;
            sum.resident_bytes += resident_bytes;
            sum.sockets += sockets;
            parents.push(child);
        }
    }
    Ok(sum)
}

/// Resident bytes and socket descriptors of one process.
fn of_one(pid: u32) -> io::Result<(u64, u64)> {
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let statm = fs::read_to_string(folder.join("statm"))?;
    let resident = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    let pages = resident.ok_or_else(|| io::Error::other(format!("/proc/{pid}/statm has no resident size")))?;
    let links = fs::read_dir(folder.join("fd"))?.filter_map(|descriptor| fs::read_link(descriptor.ok()?.path()).ok());
    let sockets = links.filter(|link| link.as_os_str().as_encoded_bytes().starts_with(b"socket:")).count();
    Ok((pages * rustix::param::page_size() as u64, sockets as u64))
}

/// The living children of all its threads (proc_tid_children(5)).
fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Read;
    use std::net::TcpListener;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn memory_sockets_and_children_are_counted() {
        let own = std::process::id();
        let before = resources("test", own).unwrap();
        assert!(before.resident_bytes > 100_000, "{before:?}");
        // Other tests of this program open and close sockets meanwhile, fewer than half of these.
        let held: Vec<TcpListener> = (0..200).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ballast = vec![1_u8; 64 << 20];
        let mut child = Command::new("sh").args(["-c", "echo; exec sleep 60"]).stdout(Stdio::piped()).spawn().unwrap();
        child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        let after = resources("test", own).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(after.sockets >= before.sockets + 100, "{before:?} {after:?}");
        assert!(after.resident_bytes > before.resident_bytes + (32 << 20), "{before:?} {after:?}");
        assert!(after.processes > 1, "{after:?}");
        assert_eq!((held.len(), ballast.len()), (200, 64 << 20));
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert!(resources("gone", u32::MAX).is_err());
    }
}

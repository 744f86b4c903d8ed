//! What /proc tells of the memory of a process and its descendants.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;

use crate::history::Resources;

/// Samples the process with this pid, which the profile calls `process`, with everything that it spawned. Descendants that
/// end meanwhile are left out; that the process itself is gone is an error. Sockets are counted by `sockets_held`, since to
/// count them in /proc would touch them (see [`super::TOUCHES`]).
pub fn resources(
    process: &str,
    pid: u32,
    sockets_held: impl FnOnce(&BTreeSet<u32>) -> Option<HashMap<u32, u64>>,
) -> io::Result<Resources> {
    let mut resident_bytes = resident(pid)?;
    let mut counted = BTreeSet::from([pid]);
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        for child in children(parent) {
            let Ok(bytes) = resident(child) else { continue };
            resident_bytes += bytes;
            counted.insert(child);
            parents.push(child);
        }
    }
    let sockets = sockets_held(&counted).map(|held| held.values().sum());
    Ok(Resources { process: process.into(), tgid: pid, processes: counted.len() as u32, resident_bytes, sockets })
}

/// Resident bytes of one process.
fn resident(pid: u32) -> io::Result<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let resident = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    let pages = resident.ok_or_else(|| io::Error::other(format!("/proc/{pid}/statm has no resident size")))?;
    Ok(pages * rustix::param::page_size() as u64)
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
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn memory_and_children_are_counted() {
        let own = std::process::id();
        let before = resources("test", own, |_| None).unwrap();
        assert!(before.resident_bytes > 100_000, "{before:?}");
        assert_eq!(before.sockets, None);
        let ballast = vec![1_u8; 64 << 20];
        let mut child = Command::new("sh").args(["-c", "echo; exec sleep 60"]).stdout(Stdio::piped()).spawn().unwrap();
        child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        let asked = |processes: &BTreeSet<u32>| Some(processes.iter().map(|pid| (*pid, u64::from(*pid))).collect());
        let after = resources("test", own, asked).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(after.resident_bytes > before.resident_bytes + (32 << 20), "{before:?} {after:?}");
        assert!(after.processes > 1, "{after:?}");
        assert!(after.sockets.unwrap() >= u64::from(own + child.id()), "{after:?}");
        assert_eq!(ballast.len(), 64 << 20);
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert!(resources("gone", u32::MAX, |_| None).is_err());
    }
}

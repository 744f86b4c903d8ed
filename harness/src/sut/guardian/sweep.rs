//! Finds and ends what a run left behind, and nobody else.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use procfs::process::Process;
use rustix::process::{Pid, PidfdFlags, Signal, getpid, getppid, pidfd_open, pidfd_send_signal};

use super::MARK;

/// What does not end within this time hangs in the kernel, and no signal reaches it.
const WITHIN: Duration = Duration::from_secs(10);

/// A command of the user's has this long to end by itself.
const PATIENCE: Duration = Duration::from_secs(3);

/// The longest pause between two looks at what is left.
const PAUSE: Duration = Duration::from_millis(100);

/// What belongs to a run, beside the processes that carry its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Territory {
    /// The network namespace that the guardian is in: the run made it for itself.
    Namespace,
    /// Nothing: the run takes place in the network of its caller.
    Marked,
    /// Nothing either: it is a command of the user's, which is asked to end before it is killed.
    Command,
}

/// A living process, as far as it matters whose it is.
#[derive(Clone, Debug)]
struct Candidate {
    pid: i32,
    parent: i32,
    group: i32,
    /// In clock ticks after boot: with the pid, it names a process for good.
    started: u64,
    marked: bool,
    /// In the run's network namespace.
    inside: bool,
}

/// Ends what belongs to the run, generation after generation, until nothing is left. The harness must be dead; it was in the
/// process group `callers`, perhaps with others.
pub(super) fn sweep(territory: Territory, mark: &str, callers: i32) {
    let patience = if territory == Territory::Command { PATIENCE } else { Duration::ZERO };
    let patient_until = Instant::now() + patience;
    let deadline = patient_until + WITHIN;
    let mut asked = HashSet::new();
    let mut pause = Duration::from_millis(1);
    loop {
        // Orphans of the harness go where it went itself: to init, or to another that asked for them.
        let reaper = getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
        let table = candidates(territory, mark);
        let left = belonging(&table, reaper, callers);
        if left.is_empty() || Instant::now() >= deadline {
            return;
        }
        if Instant::now() < patient_until {
            let not_yet = left.into_iter().filter(|process| asked.insert((process.pid, process.started)));
            not_yet.for_each(|process| send(process, Signal::TERM));
        } else {
            left.into_iter().for_each(|process| send(process, Signal::KILL));
        }
        std::thread::sleep(pause);
        pause = PAUSE.min(pause * 2);
    }
}

/// What carries the mark; every descendant of what belongs; and orphans that are in the namespace of the run or in a
/// process group of what belongs. Others that came into the namespace, say for a look at its sockets, have a parent
/// elsewhere, and are none of the run's. Nor is who is in the group of the harness's caller: a command that is recorded is in
/// that, and so is the shell that started the harness, which may be an orphan itself.
fn belonging(table: &[Candidate], reaper: i32, callers: i32) -> Vec<&Candidate> {
    let mut found: Vec<&Candidate> = table.iter().filter(|process| process.marked).collect();
    loop {
        let pids: HashSet<i32> = found.iter().map(|process| process.pid).collect();
        let groups: HashSet<i32> =
            found.iter().map(|process| process.group).filter(|group| *group != callers).collect();
        let is_kin = |process: &&Candidate| {
            let orphan = process.parent == reaper && (process.inside || groups.contains(&process.group));
            !pids.contains(&process.pid) && (orphan || pids.contains(&process.parent))
        };
        let kin: Vec<&Candidate> = table.iter().filter(is_kin).collect();
        if kin.is_empty() {
            return found;
        }
        found.extend(kin);
    }
}

/// The signal goes to the very process that was looked at, or to nobody: while its descriptor is held, the time of its
/// start is compared.
fn send(process: &Candidate, signal: Signal) {
    let Some(pid) = Pid::from_raw(process.pid) else { return };
    let Ok(descriptor) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    let same = Process::new(process.pid).and_then(|now| now.stat()).is_ok_and(|now| now.starttime == process.started);
    if same {
        // One that ended in between is what we want.
        let _ = pidfd_send_signal(&descriptor, signal);
    }
}

/// Every process but this one.
fn candidates(territory: Territory, mark: &str) -> Vec<Candidate> {
    let own = getpid().as_raw_nonzero().get();
    let home = match territory {
        Territory::Namespace => namespace(Path::new("/proc/self")),
        Territory::Marked | Territory::Command => None,
    };
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != own)
        .filter_map(|pid| candidate(pid, home, mark))
        .collect()
}

/// None for what is dead, or was before it could be looked at.
fn candidate(pid: i32, home: Option<(u64, u64)>, mark: &str) -> Option<Candidate> {
    let stat = Process::new(pid).ok()?.stat().ok()?;
    // A process lives as long as one of its threads does, be it without the first one.
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?.filter_map(|thread| Some(thread.ok()?.path()));
    let living: Vec<_> = threads.filter_map(|thread| Some((namespace(&thread)?, thread))).collect();
    let (_, thread) = living.first()?;
    let environment = fs::read(thread.join("environ")).unwrap_or_default();
    Some(Candidate {
        pid,
        parent: stat.ppid,
        group: stat.pgrp,
        started: stat.starttime,
        marked: carries(&environment, mark),
        inside: living.iter().any(|(namespace, _)| Some(*namespace) == home),
    })
}

/// Device and inode number of a network namespace.
fn namespace(thread: &Path) -> Option<(u64, u64)> {
    fs::metadata(thread.join("ns/net")).ok().map(|file| (file.dev(), file.ino()))
}

/// Whether an environment, as /proc has it, names the mark.
fn carries(environment: &[u8], mark: &str) -> bool {
    let value = |variable: &[u8]| Some(variable.strip_prefix(MARK.as_bytes())?.strip_prefix(b"=")?.to_vec());
    let values = environment.split(|byte| *byte == 0).filter_map(value);
    values.into_iter().any(|value| value.split(|byte| *byte == b':').any(|part| part == mark.as_bytes()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const REAPER: i32 = 1;
    const CALLERS: i32 = 5;

    fn stranger(pid: i32, parent: i32, group: i32) -> Candidate {
        Candidate { pid, parent, group, started: 0, marked: false, inside: false }
    }

    fn found(table: &[Candidate]) -> Vec<i32> {
        belonging(table, REAPER, CALLERS).iter().map(|process| process.pid).collect()
    }

    #[test]
    fn marked_processes_and_their_descendants_belong() {
        let marked = Candidate { marked: true, ..stranger(10, REAPER, 10) };
        let table = [stranger(12, 11, 12), marked, stranger(11, 10, 11), stranger(13, REAPER, 13)];
        assert_eq!(found(&table), [10, 11, 12]);
    }

    #[test]
    fn orphans_in_the_namespace_belong_and_visitors_do_not() {
        let orphan = Candidate { inside: true, ..stranger(10, REAPER, 10) };
        let visitor = Candidate { inside: true, ..stranger(20, 19, 20) };
        let shell = stranger(19, REAPER, 19);
        assert_eq!(found(&[orphan, visitor, shell, stranger(11, 10, 10)]), [10, 11]);
    }

    #[test]
    fn orphans_in_a_group_of_the_run_belong_and_others_in_it_do_not() {
        let marked = Candidate { marked: true, ..stranger(10, REAPER, 9) };
        assert_eq!(found(&[marked, stranger(11, REAPER, 9), stranger(20, 19, 9)]), [10, 11]);
    }

    #[test]
    fn an_orphaned_shell_that_started_the_harness_is_left_alone() {
        let recorded = Candidate { marked: true, ..stranger(10, REAPER, CALLERS) };
        let (shell, of_shell) = (stranger(CALLERS, REAPER, CALLERS), stranger(6, CALLERS, CALLERS));
        assert_eq!(found(&[recorded, shell, of_shell, stranger(11, 10, CALLERS)]), [10, 11]);
    }

    #[test]
    fn nothing_belongs_to_a_run_that_left_nothing() {
        assert!(found(&[stranger(10, REAPER, 10), stranger(11, 10, 10)]).is_empty());
    }

    #[test]
    fn a_mark_is_found_among_others_and_whole() {
        let environment = |value: &str| format!("A=1\0{MARK}={value}\0B=7-x\0").into_bytes();
        assert!(carries(&environment("7-x"), "7-x") && carries(&environment("5-y:7-x"), "7-x"));
        assert!(!carries(&environment("7-xx"), "7-x") && !carries(b"B=7-x\0", "7-x") && !carries(b"", "7-x"));
    }

    #[test]
    fn this_process_s_child_is_seen_with_what_it_carries() {
        let mut child = std::process::Command::new("sleep").arg("60").env(MARK, "a:b").spawn().unwrap();
        let pid = child.id() as i32;
        let home = namespace(Path::new("/proc/thread-self"));
        let seen = || candidate(pid, home, "b").unwrap();
        // Until it has executed, its environment is this process's.
        let deadline = Instant::now() + Duration::from_secs(10);
        while !seen().marked && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(seen().marked && seen().inside && !candidate(pid, None, "c").unwrap().marked);
        assert_eq!(seen().parent, std::process::id() as i32);
        send(&Candidate { started: 1, ..seen() }, Signal::KILL);
        assert!(child.try_wait().unwrap().is_none(), "another process had its number");
        send(&seen(), Signal::KILL);
        assert!(!child.wait().unwrap().success());
        assert!(candidate(pid, home, "b").is_none());
    }
}

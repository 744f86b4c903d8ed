//! What a system's processes left behind when they ended.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// Killing all of them, generation after generation, takes this long at the most.
const WITHIN: Duration = Duration::from_secs(2);

/// Whether this process asked for orphans. Without that its children are its own affair, not the system's.
static ADOPTED: AtomicBool = AtomicBool::new(false);

/// Makes this process the one that inherits orphans of its descendants (prctl(2), PR_SET_CHILD_SUBREAPER).
pub(super) fn adopt() -> std::io::Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    ADOPTED.store(true, Ordering::Relaxed);
    Ok(())
}

/// Kills and reaps every child that this process has left, when it adopts orphans. Called when no process of the system
/// should live any more, so each of them was spawned by the system and left its process group.
pub(super) fn kill() {
    if !ADOPTED.load(Ordering::Relaxed) {
        return;
    }
    let deadline = Instant::now() + WITHIN;
    let mut killed = BTreeSet::new();
    loop {
        let left = children();
        if left.is_empty() {
            return;
        }
        // The children of what is killed and reaped here come to us in turn.
        for child in left.iter().filter(|child| !reaped(**child)) {
            let _ = kill_process(*child, Signal::KILL);
            if killed.insert(child.as_raw_nonzero()) {
                tracing::warn!(pid = child.as_raw_nonzero().get(), "killed a process that the system left behind");
            }
        }
        if Instant::now() >= deadline {
            tracing::warn!(left = left.len(), "processes that the system left behind do not end");
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Takes the exit status of a child that ended. Never waits: a child in an uninterruptible system call may take for ever.
fn reaped(child: Pid) -> bool {
    !matches!(waitpid(Some(child), WaitOptions::NOHANG), Ok(None))
}

fn children() -> Vec<Pid> {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>())
        .filter_map(Pid::from_raw)
        .filter(|child| !super::guardian::is_guardian(*child))
        .collect()
}

//! What a system's processes left behind when they ended.

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// Makes this process the one that inherits orphans of its descendants (prctl(2), PR_SET_CHILD_SUBREAPER).
pub(super) fn adopt() -> std::io::Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(Into::into)
}

/// Kills and reaps every child that this process has left. Called when no process of the system should live any more,
/// so each of them was spawned by the system and left its process group.
pub(super) fn kill() {
    // A killed orphan's own children come to us in turn; a tree deeper than this is cut off at the next stop.
    for _ in 0..16 {
        let children = children();
        if children.is_empty() {
            return;
        }
        for child in children {
            tracing::warn!(pid = child.as_raw_nonzero().get(), "killing a process that the system left behind");
            let _ = kill_process(child, Signal::KILL);
            let _ = waitpid(Some(child), WaitOptions::empty());
        }
    }
}

fn children() -> Vec<Pid> {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>())
        .filter_map(Pid::from_raw)
        .collect()
}

//! tracefs, where the kernel lists its tracepoints.

use std::fs;
use std::process::Command;

use super::progress::Progress;
use crate::workspace::is_root;

const PLACE: &str = "/sys/kernel/tracing";

/// Mounts tracefs when nobody has. Only the causes (who called close, and when) need it, so a failure is a note.
pub(super) fn mount(progress: &Progress) {
    if is_mounted(&fs::read_to_string("/proc/mounts").unwrap_or_default()) {
        return progress.ok("tracefs: lists the tracepoints of system calls");
    }
    let command = ["mount", "-t", "tracefs", "tracefs", PLACE];
    let told = command.join(" ");
    if !is_root() {
        return progress.note(&format!("tracefs is not mounted: system calls will not be seen; as root: {told}"));
    }
    match Command::new(command[0]).args(&command[1..]).output() {
        Ok(run) if run.status.success() => progress.ok(&format!("tracefs: mounted on {PLACE}")),
        Ok(run) => {
            let why = String::from_utf8_lossy(&run.stderr);
            progress.note(&format!("system calls will not be seen: `{told}`: {}", why.trim()));
        }
        Err(error) => progress.note(&format!("system calls will not be seen: `{told}`: {error}")),
    }
}

fn is_mounted(mounts: &str) -> bool {
    mounts.lines().any(|line| line.split_whitespace().nth(2) == Some("tracefs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_mount_counts_not_its_name() {
        assert!(is_mounted("sysfs /sys sysfs rw 0 0\nnodev /sys/kernel/tracing tracefs rw 0 0\n"));
        assert!(!is_mounted("tracefs /mnt tmpfs rw 0 0\n"));
    }
}

//! What a process of the system held at one moment.

use serde::{Deserialize, Serialize};

/// Memory and sockets of a process of the profile and of all its descendants, as /proc told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Its name in the profile.
    pub process: String,
    /// Its pid: one that was started anew has another.
    pub tgid: u32,
    /// How many processes were counted: itself and its descendants.
    pub processes: u32,
    /// Resident memory in bytes (`resident` of /proc/PID/statm, proc_pid_statm(5)); pages that several of these processes
    /// share count for each.
    pub resident_bytes: u64,
    /// Open descriptors that are sockets; none where the observer cannot count them without touching them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sockets: Option<u64>,
}

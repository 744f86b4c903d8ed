//! What a kernel module shows of itself.

use serde::{Deserialize, Serialize};

/// The scap module, and what can be seen of its readers, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleState {
    /// By which checks name the moment.
    pub moment: String,
    /// Its reference count (`/sys/module/scap/refcnt`); none when it is not loaded.
    pub references: Option<u32>,
    /// Descriptors of its devices that processes have open.
    pub open_devices: u32,
    /// Mappings of its rings.
    pub mapped_rings: u32,
    /// Processes that run the capturing program.
    pub programs: u32,
    /// The names of the tracepoints that are enabled, and of the probes, where tracefs shows them.
    pub enabled: Vec<String>,
}

//! Which observer watches a run.

use super::sabotage::{Sabotage, Sabotaged};
use crate::backends::BackendError;
use crate::history::Recorder;
use crate::observers::ebpf::{EbpfObserver, EbpfSettings};
use crate::observers::sock_diag::{SockDiagObserver, SockDiagSettings};
use crate::observers::{Observer, ObserverError, Scope, procfs};

/// How the kernel is watched.
#[derive(Clone, Debug)]
pub enum Observation {
    /// By eBPF programs, on the best rung that loads, or on the one that the settings name.
    Ebpf(EbpfSettings),
    /// By eBPF programs whose records get lost, or whose reader dies: a negative control.
    Sabotaged(EbpfSettings, Sabotage),
    /// By asking for listening sockets over netlink again and again, without privileges.
    SockDiag(SockDiagSettings),
}

impl Observation {
    /// Starts the observer: the children of this process are followed, and the listeners of its network namespace.
    pub fn start(self, recorder: &Recorder) -> Result<Box<dyn Observer>, ObserverError> {
        self.watch(Scope::of_run(recorder.clone(), recorder.run().netns))
    }

    /// Starts the observer on any scope.
    pub fn watch(self, scope: Scope) -> Result<Box<dyn Observer>, ObserverError> {
        Ok(match self {
            Self::Ebpf(settings) => Box::new(EbpfObserver::start(scope, settings)?),
            Self::Sabotaged(settings, how) => Box::new(Sabotaged::new(EbpfObserver::start(scope, settings)?, how)),
            Self::SockDiag(settings) => Box::new(SockDiagObserver::start(scope, settings)?),
        })
    }
}

/// Who has the port that a backend was to listen at, where that is what went wrong.
pub(super) fn owner(error: &BackendError) -> Option<String> {
    match error {
        BackendError::InUse { endpoint, .. } => procfs::taken(*endpoint).map(|taken| taken.to_string()),
        _ => None,
    }
}

//! Observers only watch and append records; they never touch the system under test.

pub mod ebpf;
pub mod procfs;
pub mod sock_diag;

use crate::history::Recorder;

/// Something that watches.
pub trait Observer: Send {
    /// What it is, for messages: `ebpf (tp_btf)`, `sock_diag`.
    fn describe(&self) -> String;

    /// Returns when everything that happened before the call is in the history, after it appended an
    /// [`Event::Fence`](crate::history::Event::Fence) and, where records were lost since the last fence, the losses.
    fn fence(&mut self) -> Result<(), ObserverError>;

    /// Switches the recording of causes (system calls) on or off, where the observer has them.
    fn set_causes(&mut self, on: bool) -> Result<(), ObserverError>;

    /// Ends the observation: a last fence, then detach.
    fn stop(self: Box<Self>) -> Result<(), ObserverError>;
}

/// Why an observer cannot observe.
#[derive(Debug, thiserror::Error)]
pub enum ObserverError {
    /// This machine lacks something that the observer needs.
    #[error("{observer} cannot observe here: {lacks}; {way_out}")]
    Lacking {
        /// Which observer.
        observer: String,
        /// What is missing.
        lacks: String,
        /// What to do about it.
        way_out: String,
    },
    /// The observer stopped by itself.
    #[error("the observer {observer} died: {reason}")]
    Died {
        /// Which observer.
        observer: String,
        /// Why.
        reason: String,
    },
    /// The kernel refused.
    #[error("{doing}: {source}")]
    Io {
        /// What was tried.
        doing: String,
        /// Why not.
        source: std::io::Error,
    },
}

/// Which processes an observer follows, and where.
#[derive(Clone)]
pub struct Scope {
    /// Where records go.
    pub recorder: Recorder,
    /// Children of this process are followed, with everything that they spawn; the process itself is not.
    pub parent: u32,
    /// The inode number of the network namespace whose listeners are observed, whoever owns them.
    pub netns: u32,
}

//! Observers only watch and append records; they never touch the system under test.

pub mod ebpf;
mod fence;
mod monitor;
pub mod procfs;
mod reader;
pub mod reports;
pub mod scap;
pub mod sinsp;
pub mod sock_diag;

use std::collections::{BTreeSet, HashMap};

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

    /// Appends what was lost since the last time, where something was; a fence does so too.
    fn tell_losses(&mut self) -> Result<(), ObserverError> {
        Ok(())
    }

    /// A case is over, and was fenced: who tells of losses only as it ends may end, and begins again with the next fence.
    fn conclude(&mut self) -> Result<(), ObserverError> {
        Ok(())
    }

    /// How many sockets each of these processes holds, for an observer that can tell without touching them.
    fn sockets_held(&mut self, _processes: &BTreeSet<u32>) -> Option<HashMap<u32, u64>> {
        None
    }

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

/// What an observer follows, and where.
#[derive(Clone)]
pub struct Scope {
    /// Where records go.
    pub recorder: Recorder,
    /// The inode number of the observed network namespace.
    pub netns: u32,
    /// What is followed.
    pub focus: Focus,
}

/// What an observer follows. A process that is followed is so with its threads and with everything that it spawns; what
/// it listens at and connects to is recorded in every network namespace, and so are connections to its ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Focus {
    /// The children of this process, not the process itself, and every listener of the namespace, whoever owns it.
    Run {
        /// Its number.
        parent: u32,
    },
    /// The children of this process alone.
    Children {
        /// Its number.
        parent: u32,
    },
    /// These processes and their descendants, which are there already, and what listens at the same ports as they do.
    Processes(Vec<u32>),
    /// The listeners at these ports of the namespace, whoever owns them, and the connections that they accept.
    Ports(BTreeSet<u16>),
    /// Every TCP socket of the namespace.
    Namespace,
}

impl Scope {
    /// What a run observes: the children of the calling process, and the listeners of a network namespace.
    pub fn of_run(recorder: Recorder, netns: u32) -> Self {
        Self { recorder, netns, focus: Focus::Run { parent: std::process::id() } }
    }
}

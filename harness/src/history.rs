//! The append-only list of what was observed and done in a run, in memory and as `history.jsonl`.
//!
//! Observers, clients, backends and the runner write through a [`Recorder`]; checks read a [`History`].

mod carry;
mod evidence;
mod file;
mod handler;
mod kernel;
mod listeners;
mod module;
mod operation;
#[cfg(test)]
pub(crate) mod properties;
mod record;
mod recorder;
mod report;
mod resources;
mod sinsp;
mod statement;
#[cfg(test)]
mod tests;
mod timeline;

use std::sync::Arc;

pub use carry::carry;
pub use evidence::{Evidence, Taken};
pub use file::{FORMAT_VERSION, HistoryError, HistoryReader, PlannedCase, RunInfo};
pub use handler::{ConnectionEnd, HandlerEnd, HandlerStep, Handling};
pub use kernel::{Listening, Process, ProcessChange, SocketState, Syscall, SyscallPhase, TcpState, Tuple};
pub use listeners::Listeners;
pub use module::ModuleState;
pub use operation::{
    Anomaly, AnomalyKind, BackendConnection, BackendEnd, Iterations, OpId, OpStep, Operation, Outcome, RttHistogram,
    YARDSTICK,
};
pub use record::{CaseId, Event, ObserverChange, Record, Source, SutChange};
pub use recorder::{Keep, Recorder};
pub use report::{Flaw, Frame, Message, Report, ReportsChange, shortened};
pub use resources::Resources;
pub use sinsp::{Capture, SchemaFlaw, SinspEvent, SinspFormat, SinspSaid};
pub use statement::{Address, Arguments, BEGINS, ENDS, Statement};
pub use timeline::{Doubt, Edge, EdgeKind, PortTimeline};

/// A run as it was recorded: what it was, and every record in the order of time.
#[derive(Clone, Debug)]
pub struct History {
    /// What was run, on what, by which version.
    pub run: Arc<RunInfo>,
    /// In the order of [`Record::at`]; records of one moment stand in the order of arrival.
    pub records: Vec<Record>,
    /// The file broke off within this line (counted from 1); everything before it is here.
    pub cut_at_line: Option<usize>,
}

impl History {
    /// Puts records in the order of time: observers append what the kernel stamped a little earlier.
    pub fn new(run: impl Into<Arc<RunInfo>>, mut records: Vec<Record>) -> Self {
        records.sort_by_key(|record| record.at);
        Self { run: run.into(), records, cut_at_line: None }
    }
}

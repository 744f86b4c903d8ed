//! Keeps the machine busy beside what is measured.

use crate::worker::Worker;

/// Processes that compute without a pause, until this is dropped.
pub(crate) struct Load(Vec<Worker>);

impl Load {
    /// As many as this.
    pub(crate) fn of(processes: usize) -> anyhow::Result<Self> {
        (0..processes).map(|_| Worker::spawn(&["spin"])).collect::<anyhow::Result<_>>().map(Self)
    }

    /// How many.
    pub(crate) fn processes(&self) -> usize {
        self.0.len()
    }
}

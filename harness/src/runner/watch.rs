//! Everybody who watches a group of cases: the run's own observer, and the group's witness.

use crate::observers::{Observer, ObserverError};

/// Who watches.
pub(super) struct Watch<'a> {
    /// The run's own observer.
    pub(super) own: &'a mut dyn Observer,
    /// The group's witness, when it has one.
    pub(super) witness: Option<Box<dyn Observer>>,
}

impl Watch<'_> {
    /// Returns when everything that happened before is in the history, from both. A death of the witness is a record there, and
    /// the run goes on without it.
    pub(super) fn fence(&mut self) -> Result<(), ObserverError> {
        if let Some(witness) = &mut self.witness
            && let Err(error) = witness.fence()
        {
            tracing::warn!(%error, "{} could not be fenced", witness.describe());
        }
        self.own.fence()
    }

    /// A case is over, and was fenced: the witness may end, and begins again with the next fence.
    pub(super) fn conclude(&mut self) {
        if let Some(witness) = &mut self.witness
            && let Err(error) = witness.conclude()
        {
            tracing::warn!(%error, "{} could not be asked for its losses", witness.describe());
        }
    }

    /// Ends the witness; the run's own observer goes on.
    pub(super) fn end(&mut self) -> Result<(), ObserverError> {
        self.witness.take().map_or(Ok(()), Observer::stop)
    }
}

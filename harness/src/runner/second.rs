//! A second witness beside the observer that a run depends on: what becomes of it makes no difference to the run.

use std::collections::{BTreeSet, HashMap};

use super::sabotage::{Sabotage, Sabotaged};
use crate::history::Recorder;
use crate::observers::scap::{ScapObserver, ScapSettings};
use crate::observers::{Observer, ObserverError, Scope};

/// Who else watches a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondWitness {
    /// The scap module.
    Scap,
    /// The scap module, read by one who loses events, dies or lies: a negative control.
    SabotagedScap(Sabotage),
}

impl SecondWitness {
    /// Starts it: it follows the children of this process.
    pub(super) fn start(self, recorder: &Recorder) -> Result<Box<dyn Observer>, ObserverError> {
        let scope = Scope::of_run(recorder.clone(), recorder.run().netns);
        Ok(match self {
            Self::Scap => Box::new(ScapObserver::start(scope, ScapSettings::default())?),
            Self::SabotagedScap(how) => Box::new(Sabotaged::new(ScapObserver::start(scope, how.settings())?, how)),
        })
    }
}

/// Both. The first decides: the second one's death is in the history, and goes no further.
pub(super) struct TwoWitnesses {
    first: Box<dyn Observer>,
    /// None once it is dead.
    second: Option<Box<dyn Observer>>,
}

impl TwoWitnesses {
    pub(super) fn new(first: Box<dyn Observer>, second: Box<dyn Observer>) -> Self {
        Self { first, second: Some(second) }
    }

    fn ask_second(&mut self, ask: impl FnOnce(&mut dyn Observer) -> Result<(), ObserverError>) {
        if let Some(second) = &mut self.second
            && let Err(error) = ask(second.as_mut())
        {
            tracing::warn!("{error}: from now on it is not known whether the two witnesses agree");
            self.second = None;
        }
    }
}

impl Observer for TwoWitnesses {
    fn describe(&self) -> String {
        let second = self.second.iter().map(|second| format!(", and {}", second.describe()));
        self.first.describe() + &second.collect::<String>()
    }

    fn fence(&mut self) -> Result<(), ObserverError> {
        let fenced = self.first.fence();
        self.ask_second(|second| second.fence());
        fenced
    }

    fn set_causes(&mut self, on: bool) -> Result<(), ObserverError> {
        self.first.set_causes(on)
    }

    fn tell_losses(&mut self) -> Result<(), ObserverError> {
        let told = self.first.tell_losses();
        self.ask_second(|second| second.tell_losses());
        told
    }

    fn sockets_held(&mut self, processes: &BTreeSet<u32>) -> Option<HashMap<u32, u64>> {
        self.first.sockets_held(processes)
    }

    fn stop(self: Box<Self>) -> Result<(), ObserverError> {
        let Self { first, second } = *self;
        let stopped = first.stop();
        if let Some(Err(error)) = second.map(|second| second.stop()) {
            tracing::warn!("{error}: it is not known whether the two witnesses agree");
        }
        stopped
    }
}

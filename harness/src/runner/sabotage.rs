//! Negative controls of the observer itself: it really loses records, or really dies, so that verdicts become unknown.

use std::collections::{BTreeSet, HashMap};

use crate::observers::ebpf::EbpfObserver;
use crate::observers::{Observer, ObserverError};

/// What is done to the observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sabotage {
    /// Its reader rests from the beginning of the first case to its end, so that a small ring overflows.
    LoseRecords,
    /// Its reader ends when the first case begins.
    KillReader,
    /// Its reader panics when the first case begins.
    PanicReader,
}

/// An observer that is sabotaged at its first fence, with which the first case begins.
pub(super) struct Sabotaged {
    observer: EbpfObserver,
    how: Sabotage,
    fences: u32,
}

impl Sabotaged {
    pub(super) fn new(observer: EbpfObserver, how: Sabotage) -> Self {
        Self { observer, how, fences: 0 }
    }
}

impl Observer for Sabotaged {
    fn describe(&self) -> String {
        format!("{}, sabotaged: {:?}", self.observer.describe(), self.how)
    }

    fn fence(&mut self) -> Result<(), ObserverError> {
        self.fences += 1;
        if self.fences == 2 && self.how == Sabotage::LoseRecords {
            self.observer.resume_reader();
        }
        let fenced = self.observer.fence();
        match self.how {
            Sabotage::LoseRecords if self.fences == 1 => self.observer.pause_reader(),
            Sabotage::KillReader if self.fences == 1 => self.observer.kill_reader(),
            Sabotage::PanicReader if self.fences == 1 => self.observer.panic_reader(),
            _ => {}
        }
        fenced
    }

    fn set_causes(&mut self, on: bool) -> Result<(), ObserverError> {
        self.observer.set_causes(on)
    }

    fn tell_losses(&mut self) -> Result<(), ObserverError> {
        self.observer.tell_losses()
    }

    fn sockets_held(&mut self, processes: &BTreeSet<u32>) -> Option<HashMap<u32, u64>> {
        self.observer.sockets_held(processes)
    }

    fn stop(self: Box<Self>) -> Result<(), ObserverError> {
        Box::new(self.observer).stop()
    }
}

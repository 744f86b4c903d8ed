//! Negative controls of the observers themselves: one really loses records, dies or lies, so that verdicts change.

use std::collections::{BTreeSet, HashMap};

use crate::observers::ebpf::EbpfObserver;
use crate::observers::scap::{Lie, ScapObserver, ScapSettings};
use crate::observers::{Observer, ObserverError};

/// What is done to an observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sabotage {
    /// The reader of eBPF's ring rests from the beginning of the first case to its end, so that a small ring overflows.
    LoseRecords,
    /// It ends when the first case begins.
    KillReader,
    /// It panics when the first case begins.
    PanicReader,
    /// The reader of scap's rings rests from the beginning of the first case to its end: a storm overflows them.
    ScapLoseRecords,
    /// It ends when the first case begins.
    ScapKillReader,
    /// It panics when the first case begins.
    ScapPanicReader,
    /// All times of scap's are 50 ms late.
    ScapSkewedClock,
    /// Every other close of scap's has a wrong descriptor.
    ScapWrongFd,
    /// Every other accept of scap's has a wrong result.
    ScapWrongResult,
    /// Scap leaves out every other accept.
    ScapMissingEvent,
    /// Every other accept of scap's has a wrong other end.
    ScapWrongTuple,
}

impl Sabotage {
    /// Whether it is done to the second witness.
    pub fn is_of_scap(self) -> bool {
        !matches!(self, Self::LoseRecords | Self::KillReader | Self::PanicReader)
    }

    /// How scap is set up for it.
    pub(super) fn settings(self) -> ScapSettings {
        let lie = match self {
            Self::ScapSkewedClock => Some(Lie::SkewedClock { by_ns: 50_000_000 }),
            Self::ScapWrongFd => Some(Lie::WrongFd),
            Self::ScapWrongResult => Some(Lie::WrongResult),
            Self::ScapMissingEvent => Some(Lie::MissingEvent),
            Self::ScapWrongTuple => Some(Lie::WrongTuple),
            _ => None,
        };
        ScapSettings { lie }
    }
}

/// An observer whose reader can be held up and ended.
pub(super) trait Victim: Observer {
    fn rest(&self, rests: bool);
    fn kill(&self);
    fn panic(&self);
}

impl Victim for EbpfObserver {
    fn rest(&self, rests: bool) {
        if rests { self.pause_reader() } else { self.resume_reader() }
    }

    fn kill(&self) {
        self.kill_reader();
    }

    fn panic(&self) {
        self.panic_reader();
    }
}

impl Victim for ScapObserver {
    fn rest(&self, rests: bool) {
        self.pause_reader(rests);
    }

    fn kill(&self) {
        self.kill_reader();
    }

    fn panic(&self) {
        self.panic_reader();
    }
}

/// An observer that is sabotaged at its first fence, with which the first case begins.
pub(super) struct Sabotaged<V> {
    observer: V,
    how: Sabotage,
    fences: u32,
}

impl<V: Victim> Sabotaged<V> {
    pub(super) fn new(observer: V, how: Sabotage) -> Self {
        Self { observer, how, fences: 0 }
    }
}

impl<V: Victim> Observer for Sabotaged<V> {
    fn describe(&self) -> String {
        format!("{}, sabotaged: {:?}", self.observer.describe(), self.how)
    }

    fn fence(&mut self) -> Result<(), ObserverError> {
        use Sabotage::{KillReader, LoseRecords, PanicReader, ScapKillReader, ScapLoseRecords, ScapPanicReader};
        self.fences += 1;
        let rests = matches!(self.how, LoseRecords | ScapLoseRecords);
        if self.fences == 2 && rests {
            self.observer.rest(false);
        }
        let fenced = self.observer.fence();
        match self.how {
            _ if self.fences > 1 => {}
            LoseRecords | ScapLoseRecords => self.observer.rest(true),
            KillReader | ScapKillReader => self.observer.kill(),
            PanicReader | ScapPanicReader => self.observer.panic(),
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

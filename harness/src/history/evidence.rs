//! Which records checks judge by, and so which of them are held in memory.

use super::record::{Event, ObserverChange, Record, Source};

/// System calls only tell people who did what, until a second witness begins to tell of them too: then the two accounts are
/// compared, and what memory holds is bounded by the calls of one case.
#[derive(Clone, Copy, Debug, Default)]
pub struct Evidence {
    calls: bool,
}

impl Evidence {
    /// Whether a check may judge by this record, the next in the order of arrival.
    pub fn takes(&mut self, record: &Record) -> bool {
        let begins = matches!(record.event, Event::Observer(ObserverChange::Started { .. }));
        self.calls |= begins && record.source == Source::Scap;
        self.calls || !matches!(record.event, Event::Syscall(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::history::tests::{edge, syscall};

    #[test]
    fn calls_are_evidence_once_there_are_two_witnesses() {
        let started = |source| {
            let change = ObserverChange::Started { rung: "r".into(), uncertainty_ns: 0, sees_connections: false };
            Record { at: Timestamp(1), uncertainty_ns: 0, source, event: Event::Observer(change) }
        };
        let mut evidence = Evidence::default();
        assert!(evidence.takes(&started(Source::Ebpf)) && evidence.takes(&edge(1, 1, true)));
        assert!(!evidence.takes(&syscall(2)));
        assert!(evidence.takes(&started(Source::Scap)) && evidence.takes(&syscall(3)));
    }
}

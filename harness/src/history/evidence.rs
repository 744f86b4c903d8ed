//! Which records checks judge by, and so which of them are held in memory.

use std::collections::HashMap;

use super::kernel::{Syscall, TcpState};
use super::record::{Event, ObserverChange, Record, Source};

/// The calls of so many threads are remembered at the most; then all are forgotten, and a connect beside a closing port is judged by
/// the stamps alone.
const THREADS: usize = 1 << 16;

/// System calls only tell people who did what, but for those that open and close a listener: they bound when connects could find
/// it. When a second witness begins to tell of calls too, the two accounts are compared from then on, and what memory holds is
/// bounded by the calls of one case.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    calls: bool,
    /// The last call of each thread that could close a listener.
    closing: HashMap<u32, Closing>,
}

/// A call that can close a listener.
#[derive(Clone, Debug)]
struct Closing {
    /// Its entry, and its end where that came before a listener closed; none once they are held.
    entry: Option<Record>,
    end: Option<Record>,
    /// It has closed one.
    closed: bool,
}

/// What is held of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Taken {
    /// Nothing.
    Not,
    /// The record.
    Itself,
    /// Earlier ones, and then the record: what is known of the call that closes this listener.
    With(Vec<Record>),
}

impl Evidence {
    /// Whether a check may judge by this record, the next in the order of arrival, and by which earlier ones on its account.
    pub fn takes(&mut self, record: &Record) -> Taken {
        match &record.event {
            Event::Observer(ObserverChange::Started { .. }) => self.calls |= record.source == Source::Scap,
            Event::Syscall(call) if !self.calls && call.name != "listen" => return self.takes_call(call, record),
            Event::SocketState(change) if (change.from, change.to) == (TcpState::Listen, TcpState::Close) => {
                if let Some(call) = self.closing.get_mut(&change.process.tid) {
                    call.closed = true;
                    return Taken::With(call.entry.take().into_iter().chain(call.end.take()).collect());
                }
            }
            _ => {}
        }
        Taken::Itself
    }

    /// Before Linux 6.6 a socket closes as the thread goes back to its program, when the call has ended.
    fn takes_call(&mut self, call: &Syscall, record: &Record) -> Taken {
        if !call.can_close() {
            return Taken::Not;
        }
        let tid = call.process.tid;
        if call.is_entry() {
            if self.closing.len() >= THREADS {
                self.closing.clear();
            }
            self.closing.insert(tid, Closing { entry: Some(record.clone()), end: None, closed: false });
            return Taken::Not;
        }
        match self.closing.get_mut(&tid) {
            Some(call) if call.closed => {
                self.closing.remove(&tid);
                Taken::Itself
            }
            Some(call) => {
                call.end = Some(record.clone());
                Taken::Not
            }
            None => Taken::Not,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::history::tests::{edge, syscall};
    use crate::history::{Syscall, SyscallPhase};

    #[test]
    fn calls_are_evidence_once_there_are_two_witnesses() {
        let started = |source| {
            let change = ObserverChange::Started { rung: "r".into(), uncertainty_ns: 0, sees_connections: false };
            Record { at: Timestamp(1), uncertainty_ns: 0, source, event: Event::Observer(change) }
        };
        let mut evidence = Evidence::default();
        assert_eq!(evidence.takes(&started(Source::Ebpf)), Taken::Itself);
        assert_eq!(evidence.takes(&edge(1, 1, true)), Taken::Itself);
        assert_eq!(evidence.takes(&syscall(2)), Taken::Not);
        assert_eq!(evidence.takes(&started(Source::Scap)), Taken::Itself);
        assert_eq!(evidence.takes(&syscall(3)), Taken::Itself);
    }

    #[test]
    fn calls_that_open_and_close_a_listener_are_evidence() {
        let called = |ns, name: &str, phase, tid| {
            let mut record = syscall(ns);
            if let Event::Syscall(call) = &mut record.event {
                let process = crate::history::Process { tid, ..Default::default() };
                *call = Syscall { name: name.into(), phase, process, ..call.clone() };
            }
            record
        };
        let by = |tid, mut record: Record| {
            if let Event::SocketState(change) = &mut record.event {
                change.process.tid = tid;
            }
            record
        };
        let (enter, exit) = (SyscallPhase::Enter, SyscallPhase::Exit(0));
        let (entry, end) = (called(4, "close", enter, 7), called(5, "close", exit, 7));
        let mut evidence = Evidence::default();
        let mut takes = |records: &[Record]| records.iter().map(|it| evidence.takes(it)).collect::<Vec<_>>();
        assert_eq!(
            takes(&[called(1, "listen", enter, 7), called(2, "listen", exit, 7)]),
            [Taken::Itself, Taken::Itself]
        );
        let none = [called(3, "close", enter, 7), called(3, "close", enter, 8), called(3, "accept4", exit, 7)];
        assert_eq!(takes(&none), [Taken::Not, Taken::Not, Taken::Not]);
        // Within the call; and another listener by the same.
        let within = [entry.clone(), by(7, edge(5, 1, false)), by(7, edge(5, 2, false)), end.clone()];
        let kept = [Taken::Not, Taken::With(vec![entry.clone()]), Taken::With(Vec::new()), Taken::Itself];
        assert_eq!(takes(&within), kept);
        assert_eq!(takes(&[by(7, edge(6, 3, false)), by(9, edge(6, 4, false))]), [Taken::Itself, Taken::Itself]);
        // When it has ended.
        let behind = [entry.clone(), end.clone(), by(7, edge(6, 1, false))];
        assert_eq!(takes(&behind), [Taken::Not, Taken::Not, Taken::With(vec![entry, end])]);
        for tid in 0..=THREADS as u32 {
            takes(&[called(7, "close", enter, tid)]);
        }
        assert_eq!(evidence.closing.len(), 1);
    }
}

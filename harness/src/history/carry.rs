//! What later cases need of earlier records: which sockets listen, what became of the observers, the system, and the reports
//! that came since the last case.

use std::collections::{HashMap, HashSet};

use super::kernel::{Listening, ProcessChange, TcpState};
use super::listeners::seed_of;
use super::record::{Event, Record, SutChange};
use super::report::Message;
use super::sinsp::SinspSaid;

/// So many messages are carried over at the most: who sends more between two cases has shown it.
const MESSAGES: usize = 1024;

/// Leaves of `records`, which stand in the order of time, those that still bear on what comes after them: how each
/// listening socket opened, or that it listened already; the observers' own changes, and what became of captures; losses;
/// what each process held first; whose child each living process is; the last start of the system, and its welcome; the end
/// of the last case, and the reports that came after it.
pub fn carry(records: Vec<Record>) -> Vec<Record> {
    let mut listening = HashMap::new();
    let mut seeds: Vec<(usize, &Listening)> = Vec::new();
    let mut living = HashMap::new();
    let mut sampled = HashSet::new();
    let mut sentinel = None;
    let mut launched = HashMap::new();
    let mut last_end = None;
    // Of the last start, and of after the last case.
    let (mut welcomes, mut messages) = (Vec::new(), Vec::new());
    let mut kept = vec![false; records.len()];
    for (index, record) in records.iter().enumerate() {
        match &record.event {
            Event::Observer(_) | Event::Loss { .. } => kept[index] = true,
            Event::Sinsp(SinspSaid::Started(_) | SinspSaid::Ended { .. } | SinspSaid::Gone { .. }) => {
                kept[index] = true
            }
            // What it counts as lost, it counts from the beginning.
            Event::Sinsp(SinspSaid::Sentinel { .. }) => sentinel = Some(index),
            Event::Reports(change) => kept[index] = change.is_lasting(),
            Event::Sut(SutChange::Launched { process, .. }) => {
                launched.insert(process, index);
                welcomes.clear();
            }
            Event::CaseEnd { .. } => {
                last_end = Some(index);
                messages.clear();
            }
            Event::Message(Message::Welcome { .. }) if welcomes.len() < MESSAGES => welcomes.push(index),
            Event::Message(_) if messages.len() < MESSAGES => messages.push(index),
            Event::Process(ProcessChange::Fork { child, .. }) => drop(living.insert(*child, index)),
            Event::Process(ProcessChange::Exit { process, .. }) => drop(living.remove(&process.tgid)),
            Event::Resources(held) => kept[index] = sampled.insert((held.process.clone(), held.tgid)),
            Event::Listening(seed) => seeds.push((index, seed)),
            Event::SocketState(change) if (change.from, change.to) == (TcpState::Close, TcpState::Listen) => {
                listening.insert(change.socket, index);
            }
            Event::SocketState(change) if (change.from, change.to) == (TcpState::Listen, TcpState::Close) => {
                if listening.remove(&change.socket).is_some() {
                    continue;
                }
                let closed = seed_of(change, seeds.iter().map(|(_, seed)| (seed.local, seed.netns, seed.ipv6_only)));
                if let Some(closed) = closed {
                    seeds.swap_remove(closed);
                }
            }
            _ => {}
        }
    }
    let seeds = seeds.into_iter().map(|(index, _)| index);
    let reports = launched.into_values().chain(last_end).chain(welcomes).chain(messages);
    for index in listening.into_values().chain(seeds).chain(living.into_values()).chain(reports).chain(sentinel) {
        kept[index] = true;
    }
    let mut index = kept.into_iter();
    let mut records = records;
    records.retain(|_| index.next().unwrap_or(true));
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::endpoint::Tgid;
    use crate::history::tests::{at, edge, seed, syscall};
    use crate::history::{Listeners, ObserverChange, PortTimeline, Process, Resources, Source};

    fn event(ns: u64, event: Event) -> Record {
        Record { at: Timestamp(ns), uncertainty_ns: 0, source: Source::Ebpf, event }
    }

    #[test]
    fn only_what_still_listens_is_left() {
        let stopped = event(6, Event::Observer(ObserverChange::Stopped));
        let lost = event(7, Event::Loss { probe: "p".into(), count: 1, since: Timestamp(1) });
        let before = vec![
            seed(1, "127.0.0.1:80"),
            seed(1, "127.0.0.1:80"),
            edge(2, 1, true),
            edge(3, 1, false),
            // The kernel gives a freed socket's address to another.
            edge(4, 1, true),
            edge(5, 7, false),
            stopped.clone(),
            lost.clone(),
            syscall(8),
        ];
        let after = carry(before.clone());
        assert_eq!(after, [seed(1, "127.0.0.1:80"), edge(4, 1, true), stopped, lost]);
        assert_eq!(carry(after.clone()), after);
        let (mut all, mut left) = (Listeners::default(), Listeners::default());
        before.iter().for_each(|record| all.apply(record));
        after.iter().for_each(|record| left.apply(record));
        assert_eq!(all.endpoints(), left.endpoints());
        let timeline = |records: &[Record]| {
            PortTimeline::of(at("127.0.0.1:80"), 1, records, Timestamp(9), Timestamp(9)).listeners_before
        };
        assert_eq!(timeline(&before), timeline(&after));
    }

    #[test]
    fn what_a_process_held_first_is_left() {
        let held = |ns: u64, tgid: u32| {
            let process = "p".into();
            event(ns, Event::Resources(Resources { process, tgid, processes: 1, resident_bytes: ns, sockets: Some(1) }))
        };
        let before = vec![held(1, 5), held(2, 5), held(3, 6), held(4, 5)];
        assert_eq!(carry(before), [held(1, 5), held(3, 6)]);
    }

    #[test]
    fn whose_child_a_living_process_is_is_left() {
        let process = |tgid: u32| Process { tgid: Tgid(tgid), ..Process::default() };
        let fork = |ns: u64, child: u32| {
            event(ns, Event::Process(ProcessChange::Fork { parent: process(1), child: Tgid(child) }))
        };
        let exit = event(3, Event::Process(ProcessChange::Exit { process: process(5), status: None }));
        assert_eq!(carry(vec![fork(1, 5), fork(2, 6), exit]), [fork(2, 6)]);
    }
}

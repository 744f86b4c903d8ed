//! Histories in which one record is not what it was, each in a way that contradicts what a client experienced.

use std::time::Duration;

use portwitness::checks::Slice;
use portwitness::checks::causality::HASHING;
use portwitness::history::{
    Edge, EdgeKind, Event, History, OpStep, Operation, Outcome, PortTimeline, Record, TcpState,
};

use super::target;

/// A history in which one record is not what it was.
pub(super) struct Forgery {
    pub(super) what: &'static str,
    pub(super) history: History,
    /// What the check has to say.
    pub(super) finding: &'static str,
}

const SUCCEEDED: &str = "succeeded while no socket listened there";
const REFUSED: &str = "was refused while a socket listened there";

/// An edge moved either way, for each kind of edge; an outcome flipped either way; an edge left out.
pub(super) fn forgeries(slice: &Slice<'_>, timeline: &PortTimeline) -> Vec<Forgery> {
    // So that there is room for connects between the edge and the place where it is said to be.
    let shift = HASHING * 2 + Duration::from_micros(300);
    let operations = slice.operations();
    let forge = |what, finding, change: &dyn Fn(&mut Vec<Record>)| {
        let mut records = slice.records.to_vec();
        change(&mut records);
        Forgery { what, finding, history: History::new(slice.run.clone(), records) }
    };
    // An edge far from its neighbours, with a connect of this outcome right before it or right after it.
    let edge = |kind: EdgeKind, outcome: &Outcome, later: bool| {
        let mut trios = timeline.edges.windows(3);
        let fits = |trio: &&[Edge]| {
            let (before, at, after) = (trio[0].at, trio[1].at, trio[2].at);
            let room = at.since(before) > shift && after.since(at) > shift;
            trio[1].kind == kind
                && room
                && operations.iter().filter_map(|op| op.connect.as_ref()).any(|it| {
                    let (from, to) = (it.began - HASHING, it.returned + HASHING);
                    let within = if later { from > before && to < at + shift } else { from > at - shift && to < after };
                    let beside = if later { it.began > at } else { it.returned < at };
                    it.outcome == outcome && within && beside
                })
        };
        let found = trios.find(fits).expect("an edge with room and a connect beside it");
        (found[1].at, found[1].kind)
    };
    let mut all = Vec::new();
    for (what, kind, outcome, later, finding) in [
        ("opened later", EdgeKind::Opened, Outcome::Ok, true, SUCCEEDED),
        ("opened earlier", EdgeKind::Opened, Outcome::Refused, false, REFUSED),
        ("closed later", EdgeKind::Closed, Outcome::Refused, true, REFUSED),
        ("closed earlier", EdgeKind::Closed, Outcome::Ok, false, SUCCEEDED),
    ] {
        let (at, _) = edge(kind, &outcome, later);
        all.push(forge(what, finding, &|records| {
            let record = records.iter_mut().find(|record| is_edge(record) && record.at == at).unwrap();
            record.at = if later { at + shift } else { at - shift };
        }));
    }
    for (what, outcome, other, finding) in [
        ("a refused connect that succeeded", Outcome::Refused, Outcome::Ok, SUCCEEDED),
        ("a connect that was refused", Outcome::Ok, Outcome::Refused, REFUSED),
    ] {
        let compared = operations.iter().find(|op| {
            let connect = op.connect.as_ref().filter(|connect| *connect.outcome == outcome);
            connect.is_some_and(|it| timeline.steady(it.began - HASHING, it.returned + HASHING).is_some())
        });
        let op = compared.unwrap().op;
        all.push(forge(what, finding, &|records| {
            let step = records.iter_mut().find_map(|record| match &mut record.event {
                Event::Operation(Operation { op: of, step: OpStep::Connect { outcome, .. } }) if *of == op => {
                    Some(outcome)
                }
                _ => None,
            });
            *step.unwrap() = other.clone();
        }));
    }
    all.push(forge("a close that is left out", REFUSED, &|records| {
        let (at, _) = edge(EdgeKind::Closed, &Outcome::Refused, true);
        records.retain(|record| !(is_edge(record) && record.at == at));
    }));
    all
}

/// A listener of the port appeared or went.
fn is_edge(record: &Record) -> bool {
    matches!(&record.event, Event::SocketState(it) if it.local == target() && matches!(
        (it.from, it.to),
        (TcpState::Close, TcpState::Listen) | (TcpState::Listen, TcpState::Close)
    ))
}

//! Does the system close the connections whose clients have gone?

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::coverage::connection_witness;
use super::slice::Slice;
use super::verdict::Verdict;
use crate::clock::Timestamp;
use crate::endpoint::Endpoint;
use crate::history::{Event, OpId, OpStep, Operation, Record, SocketState, TcpState};

/// Every connection that the system accepted has reached CLOSE at its side some time after its client ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoneLeftOpen {
    /// The time that the system has for it, in ms.
    pub within_ms: u64,
}

/// The connections of clients, followed record by record.
#[derive(Default)]
pub struct Connections {
    clients: HashMap<OpId, Client>,
    /// By the port that was connected to and the client's own end: when the system's end changed last, to what, by whom.
    ends: HashMap<(u16, Endpoint), (Timestamp, SocketState)>,
}

struct Client {
    target: Endpoint,
    local: Option<Endpoint>,
    ended: Option<Timestamp>,
}

/// A connection whose client has ended and whose other end has not reached CLOSE.
pub struct LeftOpen<'a> {
    target: Endpoint,
    local: Endpoint,
    /// When the client ended.
    ended: Timestamp,
    /// When the other end changed its state last.
    changed: Timestamp,
    state: &'a SocketState,
}

impl NoneLeftOpen {
    /// Judges every connection of which the kernel reported that the system's side was established.
    pub fn judge(&self, slice: &Slice<'_>) -> Verdict {
        if let Err(reason) = connection_witness(slice) {
            return Verdict::unknown(reason);
        }
        let mut connections = Connections::default();
        slice.own().iter().for_each(|record| connections.take(record));
        if connections.ends.is_empty() {
            return Verdict::unknown("no connection of a client was seen at the system's side");
        }
        let left = connections.left_open();
        let overdue: Vec<&LeftOpen<'_>> =
            left.iter().filter(|one| slice.end.ms_after(one.ended) >= self.within_ms as f64).collect();
        if let Some(first) = overdue.first() {
            let accepted = connections.ends.len();
            return Verdict::fail(
                format!("every connection to be closed by the system within {} ms of its client's end", self.within_ms),
                format!(
                    "{} of {accepted} are left open; first: {} -> {} is in {} {:.0} ms after its client ended",
                    overdue.len(),
                    first.local,
                    first.target,
                    name(first.state.to),
                    slice.end.ms_after(first.ended)
                ),
            )
            .with_records(overdue.iter().take(12).map(|one| one.describe(slice.begin)).collect());
        }
        match left.first() {
            None => Verdict::Pass,
            Some(one) => Verdict::unknown(format!(
                "{} -> {} was open still when the case ended, {:.0} ms after its client did: too early to tell",
                one.local,
                one.target,
                slice.end.ms_after(one.ended)
            )),
        }
    }
}

impl Connections {
    /// Takes the next record into account; records of an observer may come late.
    pub fn take(&mut self, record: &Record) {
        match &record.event {
            Event::Operation(Operation { op, step }) => self.take_step(*op, step, record.at),
            Event::SocketState(change) => {
                let Some(remote) = change.remote else { return };
                let key = (change.local.port(), remote);
                // Only what was established was a connection; the kernel's address of it may have been another's before.
                let known = self.ends.get(&key).is_some_and(|(_, last)| last.socket == change.socket);
                if known || change.to == TcpState::Established {
                    self.ends.insert(key, (record.at, change.clone()));
                }
            }
            _ => {}
        }
    }

    fn take_step(&mut self, op: OpId, step: &OpStep, at: Timestamp) {
        match step {
            OpStep::Start { target, .. } => {
                self.clients.insert(op, Client { target: *target, local: None, ended: None });
            }
            OpStep::Connect { local, .. } => {
                if let Some(client) = self.clients.get_mut(&op) {
                    client.local = *local;
                }
            }
            OpStep::End { .. } => {
                if let Some(client) = self.clients.get_mut(&op) {
                    client.ended = Some(at);
                }
            }
            OpStep::FirstByte | OpStep::Silence { .. } => {}
        }
    }

    /// Those that are left open, in the order in which their clients ended.
    pub fn left_open(&self) -> Vec<LeftOpen<'_>> {
        let mut left: Vec<LeftOpen<'_>> = self.clients.values().filter_map(|client| self.left(client)).collect();
        left.sort_by_key(|one| one.ended);
        left
    }

    fn left(&self, client: &Client) -> Option<LeftOpen<'_>> {
        let (local, ended) = (client.local?, client.ended?);
        let (changed, state) = self.ends.get(&(client.target.port(), local))?;
        let open = state.to != TcpState::Close;
        open.then_some(LeftOpen { target: client.target, local, ended, changed: *changed, state })
    }
}

impl LeftOpen<'_> {
    fn describe(&self, zero: Timestamp) -> String {
        format!(
            "{} -> {} in {} since {:+.3} ms, its client ended at {:+.3} ms",
            self.local,
            self.target,
            name(self.state.to),
            self.changed.ms_after(zero),
            self.ended.ms_after(zero)
        )
    }
}

/// The state as RFC 9293 and ss(8) write it.
fn name(state: TcpState) -> String {
    serde_json::to_value(state)
        .ok()
        .and_then(|name| name.as_str().map(|name| name.replace('_', "-")))
        .unwrap_or_else(|| format!("{state:?}"))
}

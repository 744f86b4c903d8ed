//! Connection life: were connections accepted, did the system keep them, and how did they end?

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::coverage::connection_witness;
use super::slice::{Op, Slice};
use super::verdict::Verdict;
use crate::clock::Timestamp;
use crate::history::{Event, Outcome, SocketState, TcpState};

/// The kernel saw the connections of a group established at the system's side, and the system did not close them
/// before the client had everything it waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaysConnected {
    /// Which operations.
    pub group: String,
    /// Afterwards the system answers the client's close with its own (RFC 9293, passive close), not with a reset.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closes_cleanly: bool,
}

impl StaysConnected {
    /// Judges every operation of the group that connected.
    pub fn judge(&self, slice: &Slice<'_>) -> Verdict {
        if let Err(reason) = connection_witness(slice) {
            return Verdict::unknown(reason);
        }
        let mut judged = 0;
        for op in slice.group(&self.group) {
            let Some(local) = op.connect.as_ref().and_then(|connect| connect.local) else { continue };
            let life: Vec<(Timestamp, &SocketState)> = slice
                .own()
                .iter()
                .filter_map(|record| match &record.event {
                    Event::SocketState(change) => Some((record.at, change)),
                    _ => None,
                })
                .filter(|(at, change)| {
                    *at >= op.start
                        && *at <= slice.end
                        && change.local.port() == op.target.port()
                        && change.remote == Some(local)
                })
                .collect();
            if !life.iter().any(|(_, change)| change.to == TcpState::Established) {
                return Verdict::unknown(format!(
                    "the kernel reported no ESTABLISHED for {local} at {}: the connection was accepted elsewhere",
                    op.target
                ));
            }
            let done = op.end.as_ref().map_or(slice.end, |end| end.at);
            if let Some((at, change)) = life.iter().find(|(at, change)| *at < done && closes(change)) {
                let zero = op.first_byte.unwrap_or(op.start);
                let around = life.iter().map(|(at, change)| describe(*at, zero, change)).collect();
                return Verdict::fail(
                    format!("the connection {local} -> {} to stay until its client closes it", op.target),
                    format!(
                        "the system ended it {:.3} ms after the first byte ({:?} -> {:?})",
                        at.ms_after(zero),
                        change.from,
                        change.to
                    ),
                )
                .with_records(around);
            }
            let closed = |from| life.iter().any(|(_, change)| change.from == from && change.to == TcpState::Close);
            if self.closes_cleanly && !closed(TcpState::LastAck) {
                if op.end.as_ref().is_none_or(|end| *end.outcome != Outcome::Ok) {
                    return Verdict::unknown(format!("{}: its close cannot be judged", op.ending()));
                }
                let zero = op.first_byte.unwrap_or(op.start);
                let around = life.iter().map(|(at, change)| describe(*at, zero, change)).collect();
                return Verdict::fail(
                    format!("the connection {local} -> {} to be closed in order by both ends", op.target),
                    match closed(TcpState::CloseWait) {
                        true => "the system reset it after its client's close",
                        false => "the system did not close its end after its client's",
                    },
                )
                .with_records(around);
            }
            judged += 1;
        }
        match judged {
            0 => Verdict::unknown(format!("no operation of `{}` connected", self.group)),
            _ => Verdict::Pass,
        }
    }
}

/// Whether this side ends the connection first: a FIN (RFC 9293, active close) or a reset.
fn closes(change: &SocketState) -> bool {
    change.from == TcpState::Established && matches!(change.to, TcpState::FinWait1 | TcpState::Close)
}

fn describe(at: Timestamp, zero: Timestamp, change: &SocketState) -> String {
    format!("{:+.3} ms {:?} -> {:?} by {}", at.ms_after(zero), change.from, change.to, change.process)
}

/// Every operation of a group ends in a way that can be told: survived, clean EOF or reset. Hanging is a failure, and so
/// is anything received that is not a prefix of what was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endings {
    /// Which operations.
    pub group: String,
    /// How many there must be at the least.
    pub at_least: u64,
}

impl Endings {
    /// Judges each ending.
    pub fn judge(&self, slice: &Slice<'_>) -> Verdict {
        let ops = slice.group(&self.group);
        if (ops.len() as u64) < self.at_least.max(1) {
            return Verdict::unknown(format!(
                "{} of {} operations of `{}` began",
                ops.len(),
                self.at_least,
                self.group
            ));
        }
        let mut unknown = None;
        for op in &ops {
            let expected =
                || format!("`{}` to survive, or to end by EOF or reset, with a prefix of what was sent", self.group);
            match op.end.as_ref().map(|end| end.outcome) {
                Some(Outcome::Ok | Outcome::ClosedEarly | Outcome::Reset | Outcome::Refused) => {}
                Some(Outcome::Timeout { .. }) => return Verdict::fail(expected(), format!("hung: {}", op.ending())),
                Some(Outcome::Corrupt { .. }) => {
                    let seen = super::traffic::fault(op).unwrap_or_else(|| op.ending());
                    return Verdict::fail(expected(), seen);
                }
                Some(Outcome::Failed { .. } | Outcome::Cancelled) | None => unknown = Some(op.ending()),
            }
        }
        unknown.map_or(Verdict::Pass, Verdict::unknown)
    }
}

/// How many operations ended in which way, a line a group: `server tun1: 3 closed early, 1 ok`.
pub fn classify(slice: &Slice<'_>, group: &str) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for op in slice.group(group) {
        *counts.entry(class(&op)).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(class, count)| format!("{count} {class}")).collect();
    format!("{group}: {}", counts.join(", "))
}

fn class(op: &Op<'_>) -> String {
    match op.end.as_ref().map(|end| end.outcome) {
        Some(Outcome::Ok) => "survived".into(),
        Some(Outcome::ClosedEarly) => "clean EOF".into(),
        Some(Outcome::Timeout { .. }) => "hung".into(),
        Some(other) => other.to_string(),
        None => "never ended".into(),
    }
}

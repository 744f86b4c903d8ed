//! A failover: data on the standby's port, and the close cycle of four ports that follows.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::ensure;
use portwitness::case::Context;
use portwitness::clients::{Finished, echo};
use portwitness::clock::Timestamp;
use portwitness::endpoint::Endpoint;
use portwitness::history::{Event, OpId, OpStep, Operation, Record, TcpState};
use portwitness::sut::wait;

use super::config::{Client, Entry, PortConfig, Tun};
use super::system::Tunnel;

/// The group of the operation whose first byte makes the standby active.
pub(crate) const TRIGGER: &str = "trigger";
/// The group of the echoes that tell which client is active afterwards.
pub(crate) const PROBE: &str = "probe";
/// A failover begins to close ports at most this long after its trigger: twice the window of the specification.
pub(crate) const CLOSE_DEADLINE: Duration = Duration::from_secs(2);
/// The specification waits for the reconnect timeout and this much more.
pub(crate) const REOPEN_SLACK: Duration = Duration::from_secs(2);
/// A port that reopened is watched for so long before the case ends: it must not close again.
const WATCH_AFTER: Duration = Duration::from_secs(1);

/// The close cycle of the four ports, as it appears in the records from a position on.
pub(crate) struct Cycle {
    ports: Vec<Endpoint>,
    from: usize,
}

impl Cycle {
    pub(crate) fn new(ports: &PortConfig, to: Client, from: usize) -> Self {
        Self { ports: ports.closing(to).map(|port| port.endpoint).collect(), from }
    }

    /// The ports at which a listener has closed.
    pub(crate) fn closed(&self, records: &[Record]) -> HashSet<Endpoint> {
        self.edges(records, TcpState::Listen, TcpState::Close)
    }

    /// A listener has closed at any of the ports.
    pub(crate) fn began(&self, records: &[Record]) -> bool {
        !self.closed(records).is_empty()
    }

    /// Each of the ports has closed, and reopened after that.
    pub(crate) fn complete(&self, records: &[Record]) -> bool {
        self.closed(records).len() == self.ports.len()
            && self.edges(records, TcpState::Close, TcpState::Listen).len() == self.ports.len()
    }

    fn edges(&self, records: &[Record], from: TcpState, to: TcpState) -> HashSet<Endpoint> {
        let own = records[self.from.min(records.len())..].iter();
        own.filter_map(|record| match &record.event {
            Event::SocketState(change) if change.from == from && change.to == to => Some(change),
            _ => None,
        })
        .filter_map(|change| self.ports.iter().find(|port| change.local.covers(**port, change.ipv6_only)))
        .copied()
        .collect()
    }
}

/// What a case waits for after the trigger.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// All four ports have reopened.
    Reopened,
    /// They have, and none of them has closed again for a second.
    Settled,
}

impl Tunnel {
    /// Where the records of what happens from now on begin.
    pub(crate) fn cycle(&self, context: &Context, to: Client) -> Cycle {
        Cycle::new(&self.ports, to, context.recorder.records(<[Record]>::len))
    }

    /// Sends the first data to the standby `to` (64 bytes, echoed), closes that connection, and waits for the cycle.
    pub(crate) async fn fail_over(&self, context: &Context, to: Client, until: Until) -> anyhow::Result<()> {
        let cycle = self.cycle(context, to);
        self.set_active(context, None);
        let trigger = self.trigger(context, to).await;
        let complete = self.wait_for(context, &cycle, trigger.first_byte, until).await?;
        self.probe_active(context, to, complete).await;
        Ok(())
    }

    /// The trigger alone.
    pub(crate) async fn trigger(&self, context: &Context, to: Client) -> Finished {
        let client = self.client(context, TRIGGER, Entry::Client(to, Tun::One));
        echo::echo(&client, Self::payload(context, 1 << 34, 64)).await
    }

    /// Waits for the cycle until the reconnect timeout and 2 s after the trigger; says whether it was complete. That it is
    /// not is for the checks to judge; that there was no trigger is an error.
    pub(crate) async fn wait_for(
        &self,
        context: &Context,
        cycle: &Cycle,
        trigger: Option<Timestamp>,
        until: Until,
    ) -> anyhow::Result<bool> {
        ensure!(trigger.is_some(), "the trigger never happened: no byte could be written to the standby");
        let began = trigger.unwrap_or_default();
        let deadline = began + self.ports.reconnect_timeout + REOPEN_SLACK;
        let complete = wait::until(&context.recorder, deadline, |records| cycle.complete(records)).await;
        if complete && until == Until::Settled {
            let settled = Timestamp::now() + WATCH_AFTER;
            let from = context.recorder.records(<[Record]>::len);
            let again = Cycle { ports: cycle.ports.clone(), from };
            // A port that closes again has failed its case: nothing more to wait for.
            wait::until(&context.recorder, settled, |records| again.began(records)).await;
        }
        Ok(complete)
    }

    /// Waits until the system has closed its end of an operation's connection too; that it has not is for the checks to judge.
    pub(crate) async fn wait_closed(&self, context: &Context, op: OpId) {
        let local = context.recorder.records(|records| {
            records.iter().find_map(|record| match &record.event {
                Event::Operation(Operation { op: of, step: OpStep::Connect { local, .. } }) if *of == op => *local,
                _ => None,
            })
        });
        let closed = |record: &Record| match &record.event {
            Event::SocketState(change) => change.to == TcpState::Close && change.remote == local,
            _ => false,
        };
        if local.is_some() {
            let deadline = Timestamp::now() + CLOSE_DEADLINE;
            wait::until(&context.recorder, deadline, |records| records.iter().rev().any(closed)).await;
        }
    }

    /// An echo through the server, whose way the checks judge. When it reaches the backend of `to` after a complete cycle,
    /// `to` is known to be active.
    pub(crate) async fn probe_active(&self, context: &Context, to: Client, complete: bool) {
        let reached = self.probe(context, PROBE, to, 1 << 16).await;
        self.set_active(context, (complete && reached.is_ok()).then_some(to));
    }
}

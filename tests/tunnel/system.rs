//! The tunnel as the cases use it: its ports, which client is active, and how to make one active.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use portwitness::backends::Relay;
use portwitness::case::{Context, Step, step};
use portwitness::clients::payload::Payload;
use portwitness::clients::{ClientContext, Deadlines, echo};
use portwitness::clock::Timestamp;
use portwitness::history::{Event, Record, YARDSTICK};
use portwitness::sut::wait;

use super::config::{Client, Entry, Limits, PortConfig, Tun};
use super::effort::Sizes;
use super::failover;

/// The group of the operations that bring the system to where a case begins.
const RESET: &str = "reset";
/// The processes that a message passes on its way to a backend.
const HOPS: usize = 2;
/// A backend tells of a connection when that ends: a client's close reaches it within this time.
const BACKEND_DEADLINE: Duration = Duration::from_secs(2);

/// The system under test.
pub(crate) struct Tunnel {
    pub(crate) ports: PortConfig,
    pub(crate) sizes: Sizes,
    pub(crate) limits: Limits,
    /// Which client is active, of which start of the system.
    active: Mutex<Option<(u64, Client)>>,
}

/// A way around the system under test, for one connection.
pub(crate) struct Yardstick {
    /// A client at its entry.
    pub(crate) client: ClientContext,
    _relay: Relay,
}

impl Tunnel {
    pub(crate) fn new(ports: PortConfig, sizes: Sizes, limits: Limits) -> Self {
        Self { ports, sizes, limits, active: Mutex::new(None) }
    }

    /// Bytes that nobody else sends in this run: `stream` numbers the operations of a case.
    pub(crate) fn payload(context: &Context, stream: u64, length: u64) -> Payload {
        Payload::new(context.seed, stream, length)
    }

    /// A client of a group at an entry.
    pub(crate) fn client(&self, context: &Context, group: &str, entry: Entry) -> ClientContext {
        let deadlines = Deadlines { connect: Duration::from_secs(10), idle: self.sizes.idle };
        ClientContext::new(&context.recorder, group, self.ports.listen(entry).endpoint).with_deadlines(deadlines)
    }

    /// A bare relay of as many hops as the tunnel has processes, where the profile limits how much slower the tunnel may be.
    pub(crate) fn yardstick(&self, context: &Context) -> anyhow::Result<Option<Yardstick>> {
        if self.limits.relay_times.is_none() {
            return Ok(None);
        }
        let relay = Relay::start(HOPS).context("the relay that the tunnel is measured against does not start")?;
        let client = ClientContext::new(&context.recorder, YARDSTICK, relay.endpoint());
        Ok(Some(Yardstick { client, _relay: relay }))
    }

    /// Sets which client is active; `None` when that is not known.
    pub(crate) fn set_active(&self, context: &Context, client: Option<Client>) {
        let known = client.map(|client| (context.generation, client));
        *self.active.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }

    fn is_active(&self, context: &Context, client: Client) -> bool {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner) == Some((context.generation, client))
    }

    /// The need of a case: `client` is active, and all ports listen.
    pub(crate) fn need(self: &std::sync::Arc<Self>, client: Client) -> Step {
        let tunnel = self.clone();
        step(move |context| {
            let tunnel = tunnel.clone();
            async move { tunnel.make_active(&context, client).await }
        })
    }

    /// Brings the system there, if it is not there already.
    async fn make_active(&self, context: &Context, client: Client) -> anyhow::Result<()> {
        if self.is_active(context, client) && self.missing(context).is_empty() {
            return Ok(());
        }
        let mut last = String::new();
        for attempt in 0..3 {
            match self.reset(context, client, attempt).await {
                Ok(()) => {
                    self.set_active(context, Some(client));
                    return Ok(());
                }
                Err(error) => last = format!("{error:#}"),
            }
        }
        bail!("{} could not be made active: {last}", client.name());
    }

    async fn reset(&self, context: &Context, client: Client, attempt: u64) -> anyhow::Result<()> {
        let from = context.recorder.records(<[Record]>::len);
        let entry = Entry::Client(client, Tun::One);
        let trigger = self.client(context, RESET, entry);
        let sent = echo::echo(&trigger, Self::payload(context, 1 << 32 | attempt << 8, 64)).await;
        let began = sent.first_byte.with_context(|| format!("the trigger wrote nothing: {}", sent.outcome))?;
        let cycle = failover::Cycle::new(&self.ports, client, from);
        // A port that has another listener stays open: what follows has to wait for one that is closed.
        let closes = wait::until_true(began + failover::CLOSE_DEADLINE, || {
            let closed = context.recorder.records(|records| cycle.closed(records));
            closed.iter().any(|port| !wait::listens(&context.recorder, *port))
        });
        let closes = closes.await;
        let deadline = Timestamp::now() + self.ports.reconnect_timeout + failover::REOPEN_SLACK;
        if !wait::until_true(deadline, || self.missing(context).is_empty()).await {
            bail!("these ports do not listen: {}", self.missing(context).join(", "));
        }
        // When nothing closed, the client may have been active already: who is reached through the server tells.
        if closes { Ok(()) } else { self.probe(context, RESET, client, attempt).await }
    }

    /// The ports of the system that do not listen.
    fn missing(&self, context: &Context) -> Vec<String> {
        self.ports
            .listening()
            .filter(|port| !wait::listens(&context.recorder, port.endpoint))
            .map(|port| format!("{} {}", port.name, port.endpoint))
            .collect()
    }

    /// An echo through the server, which must reach the backend of `active`: fails with what came of it instead.
    pub(crate) async fn probe(
        &self,
        context: &Context,
        group: &str,
        active: Client,
        number: u64,
    ) -> anyhow::Result<()> {
        let from = context.recorder.records(<[Record]>::len);
        let entry = Entry::Server(Tun::One);
        let payload = Self::payload(context, 1 << 33 | number, 64);
        let head: String = payload.head().iter().map(|byte| format!("{byte:02x}")).collect();
        let probe = echo::echo(&self.client(context, group, entry), payload).await;
        ensure!(probe.is_ok(), "the probe through the server ended with: {}", probe.outcome);
        let backend = self.ports.backend(entry, active).endpoint;
        let reached = wait::until(&context.recorder, Timestamp::now() + BACKEND_DEADLINE, |records| {
            records[from..].iter().any(|record| match &record.event {
                Event::Backend(seen) => seen.listen == backend && seen.head == head,
                _ => false,
            })
        });
        ensure!(reached.await, "the probe through the server did not reach the backend of {}", active.name());
        Ok(())
    }
}

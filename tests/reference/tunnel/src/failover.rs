//! Who is active, and what happens when that changes.
//!
//! A failover has two moments. At the trigger the routing changes, so the trigger's echo returns at once. After the close delay the
//! ports close, all connections through the server's ports end, and every other client is told that it is standby.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::sleep;
use tracing::{info, warn};

use crate::{
    fault::{Fault, Faults},
    frame::{Frame, Role, StreamId},
    link::Link,
    listener::Port,
    schedule, supervisor,
};

/// Number of a client, as its `--id` says.
pub(crate) type ClientId = u32;

/// The server's knowledge of its clients, and its ports.
#[derive(Clone, Debug)]
pub(crate) struct Failover {
    state: Arc<Mutex<State>>,
    timeout: Duration,
    faults: Faults,
}

#[derive(Debug, Default)]
struct State {
    clients: BTreeMap<ClientId, Link>,
    active: Option<ClientId>,
    /// The listeners of each port.
    ports: Vec<Vec<Port>>,
    /// Set from a trigger to the close: a second trigger in between changes the outcome, not the time.
    pending: bool,
}

impl Failover {
    /// With no client, no active one and no port; `timeout` is the one from close to reopening.
    pub(crate) fn new(timeout: Duration, faults: Faults) -> Self {
        Self { state: Arc::default(), timeout, faults }
    }

    /// Adds a port of the server, by its listeners. Only the first of them moves at failover.
    pub(crate) fn add_port(&self, listeners: Vec<Port>) {
        self.state().ports.push(listeners);
    }

    /// Adds a client; false when one with this number is here already.
    pub(crate) fn add_client(&self, client: ClientId, link: Link) -> bool {
        let mut state = self.state();
        if state.clients.contains_key(&client) {
            return false;
        }
        state.clients.insert(client, link);
        true
    }

    /// Removes a client that is gone. When it was the active one, another takes its place.
    pub(crate) fn remove_client(&self, client: ClientId) {
        let mut state = self.state();
        state.clients.remove(&client);
        if state.active == Some(client) {
            state.active = None;
            match state.clients.keys().next().copied() {
                Some(next) => self.activate(&mut state, next, None),
                None => info!("no client is active"),
            }
        }
    }

    /// The first data came in on `stream` of `client`: that client becomes active unless it is.
    pub(crate) fn trigger(&self, client: ClientId, stream: StreamId) {
        let mut state = self.state();
        let ignored = self.faults.has(Fault::IgnoresTrigger) && state.active.is_some();
        if state.active != Some(client) && !ignored {
            self.activate(&mut state, client, Some(stream));
        }
    }

    /// The client that a new connection through a port of the server goes to; None while no client is active.
    pub(crate) fn route(&self) -> Option<Link> {
        let state = self.state();
        let active = state.active?;
        let standby = state.clients.iter().find(|(client, _)| **client != active).map(|(_, link)| link);
        match standby {
            Some(standby) if self.faults.has(Fault::WrongBackend) => Some(standby.clone()),
            _ => state.clients.get(&active).cloned(),
        }
    }

    fn activate(&self, state: &mut State, client: ClientId, trigger: Option<StreamId>) {
        let before = state.active.replace(client);
        match before {
            Some(old) => info!("failover: client {client} is active, client {old} was"),
            None => info!("failover: client {client} is active, none was"),
        }
        let failover = self.clone();
        let faults = if before.is_none() { self.faults.at_first_activation() } else { self.faults };
        let first = !std::mem::replace(&mut state.pending, true);
        let trigger = trigger.filter(|_| self.faults.has(Fault::DropsTrigger)).zip(state.clients.get(&client).cloned());
        tokio::spawn(async move {
            sleep(failover.faults.close_delay()).await;
            if first {
                failover.close(faults);
            }
            if let Some((stream, link)) = trigger {
                link.close(stream).await;
            }
        });
    }

    /// The second moment of a failover.
    fn close(&self, faults: Faults) {
        if faults.has(Fault::DiesAndRestarts) {
            std::process::exit(supervisor::RESTART);
        }
        let mut state = self.state();
        state.pending = false;
        for (index, listeners) in state.ports.iter().enumerate() {
            let mut steps = schedule::server_port(index, self.timeout, faults);
            for listener in listeners {
                listener.fail_over(std::mem::take(&mut steps));
            }
        }
        for (client, link) in &state.clients {
            let role = if state.active == Some(*client) { Role::Active } else { Role::Standby };
            let link = link.clone();
            // A client that does not read must not hold the others up.
            tokio::spawn(async move { link.send(Frame::Role(role)).await });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| {
            warn!("a task panicked in the middle of a failover");
            PoisonError::into_inner(poisoned)
        })
    }
}

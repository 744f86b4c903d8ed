//! Group 6, failover impact: what becomes of connections that are open when the system fails over.
//!
//! The specification leaves this suite unwritten; its rule is that data may be lost or connections dropped, and that what
//! is received is right from its first byte on. So every connection must end in a way that can be told.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use portwitness::case::{Case, Context, step};
use portwitness::clients::ClientContext;
use portwitness::clients::hold::{self, Connecting, Held};
use portwitness::clients::pingpong::PingPong;

use super::Draft;
use crate::tunnel::checks;
use crate::tunnel::config::{Client, Entry, Tun};
use crate::tunnel::failover::{PROBE, TRIGGER, Until};
use crate::tunnel::system::Tunnel;

/// What the connections do while the system fails over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Busy,
    HalfClosed,
    Backpressured,
    Connecting,
}

/// Bytes that a backpressured connection writes: more than the buffers of loopback sockets hold.
const BACKPRESSURE_BYTES: u64 = 8 * 1024 * 1024;
/// Connections that are attempted around the failover.
const ATTEMPTS: u64 = 40;
/// How many of these may be open at once.
const AT_ONCE: usize = 20;
/// From one attempt to the next.
const ATTEMPT_PERIOD: Duration = Duration::from_millis(25);

pub(crate) fn cases(tunnel: &Arc<Tunnel>) -> Vec<Case> {
    [
        (State::Idle, "idle connections", Client::Two),
        (State::Busy, "busy connections", Client::One),
        (State::HalfClosed, "half-closed connections", Client::Two),
        (State::Backpressured, "backpressured connections (reader stopped)", Client::One),
        (State::Connecting, "connections made at that moment", Client::Two),
    ]
    .into_iter()
    .enumerate()
    .map(|(index, (state, title, to))| case(tunnel, index + 1, state, title, to))
    .collect()
}

/// The entries whose connections a failover touches: the server's, and those of the client that was active. What is sent
/// into a new connection there while the system fails over would itself be a trigger, so new ones are made at the server.
fn entries(state: State, to: Client) -> Vec<Entry> {
    let server = Tun::BOTH.map(Entry::Server).into_iter();
    let old = (state != State::Connecting).then_some(Entry::Client(to.other(), Tun::Two));
    server.chain(old).collect()
}

fn case(tunnel: &Arc<Tunnel>, number: usize, state: State, title: &str, to: Client) -> Case {
    let ports = &tunnel.ports;
    let mut judged = checks::failed_over(ports, to, TRIGGER);
    judged.push(checks::triggered(TRIGGER));
    for entry in entries(state, to) {
        let at_least = if state == State::Connecting { ATTEMPTS / 2 } else { 1 };
        judged.push(checks::ends_well(&ports.listen(entry).name, at_least));
    }
    judged.push(checks::all_right(PROBE, 1));
    judged.push(checks::reaches(PROBE, ports.backend(Entry::Server(Tun::One), to)));
    judged.extend(checks::leaves_nothing(tunnel));
    let own = tunnel.clone();
    let workload = step(move |context| {
        let tunnel = own.clone();
        async move {
            match state {
                State::Connecting => connecting(&tunnel, &context, to).await,
                held => holding(&tunnel, &context, held, to).await,
            }
        }
    });
    Draft {
        number: format!("6.{number}"),
        title: format!("{title}, failing over to {}", to.name()),
        spec: format!("6. Failover Impact, defined as 6.{number}"),
        active: to.other(),
        budget: 2 * tunnel.sizes.idle,
        checks: judged,
        workload,
    }
    .case(tunnel)
}

/// Holds a connection at each entry through a failover, and lets them come to their end when the ports have reopened.
async fn holding(tunnel: &Tunnel, context: &Context, state: State, to: Client) -> anyhow::Result<()> {
    let mut held: Vec<Held> = Vec::new();
    for (stream, entry) in entries(state, to).into_iter().enumerate() {
        let client = tunnel.client(context, &tunnel.ports.listen(entry).name, entry);
        held.push(hold_one(context, client, state, stream as u64));
    }
    for one in &mut held {
        ensure!(one.ready().await, "a connection ended before the failover");
    }
    tunnel.fail_over(context, to, Until::Reopened).await?;
    for one in held {
        one.finish().await;
    }
    Ok(())
}

fn hold_one(context: &Context, client: ClientContext, state: State, stream: u64) -> Held {
    match state {
        State::Idle => hold::idle(&client, context.seed, stream, 64),
        State::HalfClosed => hold::half_closed(&client, context.seed, stream, 64),
        State::Backpressured => hold::backpressured(&client, Tunnel::payload(context, stream, BACKPRESSURE_BYTES)),
        State::Busy | State::Connecting => {
            let plan = PingPong { iterations: 100_000, bytes: 500, delay: Duration::from_millis(5) };
            hold::busy(&client, context.seed, stream, plan)
        }
    }
}

/// Connects at each entry again and again while the system fails over.
async fn connecting(tunnel: &Tunnel, context: &Context, to: Client) -> anyhow::Result<()> {
    let mut held = Vec::new();
    for (index, entry) in entries(State::Connecting, to).into_iter().enumerate() {
        let client = tunnel.client(context, &tunnel.ports.listen(entry).name, entry);
        let plan = Connecting { attempts: ATTEMPTS, period: ATTEMPT_PERIOD, at_once: AT_ONCE };
        held.push(hold::connecting(&client, context.seed, ((index as u64) << 16) + 1, plan));
    }
    for one in &mut held {
        ensure!(one.ready().await, "no connection was made before the failover");
    }
    tunnel.fail_over(context, to, Until::Reopened).await?;
    for one in held {
        one.finish().await;
    }
    Ok(())
}

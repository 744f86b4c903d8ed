//! Group 5, concurrent connections: ten at once, twenty in turn, for both clients.

use std::sync::Arc;
use std::time::Duration;

use portwitness::case::{Case, Context, step};
use portwitness::clients::echo::echo;
use portwitness::clients::many;

use super::{Draft, event};
use crate::tunnel::checks;
use crate::tunnel::config::{Client, Entry, Tun};
use crate::tunnel::system::Tunnel;

const GROUP: &str = "connections";

/// How the connections of a case follow each other.
#[derive(Clone, Copy)]
struct Shape {
    count: usize,
    at_least: u64,
    at_once: usize,
    bytes: u64,
}

/// '10 connections ... unique 1KB data ... Check ≥ 9 connections succeeded'.
const TEN_AT_ONCE: Shape = Shape { count: 10, at_least: 9, at_once: 10, bytes: 1024 };
/// 'For 20 iterations ... Send 512 bytes ... Check ≥ 18 iterations succeeded'.
const TWENTY_IN_TURN: Shape = Shape { count: 20, at_least: 18, at_once: 1, bytes: 512 };

pub(crate) fn cases(tunnel: &Arc<Tunnel>) -> Vec<Case> {
    let mut cases = of_client(tunnel, Client::One, 1);
    cases.push(event::case(tunnel, "5.4", "5. Concurrent Connections, Test 4.4", Client::Two));
    cases.extend(of_client(tunnel, Client::Two, 5));
    cases.push(event::case(tunnel, "5.8", "5. Concurrent Connections, back to client 1", Client::One));
    cases
}

fn of_client(tunnel: &Arc<Tunnel>, client: Client, first: usize) -> Vec<Case> {
    let own = Entry::Client(client, Tun::One);
    let server = Entry::Server(Tun::One);
    let name = client.name();
    [
        (format!("10 connections at once ({name})"), own, TEN_AT_ONCE),
        (format!("10 connections at once, server-to-client ({name})"), server, TEN_AT_ONCE),
        (format!("20 connections in turn ({name})"), own, TWENTY_IN_TURN),
    ]
    .into_iter()
    .enumerate()
    .map(|(index, (title, entry, shape))| case(tunnel, client, first + index, title, entry, shape))
    .collect()
}

fn case(tunnel: &Arc<Tunnel>, client: Client, number: usize, title: String, entry: Entry, shape: Shape) -> Case {
    let mut judged = checks::nothing_moves(&tunnel.ports);
    judged.push(checks::at_least(GROUP, shape.count as u64, shape.at_least));
    judged.push(checks::reaches(GROUP, tunnel.ports.backend(entry, client)));
    judged.extend(checks::leaves_nothing(tunnel));
    let own = tunnel.clone();
    let workload = step(move |context| {
        let tunnel = own.clone();
        async move {
            connect_all(&tunnel, &context, entry, shape).await;
            Ok(())
        }
    });
    Draft {
        number: format!("5.{number}"),
        title,
        spec: format!("5. Concurrent Connections, Test 4.{number}"),
        active: client,
        budget: Duration::from_secs(60),
        checks: judged,
        workload,
    }
    .case(tunnel)
}

async fn connect_all(tunnel: &Tunnel, context: &Context, entry: Entry, shape: Shape) {
    let client = tunnel.client(context, GROUP, entry);
    many::concurrent(shape.count, shape.at_once, |index| {
        let (client, payload) = (client.clone(), Tunnel::payload(context, index as u64, shape.bytes));
        async move { echo(&client, payload).await }
    })
    .await;
}

//! Group 4, ping-pong: turns of 500 bytes with 10 ms between them, through each tunnel, for both clients.

use std::sync::Arc;
use std::time::Duration;

use portwitness::case::{Case, step};
use portwitness::clients::pingpong::{PingPong, ping_pong};

use super::{Draft, event};
use crate::tunnel::checks;
use crate::tunnel::config::{Client, Entry, Tun};
use crate::tunnel::system::Tunnel;

const GROUP: &str = "ping-pong";
/// '1000 iterations, 10ms delay between responses, 500 byte packets' (specification, suite 4).
const BYTES: u64 = 500;
const DELAY: Duration = Duration::from_millis(10);
/// 'Check success rate ≥ 95%'.
const AT_LEAST_PERCENT: u64 = 95;

pub(crate) fn cases(tunnel: &Arc<Tunnel>) -> Vec<Case> {
    let mut cases = of_client(tunnel, Client::One, 1);
    cases.push(event::case(tunnel, "4.5", "4. Ping Pong, Test 3.5", Client::Two));
    cases.extend(of_client(tunnel, Client::Two, 6));
    cases.push(event::case(tunnel, "4.10", "4. Ping Pong, back to client 1", Client::One));
    cases
}

fn of_client(tunnel: &Arc<Tunnel>, client: Client, first: usize) -> Vec<Case> {
    let entries = Tun::BOTH.map(|tun| Entry::Client(client, tun)).into_iter().chain(Tun::BOTH.map(Entry::Server));
    entries.enumerate().map(|(index, entry)| case(tunnel, client, first + index, entry)).collect()
}

fn case(tunnel: &Arc<Tunnel>, client: Client, number: usize, entry: Entry) -> Case {
    let sizes = tunnel.sizes;
    let direction = entry.direction();
    let mut judged = checks::nothing_moves(&tunnel.ports);
    judged.push(checks::turns(GROUP, AT_LEAST_PERCENT));
    judged.push(checks::reaches(GROUP, tunnel.ports.backend(entry, client)));
    judged.push(checks::stays_connected(GROUP));
    judged.extend(checks::keeps_pace(tunnel, GROUP));
    judged.extend(checks::never_stands_still(tunnel, GROUP));
    judged.extend(checks::leaves_nothing(tunnel));
    let own = tunnel.clone();
    let workload = step(move |context| {
        let tunnel = own.clone();
        async move {
            let plan = PingPong { iterations: sizes.turns, bytes: BYTES, delay: DELAY };
            let client = tunnel.client(&context, GROUP, entry);
            // The same turns at the same time through a bare relay tell what a round trip costs on this machine now.
            let through_tunnel = ping_pong(&client, context.seed, 1, plan);
            match tunnel.yardstick(&context)? {
                Some(yardstick) => {
                    drop(tokio::join!(through_tunnel, ping_pong(&yardstick.client, context.seed, 2, plan)))
                }
                None => drop(through_tunnel.await),
            }
            Ok(())
        }
    });
    Draft {
        number: format!("4.{number}"),
        title: format!("{} turns, {direction} ({})", sizes.turns, client.name()),
        spec: format!("4. Ping Pong, Test 3.{number}"),
        active: client,
        // A tenth of a second a turn: ten times what the slowest of them take.
        budget: Duration::from_millis(100) * sizes.turns as u32,
        checks: judged,
        workload,
    }
    .case(tunnel)
}

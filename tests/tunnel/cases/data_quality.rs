//! Group 3, data quality: bulk transfers with SHA-256 through each tunnel, for both clients.

use std::sync::Arc;

use portwitness::case::{Case, step};
use portwitness::clients::transfer::{TransferOptions, transfer};

use super::{Draft, event};
use crate::tunnel::checks;
use crate::tunnel::config::{Client, Entry, Tun};
use crate::tunnel::system::Tunnel;

const GROUP: &str = "transfer";

pub(crate) fn cases(tunnel: &Arc<Tunnel>) -> Vec<Case> {
    let mut cases = of_client(tunnel, Client::One, 1);
    cases.push(event::case(tunnel, "3.5", "3. Data Quality, Test 2.5", Client::Two));
    cases.extend(of_client(tunnel, Client::Two, 6));
    cases.push(event::case(tunnel, "3.10", "3. Data Quality, back to client 1", Client::One));
    cases
}

fn of_client(tunnel: &Arc<Tunnel>, client: Client, first: usize) -> Vec<Case> {
    let entries = Tun::BOTH.map(Entry::Server).into_iter().chain(Tun::BOTH.map(|tun| Entry::Client(client, tun)));
    entries.enumerate().map(|(index, entry)| case(tunnel, client, first + index, entry)).collect()
}

fn case(tunnel: &Arc<Tunnel>, client: Client, number: usize, entry: Entry) -> Case {
    let sizes = tunnel.sizes;
    let direction = entry.direction();
    let mut judged = checks::nothing_moves(&tunnel.ports);
    judged.push(checks::transfers(GROUP, 1, 1, 1, sizes.transfer_budget));
    judged.push(checks::reaches(GROUP, tunnel.ports.backend(entry, client)));
    judged.push(checks::stays_connected(GROUP));
    judged.extend(checks::never_stands_still(tunnel, GROUP));
    judged.extend(checks::leaves_nothing(tunnel));
    let own = tunnel.clone();
    let workload = step(move |context| {
        let tunnel = own.clone();
        async move {
            let payload = Tunnel::payload(&context, 1, sizes.transfer_bytes);
            let client = tunnel.client(&context, GROUP, entry);
            transfer(&client, payload, TransferOptions { sha256: true }).await;
            Ok(())
        }
    });
    Draft {
        number: format!("3.{number}"),
        title: format!("{} MiB {direction} ({})", sizes.transfer_bytes >> 20, client.name()),
        spec: format!("3. Data Quality, Test 2.{number}"),
        active: client,
        budget: sizes.transfer_budget,
        checks: judged,
        workload,
    }
    .case(tunnel)
}

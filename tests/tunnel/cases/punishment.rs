//! Group 7, maximum punishment: 100 transfers of random sizes, 20 at once, through each direction, for both clients.

use std::sync::Arc;

use portwitness::case::{Case, Context, step};
use portwitness::clients::Deadlines;
use portwitness::clients::many;
use portwitness::clients::mix::{MixedTransfer, punishment};
use portwitness::clients::transfer::{TransferOptions, transfer};

use super::{Draft, event};
use crate::tunnel::checks;
use crate::tunnel::config::{Client, Entry, Tun};
use crate::tunnel::system::Tunnel;

const GROUP: &str = "punishment";
/// '100 connections ... max 20 concurrent ... Check ≥95 transfers succeeded' (specification, suite 7).
const TRANSFERS: usize = 100;
const AT_ONCE: usize = 20;
const AT_LEAST: u64 = 95;
/// 85 of the sizes are at most 5 MB, and 5 of these may belong to transfers that fail.
const DIGESTS: u64 = 80;

pub(crate) fn cases(tunnel: &Arc<Tunnel>) -> Vec<Case> {
    let of = |client: Client, first: usize| {
        let own = case(tunnel, client, first, Entry::Client(client, Tun::One));
        [own, case(tunnel, client, first + 1, Entry::Server(Tun::One))]
    };
    let mut cases = Vec::from(of(Client::One, 1));
    cases.push(event::case(tunnel, "7.3", "7. Maximum Punishment, Test 6.3", Client::Two));
    cases.extend(of(Client::Two, 4));
    cases.push(event::case(tunnel, "7.6", "7. Maximum Punishment, Test 6.6", Client::One));
    cases
}

fn case(tunnel: &Arc<Tunnel>, client: Client, number: usize, entry: Entry) -> Case {
    let sizes = tunnel.sizes;
    let direction = entry.direction();
    let scale = match sizes.punishment_divisor {
        1 => String::new(),
        divisor => format!(" of 1/{divisor} size"),
    };
    let mut judged = checks::nothing_moves(&tunnel.ports);
    judged.push(checks::transfers(GROUP, TRANSFERS as u64, AT_LEAST, DIGESTS, sizes.punishment_budget));
    judged.push(checks::reaches(GROUP, tunnel.ports.backend(entry, client)));
    judged.extend(checks::leaves_nothing(tunnel));
    let own = tunnel.clone();
    let workload = step(move |context| {
        let tunnel = own.clone();
        async move {
            punish(&tunnel, &context, entry).await;
            Ok(())
        }
    });
    Draft {
        number: format!("7.{number}"),
        title: format!("100 transfers{scale}, {direction} ({})", client.name()),
        spec: format!("7. Maximum Punishment, Test 6.{number}"),
        active: client,
        budget: sizes.punishment_budget,
        checks: judged,
        workload,
    }
    .case(tunnel)
}

async fn punish(tunnel: &Tunnel, context: &Context, entry: Entry) {
    // Twenty at once may starve one of them for long; the specification limits no silence, only the whole.
    let client = tunnel.client(context, GROUP, entry);
    let deadlines = Deadlines { idle: tunnel.sizes.punishment_budget, ..client.deadlines };
    let client = client.with_deadlines(deadlines);
    let mix = punishment(context.seed, TRANSFERS, tunnel.sizes.punishment_divisor);
    many::concurrent(TRANSFERS, AT_ONCE, |index| {
        let MixedTransfer { bytes, sha256 } = mix[index];
        let (client, payload) = (client.clone(), Tunnel::payload(context, index as u64, bytes));
        async move { transfer(&client, payload, TransferOptions { sha256 }).await }
    })
    .await;
}

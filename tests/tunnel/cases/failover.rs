//! Group 2, failover: the triggering connection stays, the right ports close and reopen in time.

use std::sync::Arc;
use std::time::Duration;

use portwitness::case::{Case, step};
use portwitness::checks::Check;
use portwitness::clients::echo::echo;
use portwitness::clients::messages::{Messages, messages};

use super::Draft;
use crate::tunnel::checks;
use crate::tunnel::config::{Client, Entry, Tun};
use crate::tunnel::failover::{PROBE, TRIGGER, Until};
use crate::tunnel::system::Tunnel;

/// 'The order of tests are, client 2, client 1, client 2, client 1': who becomes active.
const ORDER: [Client; 4] = [Client::Two, Client::One, Client::Two, Client::One];

pub(crate) fn cases(tunnel: &Arc<Tunnel>) -> Vec<Case> {
    let mut cases = Vec::new();
    for (index, to) in ORDER.into_iter().enumerate() {
        cases.push(persistence(tunnel, 1 + index, to));
    }
    for (index, to) in ORDER.into_iter().enumerate() {
        let ports = Tun::BOTH.map(Entry::Server);
        let title = format!("server ports close and reopen (to {})", to.name());
        cases.push(closure(tunnel, 5 + index, title, "Primary Server Port Closure", to, ports));
    }
    for (index, to) in ORDER.into_iter().enumerate() {
        let ports = Tun::BOTH.map(|tun| Entry::Client(to.other(), tun));
        let title = format!("new standby's ports close and reopen (to {})", to.name());
        cases.push(closure(tunnel, 9 + index, title, "New Standby Port Closure", to, ports));
    }
    cases.push(final_check(tunnel));
    cases
}

/// The connection that causes the failover carries a message each period, through the closing and the reopening.
fn persistence(tunnel: &Arc<Tunnel>, number: usize, to: Client) -> Case {
    let sizes = tunnel.sizes;
    let entry = Entry::Client(to, Tun::One);
    let mut judged = checks::failed_over(&tunnel.ports, to, TRIGGER);
    judged.push(checks::stays_connected_and_closes(TRIGGER));
    judged.push(checks::turns(TRIGGER, 100));
    judged.push(checks::triggered(TRIGGER));
    judged.push(checks::reaches(TRIGGER, tunnel.ports.backend(entry, to)));
    judged.extend(probed(tunnel, to));
    judged.extend(checks::leaves_nothing(tunnel));
    let own = tunnel.clone();
    let workload = step(move |context| {
        let tunnel = own.clone();
        async move {
            let cycle = tunnel.cycle(&context, to);
            tunnel.set_active(&context, None);
            let client = tunnel.client(&context, TRIGGER, entry);
            let plan = Messages { count: sizes.messages, bytes: 64, period: sizes.message_period };
            let sent = messages(&client, context.seed, 1, plan).await;
            tunnel.wait_closed(&context, sent.op).await;
            let complete = tunnel.wait_for(&context, &cycle, sent.first_byte, Until::Reopened).await?;
            tunnel.probe_active(&context, to, complete).await;
            Ok(())
        }
    });
    Draft {
        number: format!("2.{number}"),
        title: format!("the triggering connection persists (to {})", to.name()),
        spec: format!("Failover, Connection Persistence, Test {}", number + 1),
        active: to.other(),
        budget: sizes.message_period * sizes.messages as u32 + sizes.idle,
        checks: judged,
        workload,
    }
    .case(tunnel)
}

/// Two ports close within 1 s of the trigger and reopen at the timeout ± 1 s; the ports of the new active do not move.
fn closure(tunnel: &Arc<Tunnel>, number: usize, title: String, section: &str, to: Client, entries: [Entry; 2]) -> Case {
    let ports = &tunnel.ports;
    let mut judged: Vec<Check> =
        entries.iter().map(|entry| checks::window(ports, ports.listen(*entry), TRIGGER)).collect();
    judged.extend(checks::stays(ports.staying(to)));
    judged.push(checks::triggered(TRIGGER));
    judged.push(checks::reaches(TRIGGER, ports.backend(Entry::Client(to, Tun::One), to)));
    judged.extend(probed(tunnel, to));
    let own = tunnel.clone();
    let workload = step(move |context| {
        let tunnel = own.clone();
        async move { tunnel.fail_over(&context, to, Until::Settled).await }
    });
    Draft {
        number: format!("2.{number}"),
        title,
        spec: format!("Failover, {section}, Test {}", number + 1),
        active: to.other(),
        budget: Duration::ZERO,
        checks: judged,
        workload,
    }
    .case(tunnel)
}

/// After all that, every tunnel works both ways.
fn final_check(tunnel: &Arc<Tunnel>) -> Case {
    let active = Client::One;
    let entries = Tun::BOTH.iter().flat_map(|tun| [Entry::Server(*tun), Entry::Client(active, *tun)]);
    let entries: Vec<(String, Entry)> = entries.map(|entry| (tunnel.ports.listen(entry).name.clone(), entry)).collect();
    let mut judged = checks::nothing_moves(&tunnel.ports);
    for (group, entry) in &entries {
        judged.push(checks::all_right(group, 1));
        judged.push(checks::reaches(group, tunnel.ports.backend(*entry, active)));
        judged.push(checks::stays_connected(group));
    }
    judged.extend(checks::leaves_nothing(tunnel));
    let own = tunnel.clone();
    let workload = step(move |context| {
        let (tunnel, entries) = (own.clone(), entries.clone());
        async move {
            for (stream, (group, entry)) in entries.iter().enumerate() {
                let payload = Tunnel::payload(&context, stream as u64, 1000);
                echo(&tunnel.client(&context, group, *entry), payload).await;
            }
            Ok(())
        }
    });
    Draft {
        number: "2.13".into(),
        title: "every tunnel works both ways afterwards".into(),
        spec: "Failover, final functional check".into(),
        active,
        budget: Duration::from_secs(30),
        checks: judged,
        workload,
    }
    .case(tunnel)
}

/// An echo through the server reaches the backend of the new active.
fn probed(tunnel: &Tunnel, to: Client) -> [Check; 2] {
    let backend = tunnel.ports.backend(Entry::Server(Tun::One), to);
    [checks::all_right(PROBE, 1), checks::reaches(PROBE, backend)]
}

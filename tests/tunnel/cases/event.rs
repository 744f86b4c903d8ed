//! 'Failover Event' and 'back to client 1': the system must really fail over.

use std::sync::Arc;
use std::time::Duration;

use portwitness::case::{Case, step};

use super::Draft;
use crate::tunnel::checks;
use crate::tunnel::config::{Client, Entry, Tun};
use crate::tunnel::failover::{PROBE, TRIGGER, Until};
use crate::tunnel::system::Tunnel;

/// Fails over to `to`: the trigger is echoed, four ports close and reopen at some time, three do not move, and an echo
/// through the server then reaches the backend of `to`.
pub(crate) fn case(tunnel: &Arc<Tunnel>, number: &str, spec: &str, to: Client) -> Case {
    let ports = &tunnel.ports;
    let mut judged = checks::failed_over(ports, to, TRIGGER);
    judged.push(checks::triggered(TRIGGER));
    judged.push(checks::reaches(TRIGGER, ports.backend(Entry::Client(to, Tun::One), to)));
    judged.push(checks::all_right(PROBE, 1));
    judged.push(checks::reaches(PROBE, ports.backend(Entry::Server(Tun::One), to)));
    let title = match to {
        Client::One => "back to client 1",
        Client::Two => "failover event to client 2",
    };
    let own = tunnel.clone();
    let workload = step(move |context| {
        let tunnel = own.clone();
        async move { tunnel.fail_over(&context, to, Until::Reopened).await }
    });
    Draft {
        number: number.into(),
        title: title.into(),
        spec: spec.into(),
        active: to.other(),
        budget: Duration::ZERO,
        checks: judged,
        workload,
    }
    .case(tunnel)
}

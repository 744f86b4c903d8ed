//! The 61 cases, one file a group; `README.md` maps them to the specification.

mod concurrent;
mod data_quality;
mod echo;
mod event;
mod failover;
mod impact;
mod ping_pong;
mod punishment;

use std::sync::Arc;
use std::time::Duration;

use portwitness::case::{Case, Step};
use portwitness::checks::Check;
use portwitness::suite::Group;

use super::config::Client;
use super::system::Tunnel;

/// All groups, in the order of the specification.
pub(crate) fn groups(tunnel: &Arc<Tunnel>) -> Vec<Group> {
    let group = |name: &str, cases: Vec<Case>| Group::new(format!("tunnel/{name}"), cases);
    vec![
        group("echo", echo::cases(tunnel)),
        group("failover", failover::cases(tunnel)),
        group("data-quality", data_quality::cases(tunnel)),
        group("ping-pong", ping_pong::cases(tunnel)),
        group("concurrent", concurrent::cases(tunnel)),
        group("impact", impact::cases(tunnel)),
        group("punishment", punishment::cases(tunnel)),
    ]
}

/// What the cases of this suite have in common.
struct Draft {
    number: String,
    title: String,
    /// The specification's own number and section, which counts suites from 2 on differently.
    spec: String,
    /// The client that is active when the case begins.
    active: Client,
    /// What the workload takes at the most, beside a failover.
    budget: Duration,
    checks: Vec<Check>,
    workload: Step,
}

impl Draft {
    fn case(self, tunnel: &Arc<Tunnel>) -> Case {
        // Three attempts at a reset, each as long as a failover, and a minute for a slow machine.
        let deadline = self.budget + 3 * tunnel.ports.reconnect_timeout + Duration::from_secs(60);
        Case {
            number: self.number,
            title: self.title,
            spec: self.spec,
            need: Some(tunnel.need(self.active)),
            workload: self.workload,
            deadline,
            checks: self.checks,
        }
    }
}

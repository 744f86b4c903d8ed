//! All four minipots at once: who listens, their limits side by side, many handlers, random conversations.

use portwitness::handlers::Scenario;

use crate::minipot::dialogues;
use crate::minipot::system::{Draft, KINDS, Minipot, listeners};

const LOGINS: [&str; 4] = ["ftp/027-login.toml", "http/142-login.toml", "smtp/139-login.toml", "telnet/003-login.toml"];
const IPV6: [&str; 4] = ["ftp/128-ipv6.toml", "http/272-ipv6.toml", "smtp/214-ipv6.toml", "telnet/134-ipv6.toml"];
const QUEUES: [&str; 4] =
    ["ftp/124-queue.toml", "http/271-sixth-waits.toml", "smtp/213-twelfth-times-out.toml", "telnet/130-queue.toml"];
const LIMITS: [&str; 4] =
    ["ftp/072-limit.toml", "http/069-requests-100.toml", "smtp/158-errors-twenty.toml", "telnet/047-limit.toml"];
const BRUTE_FORCE: [&str; 5] = [
    "ftp/081-brute-force.toml",
    "http/074-brute-force.toml",
    "smtp/169-brute-force-plain.toml",
    "smtp/170-brute-force-login.toml",
    "telnet/054-brute-force.toml",
];

/// The cases.
pub(super) fn drafts(minipot: &Minipot) -> Vec<Draft> {
    let from = |paths: &[&str]| -> Vec<Scenario> {
        paths.iter().map(|path| minipot.scenario(&dialogues::one(path))).collect()
    };
    let listens = "each minipot is a child of the master, and alone listens at its port";
    let two = Scenario { connections: 2, ..Scenario::coded("ftp-two-sessions", "ftp", minipot.ftp) };
    let forty = (0..10).flat_map(|_| from(&LOGINS)).collect();
    let mut drafts = vec![
        Draft { checks: vec![listeners(minipot)], ..Draft::new("5.1", listens, "Processes", from(&LOGINS)) },
        Draft::new("5.2", "IPv6 on all four at once", "Processes: [::]:port", from(&IPV6)),
        Draft::new("5.3", "each has five places and a queue of its own", "Rules: 5 connections", from(&QUEUES)),
        Draft { closes: 4, ..Draft::new("5.4", "all four come to their limits", "Limits", from(&LIMITS)) },
        Draft::new("5.5", "brute force against all four", "Limits", from(&BRUTE_FORCE)),
        Draft::new("5.6", "two sessions that take turns are told apart", "ZMQ wire format: order", vec![two]),
        Draft::new("5.7", "forty logins, five at a time to each", "ZMQ wire format: order", forty),
    ];
    for (kind, number) in KINDS.into_iter().zip(8..) {
        let title = format!("{kind}: eight random conversations, predicted from the specification");
        let scenarios = (0..8).map(|_| minipot.random(kind)).collect();
        drafts.push(Draft::new(&format!("5.{number}"), &title, "all of this protocol", scenarios));
    }
    let all = (0..3).flat_map(|_| KINDS.map(|kind| minipot.random(kind))).collect();
    drafts.push(Draft::new("5.12", "random conversations with all four at once", "all of it", all));
    drafts
}

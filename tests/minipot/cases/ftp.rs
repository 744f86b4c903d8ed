//! FTP.

use std::sync::Arc;

use portwitness::case::Case;
use portwitness::handlers::Scenario;

use crate::minipot::system::{Draft, Minipot, dialogue, listeners};

pub(super) fn cases(minipot: &Arc<Minipot>) -> Vec<Case> {
    let drafts = [
        Draft {
            number: "1.1",
            title: "a login is refused, and reported",
            spec: "FTP, PASS with a user set",
            scenarios: vec![minipot.dialogue(dialogue!("ftp/login.toml"))],
            closes: 1,
            checks: vec![listeners(minipot)],
        },
        Draft {
            number: "1.2",
            title: "after 100 logins the connection is closed",
            spec: "FTP, limit",
            scenarios: vec![minipot.dialogue(dialogue!("ftp/limit.toml"))],
            closes: 1,
            checks: vec![],
        },
        Draft {
            number: "1.3",
            title: "sessions side by side are told apart",
            spec: "ZMQ wire format, order",
            scenarios: vec![Scenario { connections: 2, ..Scenario::coded("ftp-two-sessions", "ftp", minipot.ftp) }],
            closes: 0,
            checks: vec![],
        },
    ];
    drafts.into_iter().map(|draft| draft.case(minipot)).collect()
}

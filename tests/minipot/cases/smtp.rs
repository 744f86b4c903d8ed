//! SMTP.

use std::sync::Arc;

use portwitness::case::Case;

use crate::minipot::system::{Draft, Minipot, dialogue};

pub(super) fn cases(minipot: &Arc<Minipot>) -> Vec<Case> {
    let drafts = [Draft {
        number: "2.1",
        title: "credentials by AUTH PLAIN and LOGIN are reported with the host of the greeting",
        spec: "SMTP, AUTH after HELO",
        scenarios: (0..8).map(|_| minipot.dialogue(dialogue!("smtp/auth.toml"))).collect(),
        closes: 8,
        checks: vec![],
    }];
    drafts.into_iter().map(|draft| draft.case(minipot)).collect()
}

//! The cases, one file a group; each is a [`Draft`](super::system::Draft) of dialogues and handlers.

mod ftp;
mod smtp;

use std::sync::Arc;

use portwitness::suite::Group;

use super::system::Minipot;

/// All groups.
pub(crate) fn groups(minipot: &Arc<Minipot>) -> Vec<Group> {
    let group = |name: &str, cases| Group::new(format!("minipot/{name}"), cases);
    vec![group("ftp", ftp::cases(minipot)), group("smtp", smtp::cases(minipot))]
}

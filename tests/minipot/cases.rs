//! The cases: conversations by dialogue files, a group a minipot, then what concerns the system as a whole.

mod conversations;
mod ends;
mod high_water;
mod reports;
mod system;
mod timeouts;

use std::sync::Arc;

use portwitness::suite::{Effort, Group};

use super::system::Minipot;

/// All groups.
pub(crate) fn groups(minipot: &Arc<Minipot>, effort: Effort) -> Vec<Group> {
    let mut groups = Vec::new();
    for (number, name) in [(1, "ftp"), (2, "telnet"), (3, "http"), (4, "smtp")] {
        groups.push((name, conversations::drafts(minipot, number, name)));
    }
    groups.push(("system", system::drafts(minipot)));
    groups.push(("reports", reports::drafts(minipot)));
    groups.push(("timeouts", timeouts::drafts(minipot, effort)));
    groups.push(("ends", ends::drafts(minipot)));
    groups.retain(|(_, drafts)| !drafts.is_empty());
    let group = |(name, drafts): (&str, Vec<super::system::Draft>)| {
        Group::new(format!("minipot/{name}"), drafts.into_iter().map(|draft| draft.case(minipot)).collect())
    };
    let mut groups: Vec<Group> = groups.into_iter().map(group).collect();
    let cases = high_water::drafts(minipot).into_iter().map(|draft| draft.case(minipot)).collect();
    groups.push(Group { unreported: true, ..Group::new("minipot/high-water", cases) });
    groups
}

//! Group 9: filters select just what they should.

use std::sync::Arc;

use portwitness::checks::{Check, Selection, SinspCheck};
use portwitness::suite::Group;

use super::case;
use crate::sinsp::stage::Stage;

/// A filter, a scenario, and what it selects of that: by drivers that tell of enters and exits, and by those that tell of exits.
type Filter = (&'static str, &'static str, &'static str, &'static str);

const FILTERS: &[Filter] = &[
    (
        "proc.name=traffic-two and evt.type in (accept, listen, connect)",
        "exec",
        "> accept, < accept, > listen, < listen, > connect, < connect",
        "< accept, < listen, < connect",
    ),
    ("proc.pname=traffic and evt.type=connect", "fork", "> connect, < connect", "< connect"),
    (
        "evt.type=connect and proc.name=traffic",
        "one-of-each",
        "> connect, < connect, > connect, < connect",
        "< connect, < connect",
    ),
    (
        "evt.type in (listen, shutdown) and proc.name startswith traf",
        "shutdown-read",
        "> listen, < listen, > shutdown, < shutdown",
        "< listen, < shutdown",
    ),
    (
        "evt.dir=< and evt.type=socket and proc.name=traffic",
        "one-of-each",
        "< socket, < socket, < socket",
        "< socket, < socket, < socket",
    ),
    (
        "fd.port=18061 and proc.name=traffic and evt.type in (bind, listen, connect, accept, close)",
        "one-of-each",
        "< bind, > listen, < listen, > connect, < connect, > close, < close, < accept, > close, < close, > close, < close",
        "< bind, < listen, < connect, < close, < accept, < close, < close",
    ),
    (
        "fd.type=unix and proc.name=traffic and evt.type in (bind, listen, connect)",
        "connect-unix",
        "> bind, < bind, > listen, < listen, > connect, < connect",
        "< bind, < listen, < connect",
    ),
    // The traffic program brackets what it does with two closes that fail.
    (
        "evt.failed=true and proc.name=traffic and evt.type in (socket, connect, close)",
        "one-of-each",
        "< close, < connect, < close",
        "< close, < connect, < close",
    ),
    // libsinsp of 2022 crashes where an enter is asked for its result.
    (
        "evt.dir=< and evt.type=connect and evt.res=ECONNREFUSED and proc.name=traffic",
        "one-of-each",
        "< connect",
        "< connect",
    ),
    (
        "proc.name=traffic and evt.type in (socket, accept) and not evt.type=socket",
        "one-of-each",
        "> accept, < accept",
        "< accept",
    ),
    ("proc.name=traffic and evt.type=connect and fd.port=18063", "one-of-each", "", ""),
];

pub(super) fn groups(stage: &Arc<Stage>) -> Vec<Group> {
    let of = |(index, (filter, scenario, both, exits)): (usize, &Filter)| {
        let list = |text: &str| text.split(", ").filter(|event| !event.is_empty()).map(str::to_owned).collect();
        let selection = Selection { both: list(both), exits: list(exits) };
        let checks = vec![Check::Sinsp(SinspCheck::Selection(selection))];
        let number = format!("9.{}", index + 1);
        let cases = vec![case(number, format!("filter: {filter}"), stage.plays(scenario), checks)];
        // Where nothing is selected there is nothing to be read.
        let of_events = [Some(SinspCheck::Schema), stage.tells_fields().then_some(SinspCheck::Fields)];
        let of_events = of_events.into_iter().flatten().filter(|_| !both.is_empty());
        Group {
            judged_by: [SinspCheck::Watched].into_iter().chain(of_events).map(Check::Sinsp).collect(),
            witness: Some(stage.witness(filter)),
            ..Group::new(format!("sinsp/filter-{}", index + 1), cases)
        }
    };
    FILTERS.iter().enumerate().map(of).collect()
}

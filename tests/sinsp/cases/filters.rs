//! Group 9: filters select just what they should.

use std::sync::Arc;

use portwitness::checks::{Check, Selection, SinspCheck};
use portwitness::suite::Group;

use super::case;
use crate::sinsp::stage::Stage;

/// A filter, a scenario, and what it selects of that: by drivers that tell of enters and exits, and by those that tell of exits.
type Filter = (&'static str, &'static str, &'static str, &'static str);

const FILTERS: &[Filter] = &[];

pub(super) fn groups(stage: &Arc<Stage>) -> Vec<Group> {
    let of = |(index, (filter, scenario, both, exits)): (usize, &Filter)| {
        let list = |text: &str| text.split(", ").map(str::to_owned).collect();
        let selection = Selection { both: list(both), exits: list(exits) };
        let checks = vec![Check::Sinsp(SinspCheck::Selection(selection))];
        let number = format!("9.{}", index + 1);
        let cases = vec![case(number, format!("filter: {filter}"), stage.plays(scenario), checks)];
        Group {
            judged_by: [SinspCheck::Watched, SinspCheck::Schema, SinspCheck::Fields].map(Check::Sinsp).into(),
            witness: Some(stage.witness(filter)),
            ..Group::new(format!("sinsp/filter-{}", index + 1), cases)
        }
    };
    FILTERS.iter().enumerate().map(of).collect()
}

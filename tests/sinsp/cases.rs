//! The cases: each lets the traffic program play a scenario, and lays what it states beside what the stream has of it.

mod calls;
mod captures;
mod filters;

use std::sync::Arc;
use std::time::Duration;

use portwitness::case::{Case, Step};
use portwitness::checks::{Check, SinspCheck};
use portwitness::suite::Group;

use super::stage::{OWN_CALLS, Stage};

/// A scenario of the traffic program takes seconds at the most, under emulation too.
const DEADLINE: Duration = Duration::from_secs(60);

/// All groups.
pub(crate) fn groups(stage: &Arc<Stage>) -> Vec<Group> {
    let mut groups = calls::groups(stage);
    groups.extend(filters::groups(stage));
    groups.extend(captures::groups(stage));
    groups
}

/// A scenario: its name, in words, and the calls without which it did not come about.
type Scenario = (&'static str, &'static str, &'static [&'static str]);

/// Cases whose calls are all captured, and judged in every respect.
fn group(stage: &Arc<Stage>, number: usize, name: &str, scenarios: &[Scenario]) -> Group {
    let cases = scenarios.iter().enumerate().map(|(index, (scenario, title, calls))| {
        let calls = calls.iter().map(|call| (*call).to_owned()).collect();
        let checks = vec![Check::Sinsp(SinspCheck::Provoked { calls })];
        case(format!("{number}.{}", index + 1), *title, stage.plays(scenario), checks)
    });
    Group {
        judged_by: every_respect(stage),
        witness: Some(stage.witness(OWN_CALLS)),
        ..Group::new(format!("sinsp/{name}"), cases.collect())
    }
}

/// What judges a case of which everything is captured.
fn every_respect(stage: &Stage) -> Vec<Check> {
    let fields = stage.tells_fields().then_some(SinspCheck::Fields);
    let checks = [
        SinspCheck::Watched,
        SinspCheck::Schema,
        SinspCheck::Events,
        SinspCheck::Parameters,
        SinspCheck::Process,
        SinspCheck::Order,
        SinspCheck::Times,
    ];
    checks.into_iter().chain(fields).map(Check::Sinsp).collect()
}

fn case(number: String, title: impl Into<String>, workload: Step, checks: Vec<Check>) -> Case {
    Case {
        number,
        title: title.into(),
        spec: "events of system calls".into(),
        need: None,
        workload,
        deadline: DEADLINE,
        checks,
    }
}

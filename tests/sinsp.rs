//! The sinsp suite: every call of a traffic program beside the events that a program on libsinsp prints of it.

mod cases;
mod module;
mod stage;

use std::sync::Arc;
use std::time::Duration;

use portwitness::suite::{Effort, Plan, Suite};
use portwitness::sut::{Profile, ProfileError};

use stage::Stage;

/// The suite, for any program on libsinsp that a profile describes.
pub(crate) const SUITE: Suite = Suite {
    name: "sinsp",
    title: "Events of the scap module, as programs on libsinsp print them",
    profiles: &[
        ("sinsp-events", include_str!("sinsp/profiles/sinsp-events.toml")),
        ("sysdig", include_str!("sinsp/profiles/sysdig.toml")),
        ("sinsp-example", include_str!("sinsp/profiles/sinsp-example.toml")),
        ("ebpf-probe", include_str!("sinsp/profiles/ebpf-probe.toml")),
        ("reference", include_str!("sinsp/profiles/reference.toml")),
    ],
    plan,
};

fn plan(profile: &Profile, _: Effort) -> Result<Plan, ProfileError> {
    let stage = Arc::new(Stage::of(profile)?);
    Ok(Plan { backends: Vec::new(), pause: Duration::ZERO, groups: cases::groups(&stage) })
}

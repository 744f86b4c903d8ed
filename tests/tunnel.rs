//! The tunnel suite: TCP over WebSocket with active/standby failover, 61 cases in seven groups.

mod backends;
mod cases;
mod checks;
mod config;
mod effort;
mod failover;
mod system;

use std::sync::Arc;
use std::time::Duration;

use portwitness::suite::{Effort, Plan, Suite};
use portwitness::sut::{Profile, ProfileError};

use config::{Limits, PortConfig};
use effort::Sizes;
use system::Tunnel;

/// The suite, for any tunnel that a profile describes.
pub(crate) const SUITE: Suite = Suite {
    name: "tunnel",
    title: "TCP over WebSocket with active/standby failover",
    profiles: &[
        ("real", include_str!("tunnel/profiles/real.toml")),
        ("reference", include_str!("tunnel/profiles/reference.toml")),
    ],
    plan,
};

/// 'Wait 1 second between tests' (specification, Connection Management). The real tunnel takes what still comes from a
/// connection that has just ended for a trigger.
const PAUSE: Duration = Duration::from_secs(1);

fn plan(profile: &Profile, effort: Effort) -> Result<Plan, ProfileError> {
    let ports = PortConfig::read(profile)?;
    let tunnel = Arc::new(Tunnel::new(ports, Sizes::of(effort), Limits::read(profile)?));
    Ok(Plan { backends: backends::all(&tunnel.ports), pause: PAUSE, groups: cases::groups(&tunnel) })
}

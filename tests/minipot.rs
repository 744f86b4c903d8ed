//! The minipot suite: honeypot conversations, the reports of them, and the kernel's word on both.

mod cases;
mod dialogues;
mod handlers;
mod system;
mod timeouts;

use std::sync::Arc;
use std::time::Duration;

use portwitness::suite::{Effort, Plan, Suite};
use portwitness::sut::{Profile, ProfileError};

pub(crate) use handlers::HANDLERS;
use system::Minipot;

/// The suite, for any system of four minipots that a profile describes.
pub(crate) const SUITE: Suite = Suite {
    name: "minipot",
    title: "Honeypot conversations over FTP, Telnet, HTTP and SMTP, and their reports",
    profiles: &[
        ("reference", include_str!("minipot/profiles/reference.toml")),
        ("real", include_str!("minipot/profiles/real.toml")),
    ],
    plan,
};

/// What a connection that has just ended still brings about is over after this long.
const PAUSE: Duration = Duration::from_millis(50);

fn plan(profile: &Profile, effort: Effort) -> Result<Plan, ProfileError> {
    let minipot = Arc::new(Minipot::read(profile)?);
    Ok(Plan { backends: Vec::new(), pause: PAUSE, groups: cases::groups(&minipot, effort) })
}

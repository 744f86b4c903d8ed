//! Scenarios in Rust, for what a dialogue file cannot say; each is known to the program by its name.
//!
//! The conversations are random ones whose every reply and report is predicted. The seed of the run makes them again.

mod exchange;
mod flood;
mod ftp;
mod http;
mod smtp;
mod telnet;
mod turns;
mod two_sessions;

use portwitness::handlers::Registered;

/// All of them.
pub(crate) const HANDLERS: &[Registered] = &[
    Registered { name: "ftp-conversation", make: || Box::new(ftp::Conversation) },
    Registered { name: "ftp-flood", make: || Box::new(flood::Flood) },
    Registered { name: "ftp-two-sessions", make: || Box::new(two_sessions::TwoSessions) },
    Registered { name: "http-conversation", make: || Box::new(http::Conversation) },
    Registered { name: "smtp-conversation", make: || Box::new(smtp::Conversation) },
    Registered { name: "telnet-conversation", make: || Box::new(telnet::Conversation) },
];

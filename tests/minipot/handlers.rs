//! Handlers in Rust: random conversations whose every reply and report is predicted. The seed of the run makes them again.

mod exchange;
mod ftp;
mod telnet;

use portwitness::handlers::Registered;

/// By their names.
pub(crate) const HANDLERS: [Registered; 2] = [
    Registered { name: "ftp-conversation", make: || Box::new(ftp::Conversation) },
    Registered { name: "telnet-conversation", make: || Box::new(telnet::Conversation) },
];

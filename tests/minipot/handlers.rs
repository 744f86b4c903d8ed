//! Handlers in Rust: random conversations whose every reply and report is predicted. The seed of the run makes them again.

mod exchange;
mod ftp;
mod http;
mod smtp;
mod telnet;
mod turns;

use portwitness::handlers::Registered;

/// By their names.
pub(crate) const HANDLERS: [Registered; 4] = [
    Registered { name: "ftp-conversation", make: || Box::new(ftp::Conversation) },
    Registered { name: "http-conversation", make: || Box::new(http::Conversation) },
    Registered { name: "smtp-conversation", make: || Box::new(smtp::Conversation) },
    Registered { name: "telnet-conversation", make: || Box::new(telnet::Conversation) },
];

//! What the four protocols have in common: bytes in, actions out, and no I/O.

pub(crate) mod base64;
#[cfg(test)]
mod drive;
pub(crate) mod ftp;
pub(crate) mod http;
pub(crate) mod lines;
pub(crate) mod smtp;
pub(crate) mod telnet;
pub(crate) mod text;

use clap::ValueEnum;

/// The kinds of minipot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// File transfer.
    Ftp,
    /// The web.
    Http,
    /// Mail.
    Smtp,
    /// Terminals.
    Telnet,
}

impl Kind {
    /// The word that its reports carry as `type`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ftp => "ftp",
            Self::Http => "http",
            Self::Smtp => "smtp",
            Self::Telnet => "telnet",
        }
    }
}

/// What a minipot does next, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Sends these bytes, in a send of their own.
    Send(Vec<u8>),
    /// Reports this.
    Report(Event),
    /// Closes the connection; input that has not been looked at is dropped.
    Close,
}

/// What a connection did that is worth a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// `connect`, `login`, `invalid` or `message`.
    pub(crate) action: &'static str,
    /// The report's `data`, in this order; empty for those without.
    pub(crate) data: Vec<(&'static str, String)>,
}

impl Event {
    /// A connection.
    pub(crate) const CONNECT: Self = Self { action: "connect", data: Vec::new() };
    /// Something that cannot be reported as what it was meant to be.
    pub(crate) const INVALID: Self = Self { action: "invalid", data: Vec::new() };

    /// Credentials.
    pub(crate) fn login(data: Vec<(&'static str, String)>) -> Self {
        Self { action: "login", data }
    }
}

/// One connection's side of a protocol.
pub(crate) trait Protocol {
    /// What is done when a connection has been accepted.
    fn open(&mut self) -> Vec<Action>;

    /// Takes the first command of `input`, or all of it when it holds none that is complete. Returns how much was taken; it is
    /// called again with the rest until there is none. `input` is what one receive brought: some limits depend on that.
    fn advance(&mut self, input: &[u8], out: &mut Vec<Action>) -> usize;

    /// What is said before a connection is closed because its time is over.
    fn last_words(&self) -> Option<Vec<u8>> {
        None
    }

    /// Drops the piece of a line that is kept for its rest: [`crate::fault::Fault::LosesPieces`].
    fn forget_piece(&mut self) {}
}

//! SMTP submission: says what Postfix says, and takes neither a login nor a mail.

mod auth;
mod host;
#[cfg(test)]
mod tests;

pub(crate) use host::random as random_host;

use super::{
    Action, Event, Protocol,
    lines::{Line, Lines},
    text::tokens,
};
use crate::fault::{Fault, Faults};

/// Longest line in bytes, LF included.
const LINE: usize = 16384;
/// Errors after which a connection closes.
const ERRORS: u32 = 20;
/// What commands are split on: HT, VT, FF, SP, CR.
const SEPARATORS: &[u8] = b"\t\x0b\x0c \r";

const SEND_HELO: &str = "503 5.5.1 Error: send HELO/EHLO first";

/// How far the conversation has come.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Nothing but the greeting.
    Start,
    /// After HELO or EHLO.
    Hello,
    /// After MAIL.
    Mail,
    /// AUTH PLAIN waits for its data.
    Plain,
    /// AUTH LOGIN waits for the user name.
    LoginUser,
    /// AUTH LOGIN waits for the password of this user.
    LoginPassword(Vec<u8>),
}

/// An SMTP connection.
#[derive(Debug)]
pub(crate) struct Smtp {
    lines: Lines,
    state: State,
    errors: u32,
    host: String,
    ip: String,
    faults: Faults,
}

impl Smtp {
    /// `host` is our name, `ip` the peer's address.
    pub(crate) fn new(host: String, ip: String, faults: Faults) -> Self {
        Self { lines: Lines::new(LINE), state: State::Start, errors: 0, host, ip, faults }
    }

    fn command(&mut self, line: &[u8], out: &mut Vec<Action>) {
        let words = tokens(line, SEPARATORS);
        let Some((word, arguments)) = words.split_first() else {
            return self.error("500 5.5.2 Error: bad syntax", out);
        };
        let word = if self.faults.has(Fault::CaseSensitive) { word.to_vec() } else { word.to_ascii_uppercase() };
        match word.as_slice() {
            b"EHLO" if !arguments.is_empty() => {
                self.state = State::Hello;
                let extensions = "250-PIPELINING\r\n250-SIZE 26214400\r\n250-ETRN\r\n250-AUTH PLAIN LOGIN\r\n\
                    250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n250 SMTPUTF8";
                say(&format!("250-{}\r\n{extensions}", self.host), out);
            }
            b"HELO" if !arguments.is_empty() => {
                self.state = State::Hello;
                say(&format!("250 {}", self.host), out);
            }
            b"EHLO" => self.error("501 Syntax: EHLO hostname", out),
            b"HELO" => self.error("501 Syntax: HELO hostname", out),
            b"NOOP" => say("250 2.0.0 Ok", out),
            b"RSET" if arguments.is_empty() => {
                if self.state == State::Mail && !self.faults.has(Fault::IgnoresRset) {
                    self.state = State::Hello;
                }
                say("250 2.0.0 Ok", out);
            }
            b"RSET" => self.error("501 5.5.4 Syntax: RSET", out),
            b"VRFY" => self.error("502 5.5.1 VRFY command is disabled", out),
            b"QUIT" => {
                say("221 2.0.0 Bye", out);
                out.push(Action::Close);
            }
            b"MAIL" => self.mail(arguments, out),
            b"RCPT" => self.recipient(arguments, out),
            b"DATA" if self.state == State::Mail => self.error("554 5.5.1 Error: no valid recipients", out),
            b"DATA" => self.error("503 5.5.1 Error: need RCPT command", out),
            b"ETRN" => self.etrn(arguments, out),
            b"AUTH" => match self.state {
                State::Hello => self.authenticate(arguments, out),
                State::Mail => self.error("503 5.5.1 Error: MAIL transaction in progress", out),
                _ => self.error(SEND_HELO, out),
            },
            _ => self.error("502 5.5.2 Error: command not recognized", out),
        }
    }

    fn mail(&mut self, arguments: &[&[u8]], out: &mut Vec<Action>) {
        match self.state {
            State::Hello if names_an_address(arguments, b"from:") => {
                self.state = State::Mail;
                say("250 2.0.0 Ok", out);
            }
            State::Hello => self.error("501 5.5.4 Syntax: MAIL FROM:<address>", out),
            State::Mail => self.error("503 5.5.1 Error: nested MAIL command", out),
            _ => self.error(SEND_HELO, out),
        }
    }

    fn recipient(&mut self, arguments: &[&[u8]], out: &mut Vec<Action>) {
        match self.state {
            State::Mail if names_an_address(arguments, b"to:") => self.deny(out),
            State::Mail => self.error("501 5.5.4 Syntax: RCPT TO:<address>", out),
            _ => self.error("503 5.5.1 Error: need MAIL command", out),
        }
    }

    fn etrn(&mut self, arguments: &[&[u8]], out: &mut Vec<Action>) {
        match self.state {
            State::Hello if arguments.len() == 1 => self.deny(out),
            State::Hello => self.error("500 Syntax: ETRN domain", out),
            State::Mail => self.error("503 Error: MAIL transaction in progress", out),
            _ => self.error("503 Error: send HELO/EHLO first", out),
        }
    }

    fn deny(&mut self, out: &mut Vec<Action>) {
        self.error(&format!("554 5.7.1 <unknown[{}]>: Client host rejected: Access denied", self.ip), out);
    }

    /// Says this, and counts it: the last error that a connection may make ends it.
    fn error(&mut self, line: &str, out: &mut Vec<Action>) {
        say(line, out);
        self.errors += 1;
        if self.errors == self.faults.limit(ERRORS) {
            say(&format!("421 4.7.0 {} Error: too many errors", self.host), out);
            out.push(Action::Close);
        }
    }
}

impl Protocol for Smtp {
    fn open(&mut self) -> Vec<Action> {
        let greeting = format!("220 {} ESMTP Postfix (Debian/GNU)\r\n", self.host);
        vec![Action::Send(greeting.into()), Action::Report(Event::CONNECT)]
    }

    fn advance(&mut self, input: &[u8], out: &mut Vec<Action>) -> usize {
        let (taken, line) = self.lines.take(input);
        match line {
            Line::Whole(line) => match self.state {
                State::Start | State::Hello | State::Mail => self.command(&line, out),
                State::Plain | State::LoginUser | State::LoginPassword(_) => self.credentials(&line, out),
            },
            Line::TooLong => self.error("500 5.5.0 Error: line too long", out),
            Line::Piece => {}
        }
        taken
    }

    fn last_words(&self) -> Option<Vec<u8>> {
        Some(format!("421 4.4.2 {} Error: timeout exceeded\r\n", self.host).into())
    }

    fn forget_piece(&mut self) {
        self.lines.forget();
    }
}

/// Whether the arguments are `prefix` (any case) and an address, with or without a blank between them.
fn names_an_address(arguments: &[&[u8]], prefix: &[u8]) -> bool {
    let Some((first, rest)) = arguments.split_first() else { return false };
    let Some((start, address)) = first.split_at_checked(prefix.len()) else { return false };
    start.eq_ignore_ascii_case(prefix) && !(address.is_empty() && rest.is_empty())
}

fn say(line: &str, out: &mut Vec<Action>) {
    out.push(Action::Send(format!("{line}\r\n").into()));
}

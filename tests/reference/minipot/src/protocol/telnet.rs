//! Telnet: prompts for a user name and a password, and refuses every option.

#[cfg(test)]
mod tests;

use super::{Action, Event, Protocol, text::text};
use crate::fault::{Fault, Faults};

/// Bytes of a line that are kept; the rest is dropped.
const LINE: usize = 1024;
/// Pairs of user name and password that a connection gets.
const ATTEMPTS: u32 = 20;

/// Commands after IAC: RFC 854.
const SE: u8 = 240;
const NOP: u8 = 241;
const AYT: u8 = 246;
const EC: u8 = 247;
const EL: u8 = 248;
const GA: u8 = 249;
const SB: u8 = 250;
const WILL: u8 = 251;
const WONT: u8 = 252;
const DO: u8 = 253;
const DONT: u8 = 254;
const IAC: u8 = 255;

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug)]
enum Expect {
    Data,
    /// IAC came.
    Command,
    /// IAC and this verb came: an option follows.
    Option(u8),
    /// Inside a subnegotiation.
    Parameters,
    /// Inside a subnegotiation, IAC came.
    ParametersEnd,
    /// CR came.
    Lf,
}

/// A Telnet connection.
#[derive(Debug)]
pub(crate) struct Telnet {
    expect: Expect,
    line: Vec<u8>,
    /// The user name, when the password is asked for.
    user: Option<Vec<u8>>,
    attempts: u32,
    faults: Faults,
}

impl Telnet {
    pub(crate) fn new(faults: Faults) -> Self {
        Self { expect: Expect::Data, line: Vec::new(), user: None, attempts: 0, faults }
    }

    fn byte(&mut self, byte: u8, out: &mut Vec<Action>) {
        match std::mem::replace(&mut self.expect, Expect::Data) {
            Expect::Data => match byte {
                IAC => self.expect = Expect::Command,
                b'\r' => self.expect = Expect::Lf,
                b'\n' if self.faults.has(Fault::LfEndsLine) => self.end_line(out),
                _ if self.line.len() < LINE => self.line.push(byte),
                _ => {}
            },
            Expect::Command => self.command(byte, out),
            Expect::Option(verb) => self.option(verb, byte, out),
            Expect::Parameters => {
                self.expect = if byte == IAC { Expect::ParametersEnd } else { Expect::Parameters };
            }
            Expect::ParametersEnd if byte != SE => self.expect = Expect::Parameters,
            Expect::Lf if byte == b'\n' => self.end_line(out),
            // CR takes the byte after it along, and SE ends a subnegotiation.
            Expect::ParametersEnd | Expect::Lf => {}
        }
    }

    fn command(&mut self, command: u8, out: &mut Vec<Action>) {
        match command {
            SB => self.expect = Expect::Parameters,
            WILL | WONT | DO | DONT => self.expect = Expect::Option(command),
            EC | EL if self.faults.has(Fault::ErasesNothing) => {}
            EC => drop(self.line.pop()),
            EL => self.line.clear(),
            NOP..=AYT | GA => {}
            SE | IAC => {
                out.push(Action::Send(with_go_ahead("Protocol error\r\n")));
                out.push(Action::Close);
            }
            0..SE => out.push(Action::Close),
        }
    }

    fn option(&mut self, verb: u8, option: u8, out: &mut Vec<Action>) {
        let refusal = match verb {
            _ if self.faults.has(Fault::IgnoresIac) => return,
            DO => WONT,
            WILL => DONT,
            _ => return,
        };
        out.push(Action::Send(vec![IAC, refusal, option]));
    }

    fn end_line(&mut self, out: &mut Vec<Action>) {
        let line = std::mem::take(&mut self.line);
        let Some(user) = self.user.take() else {
            self.user = Some(line);
            out.push(Action::Send(with_go_ahead("Password: ")));
            return;
        };
        let login = text(&user, self.faults).zip(text(&line, self.faults));
        out.push(Action::Report(match login {
            Some((user, password)) if !user.is_empty() => {
                Event::login(vec![("username", user), ("password", password)])
            }
            _ => Event::INVALID,
        }));
        let failed = if self.faults.has(Fault::WrongCode) { "Login failed\r\n" } else { "Login incorrect\r\n" };
        out.push(Action::Send(with_go_ahead(failed)));
        self.attempts += 1;
        out.push(if self.attempts == self.faults.limit(ATTEMPTS) {
            Action::Close
        } else {
            Action::Send(with_go_ahead("Username: "))
        });
    }
}

impl Protocol for Telnet {
    fn open(&mut self) -> Vec<Action> {
        vec![Action::Send(with_go_ahead("Username: ")), Action::Report(Event::CONNECT)]
    }

    fn advance(&mut self, input: &[u8], out: &mut Vec<Action>) -> usize {
        for (at, byte) in input.iter().enumerate() {
            self.byte(*byte, out);
            if !out.is_empty() {
                return at + 1;
            }
        }
        input.len()
    }

    fn forget_piece(&mut self) {
        self.line.clear();
    }
}

fn with_go_ahead(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[IAC, GA]].concat()
}

//! FTP: one user name, one password, and never a session.

#[cfg(test)]
mod tests;

use super::{
    Action, Event, Protocol,
    lines::{Line, Lines},
    text::text,
};
use crate::fault::{Fault, Faults};

/// Longest line in bytes, LF included.
const LINE: usize = 4096;
/// Answered PASS commands, after a USER, that a connection gets.
const ATTEMPTS: u32 = 100;

const GREETING: &str = "220 (vsFTPd 3.0.3)\r\n";
const FEATURES: &str =
    "211-Features:\r\n EPRT\r\n EPSV\r\n MDTM\r\n PASV\r\n REST STREAM\r\n SIZE\r\n TVFS\r\n211 End\r\n";

/// An FTP connection.
#[derive(Debug)]
pub(crate) struct Ftp {
    lines: Lines,
    user: Option<Vec<u8>>,
    attempts: u32,
    faults: Faults,
}

impl Ftp {
    pub(crate) fn new(faults: Faults) -> Self {
        Self { lines: Lines::new(LINE), user: None, attempts: 0, faults }
    }

    fn command(&mut self, line: &[u8], out: &mut Vec<Action>) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return;
        }
        let (word, parameter) = match line.iter().position(|byte| *byte == b' ') {
            Some(space) => (&line[..space], &line[space + 1..]),
            None => (line, &[][..]),
        };
        let word = if self.faults.has(Fault::CaseSensitive) { word.to_vec() } else { word.to_ascii_uppercase() };
        match word.as_slice() {
            b"USER" => {
                if !parameter.is_empty() {
                    self.user = Some(parameter.to_vec());
                }
                say("331 Please specify the password.", out);
            }
            b"PASS" => self.password(parameter, out),
            b"FEAT" => out.push(Action::Send(FEATURES.into())),
            b"OPTS" => say(options(parameter), out),
            b"QUIT" => {
                say("221 Goodbye.", out);
                out.push(Action::Close);
            }
            _ => say("530 Please login with USER and PASS.", out),
        }
    }

    fn password(&mut self, password: &[u8], out: &mut Vec<Action>) {
        let user = if self.faults.has(Fault::KeepsUser) { self.user.clone() } else { self.user.take() };
        let Some(user) = user else {
            out.push(Action::Report(Event::INVALID));
            say("503 Login with USER first.", out);
            if self.faults.has(Fault::Counts503) {
                self.count(out);
            }
            return;
        };
        let login = text(&user, self.faults).zip(text(password, self.faults));
        out.push(Action::Report(match login {
            Some((user, password)) => Event::login(vec![("username", user), ("password", password)]),
            None => Event::INVALID,
        }));
        say(if self.faults.has(Fault::WrongCode) { "531 Login incorrect." } else { "530 Login incorrect." }, out);
        self.count(out);
    }

    fn count(&mut self, out: &mut Vec<Action>) {
        self.attempts += 1;
        if self.attempts == self.faults.limit(ATTEMPTS) {
            out.push(Action::Close);
        }
    }
}

impl Protocol for Ftp {
    fn open(&mut self) -> Vec<Action> {
        vec![Action::Send(GREETING.into()), Action::Report(Event::CONNECT)]
    }

    fn advance(&mut self, input: &[u8], out: &mut Vec<Action>) -> usize {
        let (taken, line) = self.lines.take(input);
        match line {
            Line::Whole(line) => self.command(&line, out),
            Line::TooLong => say("500 Input line too long.", out),
            Line::Piece => {}
        }
        taken
    }

    fn last_words(&self) -> Option<Vec<u8>> {
        Some("421 Timeout.\r\n".into())
    }

    fn forget_piece(&mut self) {
        self.lines.forget();
    }
}

/// Any beginning of `utf8 on` will do.
fn options(parameter: &[u8]) -> &'static str {
    let known = b"utf8 on".get(..parameter.len()).is_some_and(|known| known.eq_ignore_ascii_case(parameter));
    if known && !parameter.is_empty() { "200 Always in UTF8 mode." } else { "501 Option not understood." }
}

fn say(line: &str, out: &mut Vec<Action>) {
    out.push(Action::Send(format!("{line}\r\n").into()));
}

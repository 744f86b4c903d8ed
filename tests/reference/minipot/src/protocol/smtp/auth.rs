//! AUTH: the mechanisms PLAIN and LOGIN, which always fail.

use super::super::{base64, text::text};
use super::{Action, Event, Smtp, State, say};
use crate::fault::Fault;

/// `Username:` and `Password:` in base64, as prompts and as the end of a refusal.
const USER_PROMPT: &str = "VXNlcm5hbWU6";
const PASSWORD_PROMPT: &str = "UGFzc3dvcmQ6";

impl Smtp {
    /// `AUTH mechanism [initial-response]` after HELO.
    pub(super) fn authenticate(&mut self, arguments: &[&[u8]], out: &mut Vec<Action>) {
        let (mechanism, initial) = match arguments {
            [mechanism] => (mechanism, None),
            [mechanism, initial] => (mechanism, Some(*initial)),
            _ => return self.error("501 5.5.4 Syntax: AUTH mechanism", out),
        };
        let plain = mechanism.eq_ignore_ascii_case(b"PLAIN");
        if !plain && !mechanism.eq_ignore_ascii_case(b"LOGIN") {
            return self.refuse(Event::INVALID, "Invalid authentication mechanism", out);
        }
        let Some(initial) = initial else {
            self.state = if plain { State::Plain } else { State::LoginUser };
            let prompt = if plain { "" } else { USER_PROMPT };
            return say(&format!("334 {prompt}"), out);
        };
        match base64::decode(initial) {
            None => self.refuse(Event::INVALID, "Invalid base64 data in initial response", out),
            Some(data) if plain => {
                let event = self.plain(&data);
                self.refuse(event, "", out);
            }
            Some(user) => self.ask_for_password(user, out),
        }
    }

    /// A line while AUTH waits for one.
    pub(super) fn credentials(&mut self, line: &[u8], out: &mut Vec<Action>) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // Whatever comes of it but the next question, authentication is over.
        let waiting = std::mem::replace(&mut self.state, State::Hello);
        if line.is_empty() {
            let end = match waiting {
                State::LoginUser => USER_PROMPT,
                State::LoginPassword(_) => PASSWORD_PROMPT,
                _ => "",
            };
            return self.refuse(Event::INVALID, end, out);
        }
        if line == b"*" && !self.faults.has(Fault::IgnoresAbort) {
            out.push(Action::Report(Event::INVALID));
            return say("501 5.7.0 Authentication aborted", out);
        }
        let Some(data) = base64::decode(line) else {
            return self.refuse(Event::INVALID, "Invalid base64 data in continued response", out);
        };
        match waiting {
            State::LoginUser => self.ask_for_password(data, out),
            State::LoginPassword(user) => {
                let event = self.login(&user, &data);
                self.refuse(event, PASSWORD_PROMPT, out);
            }
            _ => {
                let event = self.plain(&data);
                self.refuse(event, "", out);
            }
        }
    }

    fn ask_for_password(&mut self, user: Vec<u8>, out: &mut Vec<Action>) {
        self.state = State::LoginPassword(user);
        say(&format!("334 {PASSWORD_PROMPT}"), out);
    }

    /// Reports the attempt, and refuses it with this end of the line.
    fn refuse(&mut self, event: Event, end: &str, out: &mut Vec<Action>) {
        out.push(Action::Report(event));
        let code = if self.faults.has(Fault::WrongCode) { 536 } else { 535 };
        let line = format!("{code} 5.7.8 Error: authentication failed: {end}");
        self.error(line.trim_end(), out);
    }

    fn login(&self, user: &[u8], password: &[u8]) -> Event {
        let Some((user, password)) = text(user, self.faults).zip(text(password, self.faults)) else {
            return Event::INVALID;
        };
        let (username, domain) = self.split(&user);
        Event::login(vec![
            ("username", username),
            ("password", password),
            ("mechanism", "login".into()),
            ("our_domain", self.our_domain()),
            ("domain", domain),
        ])
    }

    /// authzid NUL authcid NUL password: RFC 4616.
    fn plain(&self, data: &[u8]) -> Event {
        let mut parts = data.splitn(3, |byte| *byte == 0).skip(1);
        let (Some(user), Some(password)) = (parts.next(), parts.next()) else { return Event::INVALID };
        let (Some(user), Some(password)) = (text(user, self.faults), text(password, self.faults)) else {
            return Event::INVALID;
        };
        if user.is_empty() {
            return Event::INVALID;
        }
        let (username, domain) = self.split(&user);
        Event::login(vec![
            ("password", password),
            ("mechanism", "plain".into()),
            ("our_domain", self.our_domain()),
            ("domain", domain),
            ("username", username),
        ])
    }

    /// User name and domain.
    fn split(&self, user: &str) -> (String, String) {
        let at = if self.faults.has(Fault::SplitsAtFirst) { user.split_once('@') } else { user.rsplit_once('@') };
        let (username, domain) = at.unwrap_or((user, ""));
        (username.into(), domain.into())
    }

    fn our_domain(&self) -> String {
        if self.faults.has(Fault::WrongDomain) { "mx0.elsewhere.org".into() } else { self.host.clone() }
    }
}

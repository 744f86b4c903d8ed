//! What must come of each line of an SMTP conversation, from the specification.

use data_encoding::BASE64_NOPAD;

use super::super::exchange::{Pairs, text};
use super::super::turns::Turn;
use super::{Data, Line};

/// Errors that a connection may make.
const ERRORS: u32 = 20;
/// `Username:` and `Password:` in base64.
const USER_PROMPT: &str = "VXNlcm5hbWU6";
const PASSWORD_PROMPT: &str = "UGFzc3dvcmQ6";

/// How far the conversation has come.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Start,
    Hello,
    Mail,
    Plain,
    LoginUser,
    LoginPassword(Vec<u8>),
}

/// Action, and the pairs of `data`.
type Report = (&'static str, Option<Pairs>);

/// Knows what must come of each line, from the specification.
pub(super) struct Predictor {
    host: String,
    ip: String,
    state: State,
    errors: u32,
}

impl Predictor {
    pub(super) fn new(host: String, ip: String) -> Self {
        Self { host, ip, state: State::Start, errors: 0 }
    }

    /// What must come of `line`, which is sent as `input`.
    pub(super) fn turn(&mut self, line: &Line, input: Vec<u8>) -> Turn<String> {
        let (reply, report) = match self.state {
            State::Start | State::Hello | State::Mail => self.command(line),
            _ => self.answer(line, &input),
        };
        let good = ["250", "221", "334", "501 5.7.0"].iter().any(|code| reply.starts_with(code));
        self.errors += u32::from(!good);
        let too_many = !good && self.errors == ERRORS;
        let closes = too_many || reply.starts_with("221");
        let last = too_many.then(|| format!("421 4.7.0 {} Error: too many errors", self.host));
        Turn { input, replies: [reply].into_iter().chain(last).collect(), report, closes }
    }

    fn command(&mut self, line: &Line) -> (String, Option<Report>) {
        let (word, arguments) = match line {
            Line::Command(word, arguments) => (*word, *arguments),
            Line::Auth(mechanism, initial) if self.state == State::Hello => {
                return self.auth(mechanism, initial.as_ref());
            }
            Line::Auth(..) => ("AUTH", &[][..]),
            Line::Empty => return ("500 5.5.2 Error: bad syntax".into(), None),
            Line::Data(_) | Line::Star => ("HELP", &[][..]),
        };
        let denied = format!("554 5.7.1 <unknown[{}]>: Client host rejected: Access denied", self.ip);
        // A prefix alone is no address, a prefix with anything behind it is.
        let address = |prefix: &str| {
            let first = arguments.first().map(|first| first.to_ascii_uppercase()).unwrap_or_default();
            first.starts_with(prefix) && (first.len() > prefix.len() || arguments.len() > 1)
        };
        let reply = match (word, &self.state) {
            ("EHLO", _) if arguments.is_empty() => "501 Syntax: EHLO hostname",
            ("HELO", _) if arguments.is_empty() => "501 Syntax: HELO hostname",
            ("EHLO", _) => {
                self.state = State::Hello;
                let extensions = "250-PIPELINING\r\n250-SIZE 26214400\r\n250-ETRN\r\n250-AUTH PLAIN LOGIN\r\n\
                                  250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n250 SMTPUTF8";
                return (format!("250-{}\r\n{extensions}", self.host), None);
            }
            ("HELO", _) => {
                self.state = State::Hello;
                return (format!("250 {}", self.host), None);
            }
            ("RSET", _) if !arguments.is_empty() => "501 5.5.4 Syntax: RSET",
            ("RSET", State::Mail) => {
                self.state = State::Hello;
                "250 2.0.0 Ok"
            }
            ("NOOP" | "RSET", _) => "250 2.0.0 Ok",
            ("VRFY", _) => "502 5.5.1 VRFY command is disabled",
            ("QUIT", _) => "221 2.0.0 Bye",
            ("MAIL", State::Hello) if address("FROM:") => {
                self.state = State::Mail;
                "250 2.0.0 Ok"
            }
            ("MAIL", State::Hello) => "501 5.5.4 Syntax: MAIL FROM:<address>",
            ("MAIL", State::Mail) => "503 5.5.1 Error: nested MAIL command",
            ("MAIL" | "AUTH", State::Start) => "503 5.5.1 Error: send HELO/EHLO first",
            ("AUTH", State::Hello) => "501 5.5.4 Syntax: AUTH mechanism",
            ("AUTH", _) => "503 5.5.1 Error: MAIL transaction in progress",
            ("RCPT", State::Mail) if address("TO:") => &denied,
            ("RCPT", State::Mail) => "501 5.5.4 Syntax: RCPT TO:<address>",
            ("RCPT", _) => "503 5.5.1 Error: need MAIL command",
            ("DATA", State::Mail) => "554 5.5.1 Error: no valid recipients",
            ("DATA", _) => "503 5.5.1 Error: need RCPT command",
            ("ETRN", State::Hello) if arguments.len() == 1 => &denied,
            ("ETRN", State::Hello) => "500 Syntax: ETRN domain",
            ("ETRN", State::Mail) => "503 Error: MAIL transaction in progress",
            ("ETRN", _) => "503 Error: send HELO/EHLO first",
            _ => "502 5.5.2 Error: command not recognized",
        };
        (reply.into(), None)
    }

    fn auth(&mut self, mechanism: &str, initial: Option<&Data>) -> (String, Option<Report>) {
        match (mechanism, initial) {
            ("PLAIN" | "LOGIN", Some(Data::Bad(_))) => refused("Invalid base64 data in initial response", INVALID),
            ("PLAIN", Some(Data::Encoded(bytes, _))) => refused("", self.plain(bytes)),
            ("LOGIN", Some(Data::Encoded(user, _))) => {
                self.state = State::LoginPassword(user.clone());
                (format!("334 {PASSWORD_PROMPT}"), None)
            }
            ("PLAIN", None) => {
                self.state = State::Plain;
                ("334 ".into(), None)
            }
            ("LOGIN", None) => {
                self.state = State::LoginUser;
                (format!("334 {USER_PROMPT}"), None)
            }
            _ => refused("Invalid authentication mechanism", INVALID),
        }
    }

    /// A line while AUTH waits for one. A command is one too: its bytes are base64, or not.
    fn answer(&mut self, line: &Line, input: &[u8]) -> (String, Option<Report>) {
        let waiting = std::mem::replace(&mut self.state, State::Hello);
        let decoded = match line {
            Line::Star => return ("501 5.7.0 Authentication aborted".into(), Some(INVALID)),
            Line::Empty => {
                let end = match waiting {
                    State::LoginUser => USER_PROMPT,
                    State::LoginPassword(_) => PASSWORD_PROMPT,
                    _ => "",
                };
                return refused(end, INVALID);
            }
            Line::Data(data) => data.decoded().map(<[u8]>::to_vec),
            // A word of four or eight letters is base64 as well.
            Line::Command(..) | Line::Auth(..) => BASE64_NOPAD.decode(input.trim_ascii_end()).ok(),
        };
        let Some(decoded) = decoded else {
            return refused("Invalid base64 data in continued response", INVALID);
        };
        match waiting {
            State::LoginUser => {
                self.state = State::LoginPassword(decoded);
                (format!("334 {PASSWORD_PROMPT}"), None)
            }
            State::LoginPassword(user) => refused(PASSWORD_PROMPT, self.login(&user, &decoded)),
            _ => refused("", self.plain(&decoded)),
        }
    }

    fn login(&self, user: &[u8], password: &[u8]) -> Report {
        let Some((user, password)) = text(user).zip(text(password)) else { return INVALID };
        let (username, domain) = split(&user);
        let pairs = [
            ("username", username),
            ("password", password),
            ("mechanism", "login".into()),
            ("our_domain", self.host.clone()),
            ("domain", domain),
        ];
        ("login", Some(pairs.map(|(key, value)| (key.to_owned(), value)).into()))
    }

    fn plain(&self, message: &[u8]) -> Report {
        let fields: Vec<&[u8]> = message.splitn(3, |byte| *byte == 0).collect();
        let [_, user, password] = fields[..] else { return INVALID };
        let Some((user, password)) = text(user).filter(|user| !user.is_empty()).zip(text(password)) else {
            return INVALID;
        };
        let (username, domain) = split(&user);
        let pairs = [
            ("password", password),
            ("mechanism", "plain".into()),
            ("our_domain", self.host.clone()),
            ("domain", domain),
            ("username", username),
        ];
        ("login", Some(pairs.map(|(key, value)| (key.to_owned(), value)).into()))
    }
}

const INVALID: Report = ("invalid", None);

fn refused(end: &str, report: Report) -> (String, Option<Report>) {
    let reply = format!("535 5.7.8 Error: authentication failed: {end}");
    (reply.trim_end().to_owned(), Some(report))
}

/// User name and domain.
fn split(user: &str) -> (String, String) {
    let (username, domain) = user.rsplit_once('@').unwrap_or((user, ""));
    (username.into(), domain.into())
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::super::written;
    use super::*;

    const HELLO: Line = Line::Command("HELO", &["here"]);

    fn replies(lines: &[Line]) -> Vec<String> {
        let mut predictor = Predictor::new("mx0.here.org".into(), "127.0.0.1".into());
        let random = &mut Rng::with_seed(0);
        let said = |turn: Turn<String>| {
            let report = turn.report.map(|(action, _)| format!(" {action}")).unwrap_or_default();
            let closes = if turn.closes { " x" } else { "" };
            turn.replies.iter().map(|reply| &reply[..3]).collect::<Vec<_>>().join(" ") + &report + closes
        };
        lines.iter().map(|line| predictor.turn(line, written(line, random))).map(said).collect()
    }

    #[test]
    fn states_decide_what_a_command_does() {
        let mail = Line::Command("MAIL", &["FROM:<a@b>"]);
        let rcpt = Line::Command("RCPT", &["TO:<a@b>"]);
        let rset = Line::Command("RSET", &[]);
        let lines = [mail.clone(), HELLO, rcpt.clone(), mail.clone(), mail, rcpt.clone(), rset, rcpt];
        assert_eq!(replies(&lines), ["503", "250", "503", "250", "503", "554", "250", "503"]);
    }

    #[test]
    fn logins_and_what_ends_them() {
        let user = Line::Data(Data::Encoded(b"me@here".into(), true));
        let login = |initial| Line::Auth("LOGIN", initial);
        let lines = [
            HELLO,
            login(None),
            user.clone(),
            user.clone(),
            Line::Auth("PLAIN", Some(Data::Encoded(b"\0me\0x".into(), false))),
            Line::Auth("PLAIN", Some(Data::Encoded(b"\0\0x".into(), false))),
            Line::Auth("PLAIN", None),
            Line::Star,
            login(Some(Data::Encoded(vec![], true))),
            Line::Empty,
            login(None),
            Line::Command("EHLO", &["x"]),
            user,
        ];
        let expected =
            "334, 334, 535 login, 535 login, 535 invalid, 334, 501 invalid, 334, 535 invalid, 334, 535 invalid, 502";
        assert_eq!(replies(&lines)[1..].join(", "), expected);
        // The letters of a command are base64 while AUTH waits.
        let mut predictor = Predictor::new("mx0.here.org".into(), "127.0.0.1".into());
        predictor.state = State::LoginPassword(b"me".into());
        let report = predictor.turn(&Line::Command("QUIT", &[]), b"QUIT\r\n".into()).report;
        assert_eq!(report, Some(predictor.login(b"me", b"AB\x13")));
        assert_eq!(split("a@b@c"), ("a@b".into(), "c".into()));
    }

    #[test]
    fn the_twentieth_error_closes_and_aborts_are_none() {
        let aborts = (0..30).flat_map(|_| [Line::Auth("PLAIN", None), Line::Star]);
        let lines: Vec<Line> = [HELLO].into_iter().chain(aborts).chain(vec![Line::Empty; 20]).collect();
        let replies = replies(&lines);
        assert_eq!(replies.iter().position(|reply| reply.ends_with('x')), Some(lines.len() - 1));
        assert_eq!(replies.last().map(String::as_str), Some("500 421 x"));
    }
}

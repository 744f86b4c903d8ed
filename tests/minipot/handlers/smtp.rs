//! SMTP: a random conversation through all states, with logins of both mechanisms, to QUIT or the last error or wherever the
//! seed leads.

use data_encoding::{BASE64, BASE64_NOPAD};
use fastrand::Rng;
use portwitness::handlers::{Connection, Failure, Handler, Session};

use super::exchange::{field, text};
use super::turns::{Turn, take};

/// Errors that a connection may make.
const ERRORS: u32 = 20;
/// `Username:` and `Password:` in base64.
const USER_PROMPT: &str = "VXNlcm5hbWU6";
const PASSWORD_PROMPT: &str = "UGFzc3dvcmQ6";

/// Carries out a random conversation.
pub(super) struct Conversation;

impl Handler for Conversation {
    fn run(&self, session: &mut Session) -> Result<(), Failure> {
        let mut random = Rng::with_seed(session.scenario().seed);
        let said = lines(&mut random, session.marker());
        let mut connection = session.connect()?;
        let greeting = connection.line()?;
        let host = host(&greeting)?;
        let turns = Predictor::new(host, connection.ip().to_owned()).turns(&said, &mut random);
        take(&mut connection, &mut random, &turns, |connection: &mut Connection, reply: &String| {
            connection.expect(format!("{reply}\r\n").as_bytes())
        })
    }
}

/// The host name in the greeting.
fn host(greeting: &[u8]) -> Result<String, Failure> {
    let greeting = String::from_utf8_lossy(greeting).into_owned();
    let host = greeting.strip_prefix("220 ").and_then(|rest| rest.strip_suffix(" ESMTP Postfix (Debian/GNU)"));
    host.map(str::to_owned).ok_or_else(|| Failure::Wrong {
        place: "smtp-conversation".into(),
        expected: "the greeting".into(),
        seen: greeting.clone(),
    })
}

/// A line that is sent, in words: what it does depends on the state, and that is the predictor's to know.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    /// A command with its arguments.
    Command(&'static str, &'static [&'static str]),
    /// `AUTH mechanism` with this initial response.
    Auth(&'static str, Option<Data>),
    /// What AUTH waits for.
    Data(Data),
    /// `*`
    Star,
    Empty,
}

/// Credentials, or what pretends to be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Data {
    /// In base64, padded or not.
    Encoded(Vec<u8>, bool),
    /// What is no base64.
    Bad(&'static str),
}

impl Data {
    fn written(&self) -> Vec<u8> {
        match self {
            // A value of no bytes would be no argument at all.
            Self::Encoded(bytes, _) if bytes.is_empty() => b"==".into(),
            Self::Encoded(bytes, true) => BASE64.encode(bytes).into(),
            Self::Encoded(bytes, false) => BASE64_NOPAD.encode(bytes).into(),
            Self::Bad(text) => text.as_bytes().into(),
        }
    }

    fn decoded(&self) -> Option<&[u8]> {
        match self {
            Self::Encoded(bytes, _) => Some(bytes),
            Self::Bad(_) => None,
        }
    }
}

const COMMANDS: [(&str, &[&str]); 26] = [
    ("EHLO", &["here"]),
    ("EHLO", &["here", "there"]),
    ("HELO", &["here"]),
    ("EHLO", &[]),
    ("HELO", &[]),
    ("NOOP", &[]),
    ("NOOP", &["x", "y"]),
    ("RSET", &[]),
    ("RSET", &[]),
    ("RSET", &["x"]),
    ("VRFY", &["x"]),
    ("MAIL", &["FROM:<a@b>"]),
    ("MAIL", &["from:", "x"]),
    ("MAIL", &["FROM:"]),
    ("MAIL", &[]),
    ("RCPT", &["TO:<a@b>"]),
    ("RCPT", &["to:", "x"]),
    ("RCPT", &["x"]),
    ("DATA", &[]),
    ("ETRN", &["here"]),
    ("ETRN", &["here", "there"]),
    ("AUTH", &[]),
    ("AUTH", &["PLAIN", "a", "b"]),
    ("HELP", &[]),
    ("STARTTLS", &["x"]),
    ("QUIT", &[]),
];

/// Up to sixty lines, of which many belong to logins.
fn lines(random: &mut Rng, marker: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    if random.u8(..5) > 0 {
        lines.push(Line::Command("EHLO", &["here"]));
    }
    for _ in 0..random.usize(1..30) {
        match random.u8(..10) {
            0..4 => lines.extend(login(random, marker)),
            4 => lines.push(Line::Empty),
            5 => lines.push(Line::Command("NOOP", &[])),
            _ => {
                let (word, arguments) = COMMANDS[random.usize(..COMMANDS.len())];
                if word != "QUIT" || random.u8(..4) == 0 {
                    lines.push(Line::Command(word, arguments));
                }
            }
        }
    }
    lines
}

/// AUTH and the lines that follow it: as they should be, or left out, or too many.
fn login(random: &mut Rng, marker: &str) -> Vec<Line> {
    let plain = random.bool();
    let mut answers: Vec<Line> = (0..if plain { 1 } else { 2 })
        .map(|_| match random.u8(..12) {
            0 => Line::Star,
            1 => Line::Empty,
            _ => Line::Data(data(random, marker, plain)),
        })
        .collect();
    let initial = match answers.first() {
        Some(Line::Data(data)) if random.bool() => Some(data.clone()),
        _ => None,
    };
    if initial.is_some() {
        answers.remove(0);
    }
    let mechanism = match random.u8(..12) {
        0 => "CRAM-MD5",
        _ if plain => "PLAIN",
        _ => "LOGIN",
    };
    if random.u8(..8) == 0 {
        answers.pop();
    }
    [vec![Line::Auth(mechanism, initial)], answers].concat()
}

fn data(random: &mut Rng, marker: &str, plain: bool) -> Data {
    const BAD: [&str; 6] = ["A", "a*b", "=", "QQ===", "Q=QQ", "-_-_"];
    let padded = random.bool();
    match random.u8(..10) {
        0 => Data::Bad(BAD[random.usize(..BAD.len())]),
        1 => Data::Encoded(field(random, marker, false), padded),
        _ if plain => {
            let fields = [random.u8(..4) == 0, true, true].map(|there| if there { user(random, marker) } else { vec![] });
            Data::Encoded(fields.join(&0), padded)
        }
        _ => Data::Encoded(user(random, marker), padded),
    }
}

/// A field with an `@` in it, now and then.
fn user(random: &mut Rng, marker: &str) -> Vec<u8> {
    let mut user = field(random, marker, false);
    for _ in 0..random.u8(..3) {
        user.push(b'@');
        user.extend(field(random, "example.org", false));
    }
    user
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Start,
    Hello,
    Mail,
    Plain,
    LoginUser,
    LoginPassword(Vec<u8>),
}

type Report = (&'static str, Option<Vec<(String, String)>>);

/// Knows what must come of each line, from the specification.
struct Predictor {
    host: String,
    ip: String,
    state: State,
    errors: u32,
}

impl Predictor {
    fn new(host: String, ip: String) -> Self {
        Self { host, ip, state: State::Start, errors: 0 }
    }

    fn turns(mut self, lines: &[Line], random: &mut Rng) -> Vec<Turn<String>> {
        lines.iter().map(|line| self.turn(line, written(line, random))).collect()
    }

    fn turn(&mut self, line: &Line, input: Vec<u8>) -> Turn<String> {
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
            Line::Auth(mechanism, initial) if self.state == State::Hello => return self.auth(mechanism, initial.as_ref()),
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

/// A line as it is sent: commands in any case, and with either line end. A command that AUTH might take for base64 keeps its
/// capitals, for its letters are what is decoded.
fn written(line: &Line, random: &mut Rng) -> Vec<u8> {
    let mut written: Vec<u8> = match line {
        Line::Command(word, arguments) => {
            let separators = ["\t", "\x0b", "\x0c", " ", "\r", " \t "];
            let mut written = in_any_case(word, random);
            for argument in *arguments {
                written.extend_from_slice(separators[random.usize(..separators.len())].as_bytes());
                written.extend_from_slice(argument.as_bytes());
            }
            written
        }
        Line::Auth(mechanism, initial) => {
            let initial = initial.iter().flat_map(|data| [b" ".to_vec(), data.written()]).flatten();
            [in_any_case("AUTH", random), b" ".into(), in_any_case(mechanism, random), initial.collect()].concat()
        }
        Line::Data(data) => data.written(),
        Line::Star => b"*".into(),
        Line::Empty => Vec::new(),
    };
    written.extend_from_slice(if random.bool() { b"\r\n" } else { b"\n" });
    written
}

fn in_any_case(word: &str, random: &mut Rng) -> Vec<u8> {
    let letter = |letter: u8| if random.bool() { letter.to_ascii_lowercase() } else { letter.to_ascii_uppercase() };
    word.bytes().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: Line = Line::Command("HELO", &["here"]);

    fn replies(lines: &[Line]) -> Vec<String> {
        let turns = Predictor::new("mx0.here.org".into(), "127.0.0.1".into()).turns(lines, &mut Rng::with_seed(0));
        let said = |turn: Turn<String>| {
            let report = turn.report.map(|(action, _)| format!(" {action}")).unwrap_or_default();
            let closes = if turn.closes { " x" } else { "" };
            turn.replies.iter().map(|reply| &reply[..3]).collect::<Vec<_>>().join(" ") + &report + closes
        };
        turns.into_iter().map(said).collect()
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
            Line::Command("QUIT", &[]),
            login(None),
            Line::Command("EHLO", &["x"]),
            user,
        ];
        assert_eq!(
            replies(&lines)[1..],
            [
                "334", "334", "535 login", "535 login", "535 invalid", "334", "501 invalid", "334", "535 login", "334",
                "535 invalid", "502"
            ]
        );
        assert_eq!(split("a@b@c"), ("a@b".into(), "c".into()));
    }

    #[test]
    fn the_twentieth_error_closes_and_aborts_are_none() {
        let abort = [Line::Auth("PLAIN", None), Line::Star].repeat(30);
        let lines = [&[HELLO], &abort[..], &vec![Line::Empty; 20]].concat();
        let replies = replies(&lines);
        assert_eq!(replies.iter().position(|reply| reply.ends_with('x')), Some(lines.len() - 1));
        assert_eq!(replies.last().map(String::as_str), Some("500 421 x"));
    }

    #[test]
    fn a_seed_makes_the_same_conversation_again() {
        let lines = |seed| lines(&mut Rng::with_seed(seed), "m");
        assert!((0..50).all(|seed| lines(seed) == lines(seed)));
        let all: Vec<Line> = (0..200).flat_map(lines).collect();
        assert!([Line::Star, Line::Empty, Line::Command("QUIT", &[])].iter().all(|wanted| all.contains(wanted)));
    }
}

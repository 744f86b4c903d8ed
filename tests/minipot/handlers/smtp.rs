//! SMTP: a random conversation through all states, with logins of both mechanisms, to QUIT or the last error or wherever the
//! seed leads.

mod predict;

use data_encoding::{BASE64, BASE64_NOPAD};
use fastrand::Rng;
use portwitness::handlers::{Connection, Failure, Handler, Session};

use self::predict::Predictor;
use super::exchange::field;
use super::turns::take;

/// Carries out a random conversation.
pub(super) struct Conversation;

impl Handler for Conversation {
    fn run(&self, session: &mut Session) -> Result<(), Failure> {
        let mut random = Rng::with_seed(session.scenario().seed);
        let said = lines(&mut random, session.marker());
        let mut connection = session.connect()?;
        let greeting = connection.line()?;
        let host = host(&greeting)?;
        let mut predictor = Predictor::new(host, connection.ip().to_owned());
        let turn = |line: &Line| predictor.turn(line, written(line, &mut random));
        let turns: Vec<_> = said.iter().map(turn).collect();
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
            let fields =
                [random.u8(..4) == 0, true, true].map(|there| if there { user(random, marker) } else { vec![] });
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

    #[test]
    fn a_seed_makes_the_same_conversation_again() {
        let lines = |seed| lines(&mut Rng::with_seed(seed), "m");
        assert!((0..50).all(|seed| lines(seed) == lines(seed)));
        let all: Vec<Line> = (0..200).flat_map(lines).collect();
        assert!([Line::Star, Line::Empty, Line::Command("QUIT", &[])].iter().all(|wanted| all.contains(wanted)));
    }
}

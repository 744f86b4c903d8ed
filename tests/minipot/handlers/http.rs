//! HTTP: random requests with headers, credentials and bodies of all kinds, to a syntax error, to the limit, or to where the
//! seed leads.

use data_encoding::{BASE64, BASE64_NOPAD};
use fastrand::Rng;
use portwitness::handlers::{Connection, Failure, Handler, Session};

use super::exchange::{Pairs, field, text};
use super::turns::{Turn, take};

/// Requests that a connection gets answered.
const REQUESTS: usize = 100;
/// Bytes of the page that comes with 401.
const PAGE: usize = 386;

/// Carries out a random conversation.
pub(super) struct Conversation;

impl Handler for Conversation {
    fn run(&self, session: &mut Session) -> Result<(), Failure> {
        let mut random = Rng::with_seed(session.scenario().seed);
        let requests = requests(&mut random, session.marker());
        let inputs: Vec<Vec<u8>> = requests.iter().map(|request| written(request, &mut random)).collect();
        let mut connection = session.connect()?;
        take(&mut connection, &mut random, &predict(&requests, inputs), read)
    }
}

/// Reads an answer, which must have this status.
fn read(connection: &mut Connection, status: &u16) -> Result<(), Failure> {
    let answer = connection.http(None)?;
    let length = if *status == 401 { answer.body.len() == PAGE } else { answer.header("connection") == Some("close") };
    if answer.status == *status && length {
        return Ok(());
    }
    Err(Failure::Wrong {
        place: "http-conversation".into(),
        expected: format!("status {status}, with {PAGE} bytes when that is 401"),
        seen: format!("{} {} with {} bytes", answer.status, answer.reason, answer.body.len()),
    })
}

/// A request, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Request {
    method: String,
    url: Vec<u8>,
    version: [char; 2],
    headers: Vec<Header>,
    body: Body,
    /// What takes the place of the header with this number, and makes the request a bad one.
    broken: Option<(usize, &'static [u8])>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Header {
    Agent(Vec<u8>),
    /// Credentials, in base64 padded or not.
    Basic(Vec<u8>, bool),
    /// An Authorization that is something else; empty is as good as none.
    Authorization(&'static str),
    Other(&'static str, Vec<u8>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Body {
    None,
    /// With Content-Length.
    Whole(Vec<u8>),
    /// In chunks, with trailers.
    Chunks(Vec<Vec<u8>>, u8),
}

/// Lines that no request may have among its headers.
const BROKEN: [&[u8]; 9] = [
    b"no colon\r\n",
    b"blank : x\r\n",
    b" folded: x\r\n",
    b"Host: x\n",
    b"Host: \x01\r\n",
    b"Content-Length: -1\r\n\r\n",
    b"Content-Length:\r\n",
    b"Content-Length: 1 2\r\n",
    b"H\xc3\xa4st: x\r\n",
];

/// Up to thirty requests, or as many as it takes to come near the limit, and beyond.
fn requests(random: &mut Rng, marker: &str) -> Vec<Request> {
    let brute_force = random.u8(..4) == 0;
    let count = if brute_force { random.usize(90..115) } else { random.usize(1..30) };
    (0..count).map(|_| request(random, marker, if brute_force { 400 } else { 30 })).collect()
}

/// One in `odds` is broken.
fn request(random: &mut Rng, marker: &str, odds: usize) -> Request {
    const METHODS: [&str; 8] = ["GET", "GET", "POST", "HEAD", "options", "PROPFIND", "!#~", ""];
    let method = METHODS[random.usize(..METHODS.len())].to_owned();
    let mut url: Vec<u8> = field(random, marker, false).into_iter().filter(|byte| *byte > 32 && *byte != 127).collect();
    url.insert(0, b'/');
    let headers: Vec<Header> = (0..random.usize(..6)).map(|_| header(random, marker)).collect();
    let body = match random.u8(..4) {
        0 => Body::Whole(bytes(random)),
        1 => Body::Chunks((0..random.usize(..4)).map(|_| bytes(random)).collect(), random.u8(..3)),
        _ => Body::None,
    };
    let broken = (random.usize(..odds) == 0).then(|| (random.usize(..=headers.len()), BROKEN[random.usize(..9)]));
    let version = [(); 2].map(|()| random.digit(10));
    Request { method, url, version, headers, body, broken }
}

fn header(random: &mut Rng, marker: &str) -> Header {
    const WRONG: [&str; 8] =
        ["", " \t", "Basic", "basic bWU6eA==", "Digest x", "Basic bWU6eA== x", "Basic b", "Basic bWU6_w"];
    match random.u8(..8) {
        0..3 => Header::Agent(value(field(random, marker, false))),
        3..6 => {
            let colon: &[u8] = if random.u8(..8) == 0 { b"" } else { b":" };
            let credentials = [&field(random, marker, false), colon, &field(random, "secret", false)].concat();
            Header::Basic(credentials, random.bool())
        }
        6 => Header::Authorization(WRONG[random.usize(..WRONG.len())]),
        _ => {
            let name = ["Host", "", "Accept", "X-Forwarded-For", "!#$%&'*+-.^_`|~"][random.usize(..5)];
            Header::Other(name, value(field(random, marker, false)))
        }
    }
}

/// What may stand in a header's value: no control characters but TAB.
fn value(bytes: Vec<u8>) -> Vec<u8> {
    bytes.into_iter().filter(|byte| *byte == b'\t' || (*byte >= 32 && *byte != 127)).collect()
}

fn bytes(random: &mut Rng) -> Vec<u8> {
    (0..random.usize(..80)).map(|_| random.u8(..)).collect()
}

/// A request as it is sent: names of headers in any case, values with blanks around them.
fn written(request: &Request, random: &mut Rng) -> Vec<u8> {
    let [major, minor] = request.version;
    let mut written = [request.method.as_bytes(), b" ", &request.url].concat();
    written.extend_from_slice(format!(" HTTP/{major}.{minor}\r\n").as_bytes());
    for (number, header) in request.headers.iter().enumerate() {
        if let Some((_, line)) = request.broken.filter(|(at, _)| *at == number) {
            written.extend_from_slice(line);
        }
        let line: (&str, Vec<u8>) = match header {
            Header::Agent(agent) => ("User-Agent", agent.clone()),
            Header::Basic(credentials, padded) => {
                let encoded = if *padded { BASE64.encode(credentials) } else { BASE64_NOPAD.encode(credentials) };
                ("Authorization", format!("Basic {encoded}").into())
            }
            Header::Authorization(value) => ("Authorization", (*value).into()),
            Header::Other(name, value) => (name, value.clone()),
        };
        push_header(&mut written, line.0, &line.1, random);
    }
    if let Some((_, line)) = request.broken.filter(|(at, _)| *at == request.headers.len()) {
        written.extend_from_slice(line);
    }
    match &request.body {
        Body::None => written.extend_from_slice(b"\r\n"),
        Body::Whole(body) => {
            push_header(&mut written, "Content-Length", body.len().to_string().as_bytes(), random);
            written.extend_from_slice(&[b"\r\n", body.as_slice()].concat());
        }
        Body::Chunks(chunks, trailers) => {
            push_header(&mut written, "Transfer-Encoding", b"gzip, chunked", random);
            written.extend_from_slice(b"\r\n");
            for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
                let size = format!("{:x}", chunk.len());
                written.extend_from_slice(&[size.as_bytes(), b"\r\n", chunk, b"\r\n"].concat());
            }
            written.extend_from_slice(b"0\r\n");
            (0..*trailers).for_each(|_| push_header(&mut written, "User-Agent", b"trailer", random));
            written.extend_from_slice(b"\r\n");
        }
    }
    written
}

fn push_header(written: &mut Vec<u8>, name: &str, value: &[u8], random: &mut Rng) {
    let letter = |letter: u8| if random.bool() { letter.to_ascii_lowercase() } else { letter.to_ascii_uppercase() };
    let name: Vec<u8> = name.bytes().map(letter).collect();
    let blanks = [&b""[..], b" ", b"\t", b" \t "];
    let (before, after) = (blanks[random.usize(..4)], blanks[random.usize(..4)]);
    written.extend_from_slice(&[name.as_slice(), b":", before, value, after, b"\r\n"].concat());
}

/// What must come of each request, which is sent as the input with the same index.
fn predict(requests: &[Request], inputs: Vec<Vec<u8>>) -> Vec<Turn<u16>> {
    let turn = |(index, (request, input)): (usize, (&Request, Vec<u8>))| {
        if request.broken.is_some() {
            return Turn { input, replies: vec![400], report: None, closes: true };
        }
        Turn { input, replies: vec![401], report: Some(report(request)), closes: index + 1 == REQUESTS }
    };
    requests.iter().zip(inputs).enumerate().map(turn).collect()
}

/// The report of a good request: of several headers with the same name the last one counts.
fn report(request: &Request) -> (&'static str, Option<Pairs>) {
    let agent = request.headers.iter().rev().find_map(|header| match header {
        Header::Agent(agent) => Some(trimmed(agent)),
        _ => None,
    });
    let authorization =
        request.headers.iter().rev().find(|header| matches!(header, Header::Basic(..) | Header::Authorization(_)));
    let credentials = match authorization {
        None => Some(None),
        Some(Header::Authorization(value)) if value.trim().is_empty() => Some(None),
        Some(Header::Basic(credentials, _)) => {
            let colon = credentials.iter().position(|byte| *byte == b':').filter(|colon| *colon > 0);
            colon.and_then(|at| Some(Some((text(&credentials[..at])?, text(&credentials[at + 1..])?))))
        }
        Some(_) => None,
    };
    let pairs = || {
        let mut pairs = vec![("method".to_owned(), request.method.clone()), ("url".to_owned(), text(&request.url)?)];
        let credentials = credentials?;
        let action = if credentials.is_some() { "login" } else { "message" };
        if let Some((user, password)) = credentials {
            pairs.extend([("username".to_owned(), user), ("password".to_owned(), password)]);
        }
        let agent = text(agent.unwrap_or_default())?;
        pairs.extend((!agent.is_empty()).then(|| ("user_agent".to_owned(), agent)));
        Some((action, Some(pairs)))
    };
    pairs().unwrap_or(("invalid", None))
}

/// Without blanks and TABs around it.
fn trimmed(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let from = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let to = value.iter().rposition(|byte| !blank(byte)).map_or(from, |last| last + 1);
    &value[from..to]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(url: &[u8], headers: &[Header]) -> String {
        let (method, version, body) = ("GET".into(), ['1', '1'], Body::None);
        let request = Request { method, url: url.into(), version, headers: headers.into(), body, broken: None };
        let (action, data) = report(&request);
        let values = data.unwrap_or_default().into_iter().map(|(key, value)| format!(" {key}={value}"));
        format!("{action}{}", values.collect::<String>())
    }

    #[test]
    fn reports_follow_from_the_headers() {
        let basic = |credentials: &[u8]| Header::Basic(credentials.into(), true);
        let agent = |agent: &str| Header::Agent(agent.into());
        let empty = Header::Authorization(" \t");
        assert_eq!(reported(b"/", &[]), "message method=GET url=/");
        assert_eq!(reported(b"/", &[agent("a"), agent(" b ")]), "message method=GET url=/ user_agent=b");
        assert_eq!(reported(b"/", &[agent("a"), agent(" \t")]), "message method=GET url=/");
        assert_eq!(
            reported(b"/", &[basic(b"me:a:b"), agent("a")]),
            "login method=GET url=/ username=me password=a:b user_agent=a"
        );
        assert_eq!(reported(b"/", &[basic(b"me:x"), empty]), "message method=GET url=/");
        for invalid in [&b"me"[..], b":x", b"me:\xff", b"m\0e:x"] {
            assert_eq!(reported(b"/", &[basic(invalid)]), "invalid", "{}", invalid.escape_ascii());
        }
        assert_eq!(reported(b"/\xff", &[]), "invalid");
        assert_eq!(reported(b"/", &[Header::Agent(b"\xff".into()), basic(b"me:x")]), "invalid");
        assert_eq!(reported(b"/", &[Header::Authorization("Basic")]), "invalid");
    }

    #[test]
    fn a_broken_request_and_the_hundredth_close() {
        let good = request(&mut Rng::with_seed(1), "m", usize::MAX);
        let turns = |requests: &[Request]| predict(requests, vec![Vec::new(); requests.len()]);
        let closing = |turns: Vec<Turn<u16>>| turns.iter().position(|turn| turn.closes);
        assert_eq!(closing(turns(&vec![good.clone(); 120])), Some(99));
        let broken = Request { broken: Some((0, BROKEN[0])), ..good.clone() };
        let turns = turns(&[good, broken]);
        assert_eq!((turns[1].replies[0], &turns[1].report, turns[1].closes), (400, &None, true));
    }

    #[test]
    fn a_seed_makes_the_same_conversation_again() {
        let requests = |seed| requests(&mut Rng::with_seed(seed), "m");
        assert!((0..50).all(|seed| requests(seed) == requests(seed)));
        let all: Vec<Request> = (0..50).flat_map(requests).collect();
        assert!(all.iter().any(|request| request.broken.is_some()));
        assert!(all.iter().any(|request| matches!(&request.body, Body::Chunks(chunks, _) if chunks.len() > 1)));
    }
}

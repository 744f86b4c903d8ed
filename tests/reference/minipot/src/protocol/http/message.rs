//! A request: its line, the headers that matter, and the report that it makes.

use super::super::{
    Event, base64,
    text::{c_integer, text, tokens},
};
use crate::fault::{Fault, Faults};

/// What a request has said so far.
#[derive(Debug, Default)]
pub(super) struct Message {
    method: Vec<u8>,
    url: Vec<u8>,
    user_agent: Vec<u8>,
    authorization: Vec<u8>,
    length: Length,
    /// Whether the last transfer coding is `chunked`, when there was a Transfer-Encoding.
    chunked: Option<bool>,
}

/// How the body ends.
#[derive(Debug)]
pub(super) enum Body {
    /// After so many bytes.
    Length(u64),
    /// With an empty chunk.
    Chunked,
}

/// What Content-Length said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Known(u64),
    /// It makes the request a bad one when the headers end, unless Transfer-Encoding makes it irrelevant.
    Bad,
}

impl Default for Length {
    fn default() -> Self {
        Self::Known(0)
    }
}

impl Message {
    /// Reads `METHOD URL HTTP/d.d`, without its CRLF.
    pub(super) fn of_request_line(line: &[u8]) -> Option<Self> {
        let mut parts = line.splitn(3, |byte| *byte == b' ');
        let (method, url, version) = (parts.next()?, parts.next()?, parts.next()?);
        let method_is_good = method.iter().all(|byte| (33..=126).contains(byte));
        let url_is_good = !url.is_empty() && url.iter().all(|byte| *byte > 32 && *byte != 127);
        let version_is_good = matches!(version, [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']);
        let good = method_is_good && url_is_good && version_is_good;
        good.then(|| Self { method: method.to_vec(), url: url.to_vec(), ..Self::default() })
    }

    /// Takes a header, without its CRLF.
    pub(super) fn header(&mut self, line: &[u8]) -> Option<()> {
        if !is_header(line) {
            return None;
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (line[..colon].to_ascii_lowercase(), &line[colon + 1..]);
        match name.as_slice() {
            b"authorization" => self.authorization = trimmed(value).to_vec(),
            b"user-agent" => self.user_agent = trimmed(value).to_vec(),
            b"content-length" => self.content_length(value)?,
            b"transfer-encoding" => {
                let last = tokens(value, b"\t ,").last().map(|last| last.eq_ignore_ascii_case(b"chunked"));
                self.chunked = last.or(self.chunked).or(Some(false));
            }
            _ => {}
        }
        Some(())
    }

    /// How the body ends; None when the headers do not tell.
    pub(super) fn body(&self) -> Option<Body> {
        match (self.chunked, self.length) {
            (Some(true), _) => Some(Body::Chunked),
            (Some(false), _) | (None, Length::Bad) => None,
            (None, Length::Known(length)) => Some(Body::Length(length)),
        }
    }

    /// The report that the whole message makes.
    pub(super) fn event(&self, faults: Faults) -> Event {
        let read = if self.authorization.is_empty() { self.message(faults) } else { self.login(faults) };
        read.unwrap_or(Event::INVALID)
    }

    fn content_length(&mut self, value: &[u8]) -> Option<()> {
        if self.length != Length::Known(0) {
            self.length = Length::Bad;
            return Some(());
        }
        let [token] = tokens(value, b"\t ")[..] else { return None };
        self.length = c_integer(token, 10).map_or(Length::Bad, Length::Known);
        Some(())
    }

    fn message(&self, faults: Faults) -> Option<Event> {
        let mut data = vec![("method", text(&self.method, faults)?), ("url", text(&self.url, faults)?)];
        if faults.has(Fault::NoUserAgent) {
            return Some(Event { action: "message", data });
        }
        data.extend(self.user_agent(faults)?);
        Some(Event { action: "message", data })
    }

    fn login(&self, faults: Faults) -> Option<Event> {
        let [b"Basic", credentials] = tokens(&self.authorization, b"\t ")[..] else { return None };
        let credentials = base64::decode(credentials)?;
        let colon = credentials.iter().position(|byte| *byte == b':').filter(|colon| *colon > 0)?;
        let mut data = vec![
            ("method", text(&self.method, faults)?),
            ("url", text(&self.url, faults)?),
            ("username", text(&credentials[..colon], faults)?),
            ("password", text(&credentials[colon + 1..], faults)?),
        ];
        data.extend(self.user_agent(faults)?);
        Some(Event::login(data))
    }

    /// None when it breaks the text rule; nothing inside when there is none.
    fn user_agent(&self, faults: Faults) -> Option<Option<(&'static str, String)>> {
        let agent = text(&self.user_agent, faults)?;
        Some((!agent.is_empty()).then_some(("user_agent", agent)))
    }
}

/// Whether this is `name:value`, the name of token characters (RFC 7230 section 3.2.6) and the value without control characters.
pub(super) fn is_header(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return false };
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let visible = |byte: &u8| *byte == b'\t' || (*byte >= 32 && *byte != 127);
    line[..colon].iter().all(token) && line[colon + 1..].iter().all(visible)
}

/// Whether what follows the `;` of a chunk's size is printable ASCII.
pub(super) fn is_chunk_extension(extension: &[u8]) -> bool {
    extension.iter().all(|byte| (32..=126).contains(byte))
}

fn trimmed(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().take_while(|byte| blank(byte)).count();
    let end = value.iter().rev().take_while(|byte| blank(byte)).count();
    value.get(start..value.len() - end).unwrap_or_default()
}

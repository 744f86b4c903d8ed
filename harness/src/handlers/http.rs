//! An HTTP response, framed by its Content-Length.

use std::time::Duration;

use super::connection::Connection;
use super::session::place;
use super::{Failure, shown};

/// A response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpResponse {
    /// `HTTP/1.1`.
    pub version: String,
    /// For example 401.
    pub status: u16,
    /// The words after it.
    pub reason: String,
    /// Names and values, in their order.
    pub headers: Vec<(String, String)>,
    /// As long as was asked for, or as Content-Length announces.
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// The value of the first header with this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The length that it announces.
    pub fn content_length(&self) -> Option<usize> {
        self.header("content-length")?.trim().parse().ok()
    }
}

impl Connection {
    /// Reads a response: its head up to the empty line, then a body of `body_length` bytes, or as long as it announces.
    #[track_caller]
    pub fn http(&mut self, body_length: Option<usize>) -> Result<HttpResponse, Failure> {
        let place = self.here(place());
        self.http_at(body_length, self.wait, place)
    }

    pub(super) fn http_at(
        &mut self,
        body_length: Option<usize>,
        wait: Duration,
        place: String,
    ) -> Result<HttpResponse, Failure> {
        let head = self.until_at(b"\r\n\r\n", wait, place.clone())?;
        let mut response = parse(&head).ok_or_else(|| Failure::Wrong {
            place: place.clone(),
            expected: "the head of an HTTP response".into(),
            seen: format!("\"{}\" came", shown(&head)),
        })?;
        let length = body_length.or_else(|| response.content_length()).unwrap_or(0);
        if length > 0 {
            response.body = self.exactly_at(length, wait, place)?;
        }
        Ok(response)
    }
}

fn parse(head: &[u8]) -> Option<HttpResponse> {
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.splitn(3, ' ');
    let version = first.next().filter(|version| version.starts_with("HTTP/"))?.to_owned();
    let status = first.next()?.parse().ok()?;
    let reason = first.next().unwrap_or_default().to_owned();
    let header = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    let headers = lines.map(header).collect::<Option<Vec<_>>>()?;
    Some(HttpResponse { version, status, reason, headers, body: Vec::new() })
}

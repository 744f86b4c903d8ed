//! The three answers.

use std::time::SystemTime;

use crate::fault::{Fault, Faults};

/// Bytes of the body of a 401.
const UNAUTHORIZED_BODY: usize = 386;
/// Bytes of the body of a 400.
const BAD_REQUEST_BODY: usize = 231;
/// Bytes of the body of a 414; one more is announced, as the system that this one stands in for does.
const URI_TOO_LONG_BODY: usize = 253;

/// 401, or 403 with [`Fault::WrongCode`]; the connection stays open.
pub(super) fn unauthorized(now: SystemTime, faults: Faults) -> Vec<u8> {
    let status = if faults.has(Fault::WrongCode) { "403 Forbidden" } else { "401 Unauthorized" };
    answer(
        status,
        now,
        "WWW-Authenticate: Basic realm=\"Authentication Required\"\r\n",
        UNAUTHORIZED_BODY,
        &body(status, UNAUTHORIZED_BODY),
    )
}

/// 400; the connection closes.
pub(super) fn bad_request(now: SystemTime) -> Vec<u8> {
    let status = "400 Bad Request";
    answer(status, now, "Connection: close\r\n", BAD_REQUEST_BODY, &body(status, BAD_REQUEST_BODY))
}

/// 414; the connection closes.
pub(super) fn uri_too_long(now: SystemTime) -> Vec<u8> {
    let status = "414 Request-URI Too Long";
    answer(status, now, "Connection: close\r\n", URI_TOO_LONG_BODY + 1, &body(status, URI_TOO_LONG_BODY))
}

fn answer(status: &str, now: SystemTime, header: &str, announced: usize, body: &str) -> Vec<u8> {
    let date = httpdate::fmt_http_date(now);
    format!(
        "HTTP/1.1 {status}\r\nDate: {date}\r\nServer: Apache/2.4\r\n{header}Content-Length: {announced}\r\nContent-Type: text/html; \
         charset=iso-8859-1\r\n\r\n{body}"
    )
    .into()
}

/// A page that says the status, `length` bytes long.
fn body(status: &str, length: usize) -> String {
    let page =
        format!("<!DOCTYPE html>\n<html><head><title>{status}</title></head>\n<body><h1>{status}</h1></body></html>\n");
    format!("{page:<length$}")
}

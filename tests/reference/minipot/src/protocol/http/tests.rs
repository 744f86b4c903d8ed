//! Each row and rule of HTTP.

use std::time::{Duration, UNIX_EPOCH};

use super::super::drive::{lines_however_split, lines_of_chunks, written};
use super::*;

mod reports;

const GET: &str = "GET / HTTP/1.1\r\n";

fn new() -> Http {
    Http::new(|| UNIX_EPOCH + Duration::from_secs(784_111_777), Faults::default())
}

/// What comes of `input`, answers by their code alone.
fn outcome(input: &[u8]) -> Vec<String> {
    short(lines_however_split(&new, input))
}

fn short(lines: Vec<String>) -> Vec<String> {
    let code = |line: String| match line.strip_prefix("HTTP/1.1 ") {
        Some(answer) => answer[..3].to_owned(),
        None => line,
    };
    lines.into_iter().map(code).collect()
}

fn bad() -> Vec<String> {
    vec!["400".into(), "x".into()]
}

#[test]
fn reports_and_says_nothing() {
    assert_eq!(written(&new().open()), ["! connect"]);
    assert_eq!(new().last_words(), None);
}

#[test]
fn answers_carry_their_headers() {
    let common = "Date: Sun, 06 Nov 1994 08:49:37 GMT\\r\\nServer: Apache/2.4\\r\\n";
    let html = "Content-Type: text/html; charset=iso-8859-1\\r\\n\\r\\n";
    let line = |input: &[u8]| {
        lines_of_chunks(&new, &[input]).into_iter().find(|line| line.starts_with("HTTP")).unwrap_or_default()
    };
    let challenge = "WWW-Authenticate: Basic realm=\\\"Authentication Required\\\"\\r\\n";
    let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(9000));
    for (input, status, headers, length) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "401 Unauthorized", format!("{challenge}Content-Length: 386"), 386),
        (b"\r\n", "400 Bad Request", "Connection: close\\r\\nContent-Length: 231".into(), 231),
        (long.as_bytes(), "414 Request-URI Too Long", "Connection: close\\r\\nContent-Length: 254".into(), 253),
    ] {
        let answer = line(input);
        let head = format!("HTTP/1.1 {status}\\r\\n{common}{headers}\\r\\n{html}");
        assert!(answer.starts_with(&head), "{answer}");
        // The body's line ends are two characters here.
        let body = answer[head.len()..].replace("\\n", "\n");
        assert_eq!(body.len(), length, "{status}");
    }
}

#[test]
fn request_lines() {
    let message = |method: &str, url: &str| vec![format!("! message method={method} url={url}"), "401".into()];
    let rows: &[(&[u8], Vec<String>)] = &[
        (b"GET / HTTP/1.1\r\n\r\n", message("GET", "/")),
        (b"get * HTTP/9.0\r\n\r\n", message("get", "*")),
        (b"!~ /\xc3\xa4 HTTP/0.0\r\n\r\n", message("!~", "/ä")),
        (b" / HTTP/1.1\r\n\r\n", message("", "/")),
        (b"GET / HTTP/1.1\n\r\n", bad()),
        (b"\r\nGET / HTTP/1.1\r\n\r\n", bad()),
        (b"\n", bad()),
        (b"GET\r\n", bad()),
        (b"GET /\r\n", bad()),
        (b"GET  HTTP/1.1\r\n", bad()),
        (b"GET  / HTTP/1.1\r\n", bad()),
        (b"GET / HTTP/1.1 \r\n", bad()),
        (b"GET /  HTTP/1.1\r\n", bad()),
        (b"GET / http/1.1\r\n", bad()),
        (b"GET / HTTP/1\r\n", bad()),
        (b"GET / HTTP/1.10\r\n", bad()),
        (b"GET / HTTP/x.1\r\n", bad()),
        (b"G\x7fT / HTTP/1.1\r\n", bad()),
        (b"G\xc3\xa4 / HTTP/1.1\r\n", bad()),
        (b"G\tT / HTTP/1.1\r\n", bad()),
        (b"GET /\x1f HTTP/1.1\r\n", bad()),
        (b"GET /\x7f HTTP/1.1\r\n", bad()),
        (b"GET /\0 HTTP/1.1\r\n", bad()),
    ];
    for (input, expected) in rows {
        assert_eq!(outcome(input), *expected, "{}", input.escape_ascii());
    }
}

#[test]
fn header_lines() {
    let good = ["! message method=GET url=/", "401"];
    for header in
        ["Host: x\r\n", ":\r\n", "a:\r\n", "!#$%&'*+-.^_`|~09azAZ:x\r\n", "a: \tb\u{80}\u{ff}\r\n", "a:b:c\r\n"]
    {
        assert_eq!(outcome(format!("{GET}{header}\r\n").as_bytes()), good, "{header:?}");
    }
    for header in [
        "noline\r\n",
        "a b: c\r\n",
        "a : c\r\n",
        " folded: x\r\n",
        "\tx: y\r\n",
        "a(: c\r\n",
        "a@: c\r\n",
        "a\": c\r\n",
        "a[: c\r\n",
        "ä: c\r\n",
        "a: \x01\r\n",
        "a: \x7f\r\n",
        "a: b\n",
        "a: b\rc\r\n",
        "\n",
    ] {
        assert_eq!(outcome(format!("{GET}{header}\r\n").as_bytes()), bad(), "{header:?}");
    }
}

#[test]
fn limits() {
    let url = |length: usize| format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(length - 16));
    let one = |input: &str| short(lines_of_chunks(&new, &[input.as_bytes()]));
    assert_eq!(one(&url(8192)).last().map(String::as_str), Some("401"));
    assert_eq!(one(&url(8193)), ["414", "x"]);
    let header = |length: usize| format!("{GET}a:{}\r\n\r\n", "x".repeat(length - 4));
    assert_eq!(one(&header(8192)).last().map(String::as_str), Some("401"));
    assert_eq!(one(&header(8193)), bad());
    assert_eq!(one(&format!("{GET}{}\r\n", "a:b\r\n".repeat(99))).last().map(String::as_str), Some("401"));
    assert_eq!(one(&format!("{GET}{}\r\n", "a:b\r\n".repeat(100))), bad());
    let again = format!("{GET}{}\r\n", "a:b\r\n".repeat(99)).repeat(2);
    assert_eq!(one(&again).len(), 4, "headers count for each message");

    let done = one(&format!("{GET}\r\n").repeat(130));
    assert_eq!(done.len(), 201);
    assert_eq!(&done[198..], ["! message method=GET url=/", "401", "x"]);
}

#[test]
fn bodies_with_a_length() {
    let message = ["! message method=GET url=/", "401"];
    for (header, body) in [
        ("Content-Length: 5", "12345"),
        ("content-length:\t5 ", "GET /"),
        ("Content-Length: 0", ""),
        ("Content-Length: 5abc", "12345"),
        ("Content-Length: +5", "12345"),
        ("Content-Length: 0x5", ""),
        ("Content-Length: 0\r\nContent-Length: 5", "12345"),
        ("Content-Length: 05", "\r\n\r\n\n"),
    ] {
        let input = format!("{GET}{header}\r\n\r\n{body}{GET}\r\n");
        assert_eq!(outcome(input.as_bytes()), [message, message].concat(), "{header:?}");
    }
    assert_eq!(
        outcome(format!("{GET}Content-Length: 9223372036854775807\r\n\r\nxyz").as_bytes()),
        Vec::<String>::new()
    );
    for header in [
        "Content-Length: -1",
        "Content-Length:",
        "Content-Length: x",
        "Content-Length: 9223372036854775808",
        "Content-Length: 1 2",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 0",
    ] {
        assert_eq!(outcome(format!("{GET}{header}\r\n\r\n12345").as_bytes()), bad(), "{header:?}");
    }
}

#[test]
fn bodies_in_chunks() {
    let message = ["! message method=GET url=/", "401"];
    let te = "Transfer-Encoding: chunked\r\n";
    for (headers, body) in [
        (te, "0\r\n\r\n"),
        (te, "5\r\n12345\r\n0\r\n\r\n"),
        (te, "5;a=b\r\n\r\n\r\n\n\r\n0;x\r\n\r\n"),
        (te, "0xA\r\n1234567890\r\na\r\n1234567890\r\n00\r\n\r\n"),
        (te, "1 y\r\nx\r\n0\r\na: b\r\nc: d\r\n\r\n"),
        ("transfer-encoding: gzip,  CHUNKED\r\n", "1\r\nx\r\n0\r\n\r\n"),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "1\r\nx\r\n0\r\n\r\n"),
        ("Content-Length: -5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        (te, "0\r\nAuthorization: Basic x\r\nUser-Agent: y\r\n\r\n"),
    ] {
        let input = format!("{GET}{headers}\r\n{body}{GET}\r\n");
        assert_eq!(outcome(input.as_bytes()), [message, message].concat(), "{headers:?} {body:?}");
    }
    for (headers, body) in [
        ("Transfer-Encoding: gzip\r\n", ""),
        ("Transfer-Encoding:\r\n", ""),
        ("Transfer-Encoding: chunked, gzip\r\n", ""),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", ""),
        ("Content-Length: 5\r\nTransfer-Encoding: gzip\r\n", "12345"),
        (te, "\r\n"),
        (te, "x\r\n"),
        (te, "-1\r\n"),
        (te, "8000000000000000\r\n"),
        (te, ";a\r\n"),
        (te, "1;\x01\r\n"),
        (te, "1\n"),
        (te, "1\r\nxy\r\n"),
        (te, "1\r\nx\n"),
        (te, "0\r\nbad\r\n\r\n"),
        (te, "0\r\na(: b\r\n\r\n"),
    ] {
        assert_eq!(outcome(format!("{GET}{headers}\r\n{body}").as_bytes()), bad(), "{headers:?} {body:?}");
    }
    let trailers = |count: usize| format!("{GET}{te}\r\n0\r\n{}\r\n", "a:b\r\n".repeat(count));
    assert_eq!(short(lines_of_chunks(&new, &[trailers(98).as_bytes()])), message);
    assert_eq!(short(lines_of_chunks(&new, &[trailers(99).as_bytes()])), bad());
}

//! What a message reports.

use super::*;

/// The report of a request for `/` with these headers.
fn report(headers: &[u8]) -> String {
    let done = outcome(&[GET.as_bytes(), headers, b"\r\n"].concat());
    assert_eq!(done.len(), 2, "{}", headers.escape_ascii());
    assert_eq!(done[1], "401");
    done[0].clone()
}

#[test]
fn messages() {
    for (headers, expected) in [
        (&b""[..], "! message method=GET url=/"),
        (b"User-Agent: me/1.0 \t\r\n", "! message method=GET url=/ user_agent=me/1.0"),
        (b"user-agent:x\r\nUSER-AGENT: y z\r\n", "! message method=GET url=/ user_agent=y z"),
        (b"User-Agent: x\r\nUser-Agent: \t \r\n", "! message method=GET url=/"),
        (b"User-Agent: \xff\r\n", "! invalid"),
        ("User-Agent: ☃\r\n".as_bytes(), "! message method=GET url=/ user_agent=☃"),
        (b"Authorization:\r\n", "! message method=GET url=/"),
        (b"Authorization: Basic bWU6eA==\r\nAuthorization: \t\r\n", "! message method=GET url=/"),
    ] {
        assert_eq!(report(headers), expected, "{}", headers.escape_ascii());
    }
    assert_eq!(outcome(b"GET /\xff HTTP/1.1\r\n\r\n"), ["! invalid", "401"]);
}

#[test]
fn logins() {
    let login = |user: &str, password: &str| format!("! login method=GET url=/ username={user} password={password}");
    for (value, expected) in [
        ("Basic bWU6c2VjcmV0", login("me", "secret")),
        (" \tBasic  \t bWU6c2VjcmV0 \t", login("me", "secret")),
        // me:a:b, me:, then unpadded forms of the first
        ("Basic bWU6YTpi", login("me", "a:b")),
        ("Basic bWU6", login("me", "")),
        ("Basic bWU6eA", login("me", "x")),
        ("Basic bWU6eA=", login("me", "x")),
        ("Basic bWU6eA==", login("me", "x")),
        ("basic bWU6eA==", "! invalid".into()),
        ("Digest bWU6eA==", "! invalid".into()),
        ("Basic", "! invalid".into()),
        ("bWU6eA==", "! invalid".into()),
        ("Basic bWU6eA== x", "! invalid".into()),
        ("Basic bWU", "! invalid".into()),
        ("Basic OnNlY3JldA==", "! invalid".into()),
        ("Basic !", "! invalid".into()),
        // me:~?? in the standard and the URL-safe alphabet; then a byte that is no UTF-8, and a NUL
        ("Basic bWU6fj8/", login("me", "~??")),
        ("Basic bWU6fj8_", "! invalid".into()),
        ("Basic bWU6/w==", "! invalid".into()),
        ("Basic bWU6AA==", "! invalid".into()),
    ] {
        assert_eq!(report(format!("Authorization: {value}\r\n").as_bytes()), expected, "{value:?}");
    }
    let agent = "! login method=GET url=/ username=me password=x user_agent=y";
    assert_eq!(report(b"User-Agent: y\r\nAuthorization: Basic bWU6eA==\r\n"), agent);
    assert_eq!(report(b"User-Agent: \xff\r\nAuthorization: Basic bWU6eA==\r\n"), "! invalid");
    let bad_url = b"GET /\xff HTTP/1.1\r\nAuthorization: Basic bWU6eA==\r\n\r\n";
    assert_eq!(outcome(bad_url), ["! invalid", "401"]);
}

#[test]
fn headers_are_those_of_their_request() {
    let first = format!("{GET}User-Agent: x\r\nAuthorization: Basic bWU6eA==\r\n\r\n");
    let done = outcome(format!("{first}POST /b HTTP/1.0\r\n\r\n").as_bytes());
    assert_eq!(done[2], "! message method=POST url=/b");
}

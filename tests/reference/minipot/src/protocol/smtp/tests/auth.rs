//! Each rule of AUTH.

use super::*;
use crate::protocol::drive::lines_however_split;

/// base64 of `me@here.cz`, `secret`, and of PLAIN's message with both.
const USER: &str = "bWVAaGVyZS5jeg==";
const SECRET: &str = "c2VjcmV0";
const PLAIN: &str = "AG1lQGhlcmUuY3oAc2VjcmV0";

const F: &str = "535 5.7.8 Error: authentication failed:";
const ASK_USER: &str = "334 VXNlcm5hbWU6";
const ASK_PASSWORD: &str = "334 UGFzc3dvcmQ6";
const PLAIN_LOGIN: &str = "! login password=secret mechanism=plain our_domain=mx1.host.cz domain=here.cz username=me";
const LOGIN_LOGIN: &str = "! login username=me password=secret mechanism=login our_domain=mx1.host.cz domain=here.cz";

fn f(end: &str) -> String {
    format!("{F} {end}")
}

/// Base64 without padding, by hand: tests shall not decode with what they test.
fn encode(bytes: &[u8]) -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let six = |bits: &[u8]| (0..6).fold(0, |value, at| value << 1 | usize::from(*bits.get(at).unwrap_or(&0)));
    bits.chunks(6).map(|bits| char::from(letters[six(bits)])).collect()
}

#[test]
fn arguments_and_mechanisms() {
    let syntax = "501 5.5.4 Syntax: AUTH mechanism";
    assert_eq!(after(HELO, "AUTH\r\n"), [syntax]);
    assert_eq!(after(HELO, "AUTH PLAIN a b\r\n"), [syntax]);
    assert_eq!(after(HELO, "AUTH NTLM a b\r\n"), [syntax]);
    let unknown = f("Invalid authentication mechanism");
    for input in ["AUTH CRAM-MD5\r\n", "AUTH NTLM abc=\r\n", "AUTH PLAINX\r\n"] {
        assert_eq!(after(HELO, input), ["! invalid", &unknown], "{input:?}");
        assert_eq!(errors(HELO, input), 1);
    }
}

#[test]
fn plain() {
    let initial = "Invalid base64 data in initial response";
    let continued = "Invalid base64 data in continued response";
    let login = vec![PLAIN_LOGIN.to_owned(), F.into()];
    let asked = |rest: &[String]| [&["334 ".to_owned()], rest].concat();
    let bad = |end: &str| vec!["! invalid".to_owned(), f(end)];
    let invalid = vec!["! invalid".to_owned(), F.into()];
    let aborted = ["! invalid".to_owned(), "501 5.7.0 Authentication aborted".into()];
    let rows: &[(String, Vec<String>, u32)] = &[
        (format!("AUTH PLAIN {PLAIN}\r\n"), login.clone(), 1),
        (format!("auth plain {PLAIN}\n"), login.clone(), 1),
        (format!("AUTH PLAIN\r\n{PLAIN}\r\n"), asked(&login), 1),
        (format!("AUTH PLAIN\r\n{PLAIN}\n"), asked(&login), 1),
        ("AUTH PLAIN a*b\r\n".into(), bad(initial), 1),
        ("AUTH PLAIN =\r\n".into(), bad(initial), 1),
        ("AUTH PLAIN\r\na*b\r\n".into(), asked(&bad(continued)), 1),
        (format!("AUTH PLAIN\r\n{PLAIN} \r\n"), asked(&bad(continued)), 1),
        ("AUTH PLAIN\r\nA\r\n".into(), asked(&bad(continued)), 1),
        ("AUTH PLAIN\r\nNOOP!\r\n".into(), asked(&bad(continued)), 1),
        ("AUTH PLAIN\r\n\r\n".into(), asked(&invalid), 1),
        ("AUTH PLAIN\r\n\n".into(), asked(&invalid), 1),
        ("AUTH PLAIN\r\n*\r\n".into(), asked(&aborted), 0),
        ("AUTH PLAIN\r\nQUIT\r\n".into(), asked(&invalid), 1),
    ];
    for (input, expected, counted) in rows {
        assert_eq!(after(HELO, input), *expected, "{input:?}");
        assert_eq!(errors(HELO, input), *counted, "{input:?}");
        // Authentication is over, and commands are known again.
        assert_eq!(after(HELO, &format!("{input}MAIL FROM:x\r\n")).last().map(String::as_str), Some(OK), "{input:?}");
    }
}

#[test]
fn messages_of_plain() {
    let ends = |user: &str, domain: &str, password: &str| {
        format!("! login password={password} mechanism=plain our_domain=mx1.host.cz domain={domain} username={user}")
    };
    let rows: &[(&[u8], String)] = &[
        (b"\0me\0secret", ends("me", "", "secret")),
        (b"ignored\xff\0me\0secret", ends("me", "", "secret")),
        (b"\0me\0", ends("me", "", "")),
        (b"\0a@b@c\0x", ends("a@b", "c", "x")),
        (b"\0@c\0x", ends("", "c", "x")),
        (b"\0a@\0x", ends("a", "", "x")),
        (b"\0\0secret", "! invalid".into()),
        (b"\0me", "! invalid".into()),
        (b"mesecret", "! invalid".into()),
        (b"\0me\xff\0x", "! invalid".into()),
        (b"\0me\0\xed\xa0\x80", "! invalid".into()),
        (b"\0me\0a\0b", "! invalid".into()),
    ];
    for (message, report) in rows {
        let input = format!("AUTH PLAIN {}\r\n", encode(message));
        assert_eq!(after(HELO, &input), [report.as_str(), F], "{}", message.escape_ascii());
    }
}

#[test]
fn login() {
    let end = f("UGFzc3dvcmQ6");
    let whole = [ASK_USER, ASK_PASSWORD, LOGIN_LOGIN, &end];
    assert_eq!(after(HELO, &format!("AUTH LOGIN\r\n{USER}\r\n{SECRET}\r\n")), whole);
    assert_eq!(after(HELO, &format!("auth login {USER}\r\n{SECRET}\n")), whole[1..]);
    assert_eq!(errors(HELO, &format!("AUTH LOGIN {USER}\r\n{SECRET}\n")), 1);
    assert_eq!(after(HELO, "AUTH LOGIN\r\n\r\n"), [ASK_USER, "! invalid", &f("VXNlcm5hbWU6")]);
    assert_eq!(after(HELO, "AUTH LOGIN bWU=\r\n\r\n"), [ASK_PASSWORD, "! invalid", &end]);
    let continued = f("Invalid base64 data in continued response");
    assert_eq!(after(HELO, "AUTH LOGIN\r\n_\r\n"), [ASK_USER, "! invalid", &continued]);
    assert_eq!(after(HELO, "AUTH LOGIN bWU=\r\n-\r\n"), [ASK_PASSWORD, "! invalid", &continued]);
    let initial = f("Invalid base64 data in initial response");
    assert_eq!(after(HELO, "AUTH LOGIN b_\r\n"), ["! invalid", &initial]);
    let aborted = "501 5.7.0 Authentication aborted";
    assert_eq!(after(HELO, "AUTH LOGIN\r\n*\r\n"), [ASK_USER, "! invalid", aborted]);
    assert_eq!(after(HELO, "AUTH LOGIN bWU=\r\n*\n"), [ASK_PASSWORD, "! invalid", aborted]);
    assert_eq!(errors(HELO, "AUTH LOGIN bWU=\r\n*\n"), 0);
}

#[test]
fn credentials_of_login() {
    let end = f("UGFzc3dvcmQ6");
    let report = |user: &str, domain: &str, password: &str| {
        format!("! login username={user} password={password} mechanism=login our_domain=mx1.host.cz domain={domain}")
    };
    let rows: &[(&[u8], &[u8], String)] = &[
        (b"me", b"x", report("me", "", "x")),
        (b"a@b@c", b"x", report("a@b", "c", "x")),
        (b"@c", b"x", report("", "c", "x")),
        (b"m\0", b"x", "! invalid".into()),
        (b"me", b"\xff", "! invalid".into()),
        (b"m\xff", b"x", "! invalid".into()),
    ];
    for (user, password, report) in rows {
        let input = format!("AUTH LOGIN {}\r\n{}\r\n", encode(user), encode(password));
        assert_eq!(after(HELO, &input), [ASK_PASSWORD, report, &end], "{}", user.escape_ascii());
    }
    // `==` is the empty user name.
    let input = format!("{HELO}AUTH LOGIN\r\n==\r\n==\r\n");
    assert_eq!(lines_however_split(&new, input.as_bytes())[3], report("", "", ""));
}

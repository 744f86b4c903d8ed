//! Each row and rule of SMTP.

use super::super::drive::{lines, lines_however_split, lines_of_chunks, written};
use super::*;

mod auth;

const HELO: &str = "EHLO me\r\n";
const MAIL: &str = "EHLO me\r\nMAIL FROM:<a@b>\r\n";
const OK: &str = "250 2.0.0 Ok";
const SYNTAX: &str = "500 5.5.2 Error: bad syntax";
const UNKNOWN: &str = "502 5.5.2 Error: command not recognized";
const DENIED: &str = "554 5.7.1 <unknown[127.9.8.7]>: Client host rejected: Access denied";
const MAIL_SYNTAX: &str = "501 5.5.4 Syntax: MAIL FROM:<address>";
const RCPT_SYNTAX: &str = "501 5.5.4 Syntax: RCPT TO:<address>";
const NO_HELO: &str = "503 5.5.1 Error: send HELO/EHLO first";
const NO_MAIL: &str = "503 5.5.1 Error: need MAIL command";
const LONG: &str = "500 5.5.0 Error: line too long";
const END: &str = "421 4.7.0 mx1.host.cz Error: too many errors";

fn new() -> Smtp {
    Smtp::new("mx1.host.cz".into(), "127.9.8.7".into(), Faults::default())
}

/// What comes of `input` after what `before` says; and of nothing else, however it is split.
fn after(before: &str, input: &str) -> Vec<String> {
    let skipped = lines(&new, before.as_bytes()).len();
    lines_however_split(&new, format!("{before}{input}").as_bytes()).split_off(skipped)
}

/// Whether `input`, after `before`, counts as so many errors.
fn errors(before: &str, input: &str) -> u32 {
    let mut smtp = new();
    let whole = format!("{before}{input}");
    let mut rest = whole.as_bytes();
    while !rest.is_empty() {
        let taken = smtp.advance(rest, &mut Vec::new());
        rest = &rest[taken..];
    }
    smtp.errors
}

#[test]
fn greets_then_reports() {
    assert_eq!(written(&new().open()), ["220 mx1.host.cz ESMTP Postfix (Debian/GNU)", "! connect"]);
}

#[test]
fn commands_that_answer_the_same_in_every_state() {
    let ehlo = "250-mx1.host.cz\\r\\n250-PIPELINING\\r\\n250-SIZE 26214400\\r\\n250-ETRN\\r\\n250-AUTH PLAIN LOGIN\\r\\n\
                250-ENHANCEDSTATUSCODES\\r\\n250-8BITMIME\\r\\n250-DSN\\r\\n250 SMTPUTF8";
    let rows: &[(&str, &[&str], u32)] = &[
        ("\r\n", &[SYNTAX], 1),
        ("\n", &[SYNTAX], 1),
        (" \t\x0b\x0c \r\n", &[SYNTAX], 1),
        ("HELP\r\n", &[UNKNOWN], 1),
        ("STARTTLS\r\n", &[UNKNOWN], 1),
        ("EHLOO x\r\n", &[UNKNOWN], 1),
        ("\x01EHLO x\r\n", &[UNKNOWN], 1),
        ("EHLO x\r\n", &[ehlo], 0),
        ("eHlO x y\n", &[ehlo], 0),
        (" \tEHLO\x0bx\r\n", &[ehlo], 0),
        ("HELO x\r\n", &["250 mx1.host.cz"], 0),
        ("helo x y\r\n", &["250 mx1.host.cz"], 0),
        ("EHLO\r\n", &["501 Syntax: EHLO hostname"], 1),
        ("HELO \r\n", &["501 Syntax: HELO hostname"], 1),
        ("NOOP\r\n", &[OK], 0),
        ("noop x y\r\n", &[OK], 0),
        ("RSET\r\n", &[OK], 0),
        ("rset\r\r\n", &[OK], 0),
        ("RSET x\r\n", &["501 5.5.4 Syntax: RSET"], 1),
        ("VRFY\r\n", &["502 5.5.1 VRFY command is disabled"], 1),
        ("VRFY x\r\n", &["502 5.5.1 VRFY command is disabled"], 1),
        ("QUIT\r\nNOOP\r\n", &["221 2.0.0 Bye", "x"], 0),
        ("quit x\n", &["221 2.0.0 Bye", "x"], 0),
        ("NOOP", &[], 0),
    ];
    for state in ["", HELO, MAIL] {
        for (input, expected, counted) in rows {
            assert_eq!(after(state, input), *expected, "{input:?} after {state:?}");
            assert_eq!(errors(state, input), *counted, "{input:?} after {state:?}");
        }
    }
}

#[test]
fn commands_that_depend_on_the_state() {
    let in_progress = "503 5.5.1 Error: MAIL transaction in progress";
    let nested = "503 5.5.1 Error: nested MAIL command";
    let etrn_helo = "503 Error: send HELO/EHLO first";
    let etrn_mail = "503 Error: MAIL transaction in progress";
    let etrn_syntax = "500 Syntax: ETRN domain";
    let no_rcpt = "503 5.5.1 Error: need RCPT command";
    let no_recipients = "554 5.5.1 Error: no valid recipients";
    // In start, after HELO, after MAIL; every reply but Ok is an error.
    let rows: &[(&str, [&str; 3])] = &[
        ("MAIL FROM:<a@b>\r\n", [NO_HELO, OK, nested]),
        ("mail from:x y\r\n", [NO_HELO, OK, nested]),
        ("MAIL FROM: x\r\n", [NO_HELO, OK, nested]),
        ("MAIL FROM:\r\n", [NO_HELO, MAIL_SYNTAX, nested]),
        ("MAIL FROM\r\n", [NO_HELO, MAIL_SYNTAX, nested]),
        ("MAIL FROM x\r\n", [NO_HELO, MAIL_SYNTAX, nested]),
        ("MAIL to:x\r\n", [NO_HELO, MAIL_SYNTAX, nested]),
        ("MAIL\r\n", [NO_HELO, MAIL_SYNTAX, nested]),
        ("RCPT TO:<a@b>\r\n", [NO_MAIL, NO_MAIL, DENIED]),
        ("rcpt to: x\r\n", [NO_MAIL, NO_MAIL, DENIED]),
        ("RCPT TO:\r\n", [NO_MAIL, NO_MAIL, RCPT_SYNTAX]),
        ("RCPT x\r\n", [NO_MAIL, NO_MAIL, RCPT_SYNTAX]),
        ("RCPT from:x\r\n", [NO_MAIL, NO_MAIL, RCPT_SYNTAX]),
        ("RCPT\r\n", [NO_MAIL, NO_MAIL, RCPT_SYNTAX]),
        ("DATA\r\n", [no_rcpt, no_rcpt, no_recipients]),
        ("data x\r\n", [no_rcpt, no_rcpt, no_recipients]),
        ("ETRN x\r\n", [etrn_helo, DENIED, etrn_mail]),
        ("ETRN\r\n", [etrn_helo, etrn_syntax, etrn_mail]),
        ("etrn x y\r\n", [etrn_helo, etrn_syntax, etrn_mail]),
        ("AUTH PLAIN\r\n", [NO_HELO, "334 ", in_progress]),
        ("AUTH\r\n", [NO_HELO, "501 5.5.4 Syntax: AUTH mechanism", in_progress]),
    ];
    for (input, expected) in rows {
        for (state, expected) in ["", HELO, MAIL].into_iter().zip(expected) {
            assert_eq!(after(state, input), [*expected], "{input:?} after {state:?}");
            let good = *expected == OK || expected.starts_with("334");
            assert_eq!(errors(state, input), u32::from(!good), "{input:?} after {state:?}");
        }
    }
}

#[test]
fn states_change_as_they_should() {
    for (before, input, expected) in [
        ("HELO x\r\n", "RCPT TO:x\r\n", NO_MAIL),
        (MAIL, "RSET\r\nRCPT TO:x\r\n", NO_MAIL),
        (MAIL, "RSET x\r\nRCPT TO:x\r\n", DENIED),
        (MAIL, "EHLO x\r\nRCPT TO:x\r\n", NO_MAIL),
        (MAIL, "HELO x\r\nMAIL FROM:x\r\n", OK),
        (MAIL, "EHLO\r\nRCPT TO:x\r\n", DENIED),
        ("", "RSET\r\nMAIL FROM:x\r\n", NO_HELO),
        (HELO, "MAIL\r\nRCPT TO:x\r\n", NO_MAIL),
        (MAIL, "RCPT TO:x\r\nRCPT TO:x\r\n", DENIED),
    ] {
        assert_eq!(after(before, input).last().map(String::as_str), Some(expected), "{input:?} after {before:?}");
    }
}

#[test]
fn twentieth_error_is_the_last() {
    let good = "NOOP\r\n";
    let input = format!("{}{}{}", "HELP\r\n".repeat(19), good.repeat(30), "HELP\r\n".repeat(5));
    let done = lines(&new, input.as_bytes());
    assert_eq!(done.len(), 19 + 30 + 3);
    assert_eq!(&done[49..], [UNKNOWN, END, "x"]);
}

#[test]
fn long_lines_are_errors_by_the_chunk() {
    let noop = |length: usize| format!("NOOP {}\n", "x".repeat(length - 6));
    assert_eq!(lines(&new, noop(16384).as_bytes()), [OK]);
    assert_eq!(lines(&new, noop(16385).as_bytes()), [LONG]);
    let chunk = "x".repeat(8192);
    let chunks = [chunk.as_bytes(), chunk.as_bytes(), chunk.as_bytes(), b" NOOP\n"];
    assert_eq!(lines_of_chunks(&new, &chunks), [LONG, OK]);
    let done = lines(&new, format!("{}\n", "x".repeat(16384)).repeat(25).as_bytes());
    assert_eq!(&done[18..], [LONG, LONG, END, "x"]);
}

#[test]
fn says_that_it_times_out() {
    assert_eq!(new().last_words().as_deref(), Some(&b"421 4.4.2 mx1.host.cz Error: timeout exceeded\r\n"[..]));
}

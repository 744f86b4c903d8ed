//! Each row and rule of FTP.

use super::super::drive::{lines, lines_however_split, lines_of_chunks, written};
use super::*;

const ASKS: &str = "331 Please specify the password.";
const FAILS: &str = "530 Login incorrect.";
const NO_USER: &str = "503 Login with USER first.";
const OTHER: &str = "530 Please login with USER and PASS.";
const UTF8: &str = "200 Always in UTF8 mode.";
const NO_OPTION: &str = "501 Option not understood.";
const LONG: &str = "500 Input line too long.";

fn new() -> Ftp {
    Ftp::new(Faults::default())
}

#[test]
fn greets_then_reports() {
    assert_eq!(written(&new().open()), ["220 (vsFTPd 3.0.3)", "! connect"]);
}

#[test]
fn each_command_gets_its_reply_and_report() {
    let login = "! login username=me password=secret";
    let rows: &[(&str, &[&str])] = &[
        ("USER me\r\n", &[ASKS]),
        ("user me\n", &[ASKS]),
        ("USER\r\n", &[ASKS]),
        ("USER \r\n", &[ASKS]),
        ("USER me\r\nPASS secret\r\n", &[ASKS, login, FAILS]),
        ("USER me\r\nUSER\r\nPASS secret\r\n", &[ASKS, ASKS, login, FAILS]),
        ("USER me\r\nUSER you\r\nPASS x\r\n", &[ASKS, ASKS, "! login username=you password=x", FAILS]),
        ("uSeR me\npAsS secret\n", &[ASKS, login, FAILS]),
        ("USER me\r\nPASS\r\n", &[ASKS, "! login username=me password=", FAILS]),
        ("USER a b \r\nPASS  c\r\n", &[ASKS, "! login username=a b  password= c", FAILS]),
        ("USER a\r\nPASS b\r\r\n", &[ASKS, "! login username=a password=b\r", FAILS]),
        ("USER me\r\nPASS a\r\nPASS b\r\n", &[ASKS, "! login username=me password=a", FAILS, "! invalid", NO_USER]),
        ("PASS x\r\n", &["! invalid", NO_USER]),
        ("USER\r\nPASS x\r\n", &[ASKS, "! invalid", NO_USER]),
        ("OPTS utf8 on\r\n", &[UTF8]),
        ("OPTS UTF8 ON\r\n", &[UTF8]),
        ("opts u\r\n", &[UTF8]),
        ("OPTS utf8 o\r\n", &[UTF8]),
        ("OPTS utf8 on \r\n", &[NO_OPTION]),
        ("OPTS utf8 off\r\n", &[NO_OPTION]),
        ("OPTS\r\n", &[NO_OPTION]),
        ("OPTS \r\n", &[NO_OPTION]),
        ("QUIT\r\nUSER me\r\n", &["221 Goodbye.", "x"]),
        ("quit now\n", &["221 Goodbye.", "x"]),
        ("LIST\r\nPASSX\r\n USER me\r\n\tUSER me\r\n", &[OTHER, OTHER, OTHER, OTHER]),
        ("\r\n\n\r\n", &[]),
        ("USER me", &[]),
        ("\r\r\n", &[OTHER]),
    ];
    for (input, expected) in rows {
        assert_eq!(lines_however_split(&new, input.as_bytes()), *expected, "{input:?}");
    }
}

#[test]
fn lists_its_features() {
    let features = "211-Features:\\r\\n EPRT\\r\\n EPSV\\r\\n MDTM\\r\\n PASV\\r\\n REST STREAM\\r\\n SIZE\\r\\n TVFS\\r\\n211 End";
    assert_eq!(lines(&new, b"FEAT\r\nfeat x\r\n"), [features, features]);
}

#[test]
fn text_rule_makes_it_invalid_with_the_same_reply() {
    for input in [&b"USER a\xff\r\nPASS b\r\n"[..], b"USER a\r\nPASS \xc0\xaf\r\n", b"USER a\r\nPASS \0\r\n"] {
        assert_eq!(lines_however_split(&new, input), [ASKS, "! invalid", FAILS], "{}", input.escape_ascii());
    }
    let input = "USER ä\r\nPASS ☃\r\n";
    assert_eq!(lines_however_split(&new, input.as_bytes()), [ASKS, "! login username=ä password=☃", FAILS]);
}

#[test]
fn hundredth_attempt_is_the_last() {
    let attempt = "USER \u{7f}\r\nPASS x\r\n";
    let bad = "PASS x\r\n";
    let done = lines(&new, format!("{}{}{}", bad.repeat(150), attempt.repeat(99), bad.repeat(10)).as_bytes());
    assert!(done.len() == 150 * 2 + 99 * 3 + 20 && !done.contains(&"x".into()));
    let invalid = [b"USER \xff\r\nPASS x\r\n".repeat(50), attempt.repeat(51).into_bytes()].concat();
    let done = lines(&new, &invalid);
    assert_eq!(done.len(), 100 * 3 + 1);
    assert_eq!(&done[298..], ["! login username=\u{7f} password=x", FAILS, "x"]);
}

#[test]
fn long_lines_are_discarded_by_the_chunk() {
    let user = |length: usize| format!("USER {}\n", "x".repeat(length - 6));
    assert_eq!(lines(&new, user(4096).as_bytes()), [ASKS]);
    assert_eq!(lines(&new, user(4097).as_bytes()), [LONG]);
    let long = "x".repeat(5000);
    let chunks = [long.as_bytes(), long.as_bytes(), b"PASS y\nNOOP\n"];
    assert_eq!(lines_of_chunks(&new, &chunks), [LONG, LONG, "! invalid", NO_USER, OTHER]);
    let kept = "x".repeat(4000);
    assert_eq!(lines_of_chunks(&new, &[kept.as_bytes(), kept.as_bytes(), b"FOO\n"]), [LONG, OTHER]);
}

#[test]
fn says_that_it_times_out() {
    assert_eq!(new().last_words().as_deref(), Some(&b"421 Timeout.\r\n"[..]));
}

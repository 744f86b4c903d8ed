//! Each row and rule of Telnet.

use super::super::drive::{lines, lines_however_split, written};
use super::*;

const USER: &str = "Username: \\xff\\xf9";
const PASSWORD: &str = "Password: \\xff\\xf9";
const FAILS: &str = "Login incorrect\\r\\n\\xff\\xf9";
const ERROR: &str = "Protocol error\\r\\n\\xff\\xf9";

fn new() -> Telnet {
    Telnet::new(Faults::default())
}

#[test]
fn prompts_then_reports() {
    assert_eq!(written(&new().open()), [USER, "! connect"]);
}

#[test]
fn lines_and_commands() {
    let failed = |report: &'static str| vec![PASSWORD, report, FAILS, USER];
    let rows: Vec<(&[u8], Vec<&str>)> = vec![
        (b"me\r\n", vec![PASSWORD]),
        (b"me\r\nsecret\r\n", failed("! login username=me password=secret")),
        (b"\r\nsecret\r\n", failed("! invalid")),
        (b"me\r\n\r\n", failed("! login username=me password=")),
        // IAC CR: no command is below 240.
        (b"m\xff\r\n", vec!["x"]),
        (b"m\xc0\xaf\r\nx\r\n", failed("! invalid")),
        (b"m\r\n\0\r\n", failed("! invalid")),
        ("ä\r\n☃\r\n".as_bytes(), failed("! login username=ä password=☃")),
        (b"a\nb\r\n\nc\r\n", failed("! login username=a\nb password=\nc")),
        (b"a\rbc\r\nx\r\n", failed("! login username=ac password=x")),
        (b"a\r\r\nb\r\nx\r\n", failed("! login username=a\nb password=x")),
        (b"a\r\0b\r\nx\r\n", failed("! login username=ab password=x")),
        (b"a\r\xffb\r\nx\r\n", failed("! login username=ab password=x")),
        (b"\xff\xfd\x01", vec!["\\xff\\xfc\\x01"]),
        (b"\xff\xfb\xff", vec!["\\xff\\xfe\\xff"]),
        (b"\xff\xfe\x01\xff\xfc\x01", vec![]),
        (b"a\xff\xfd\x03b\r\nx\r\n", [vec!["\\xff\\xfc\\x03"], failed("! login username=ab password=x")].concat()),
        (b"a\xff\xfa\x18\x00\xff\xffx\r\n\xff\xf0b\r\nx\r\n", failed("! login username=ab password=x")),
        (b"ab\xff\xf7c\r\nx\xff\xf7\xff\xf7y\r\n", failed("! login username=ac password=y")),
        (b"ab\xff\xf8c\r\nx\r\n", failed("! login username=c password=x")),
        (
            b"a\xff\xf1\xff\xf2\xff\xf3\xff\xf4\xff\xf5\xff\xf6\xff\xf9b\r\nx\r\n",
            failed("! login username=ab password=x"),
        ),
        (b"a\xff\xff\r\nb\r\n", vec![ERROR, "x"]),
        (b"\xff\xf0", vec![ERROR, "x"]),
        (b"\xff\xef\r\n", vec!["x"]),
        (b"\xff\x00", vec!["x"]),
    ];
    for (input, expected) in rows {
        assert_eq!(lines_however_split(&new, input), expected, "{}", input.escape_ascii());
    }
}

#[test]
fn keeps_the_first_1024_bytes() {
    let user = "u".repeat(1024);
    let done = lines(&new, format!("{user}vw\r\n{user}{user}\r\n").as_bytes());
    assert_eq!(done[1], format!("! login username={user} password={user}"));
    // What was dropped cannot be erased.
    let done = lines(&new, &[user.as_bytes(), b"vw\xff\xf7z\r\np\r\n"].concat());
    assert_eq!(done[1], format!("! login username={}z password=p", &user[1..]));
}

#[test]
fn twentieth_attempt_is_the_last() {
    let done = lines(&new, "a\r\nb\r\n".repeat(30).as_bytes());
    assert_eq!(done.len(), 20 * 4);
    assert_eq!(done.iter().filter(|line| line.starts_with('!')).count(), 20);
    assert_eq!(&done[76..], [PASSWORD, "! login username=a password=b", FAILS, "x"]);
}

#[test]
fn times_out_in_silence() {
    assert_eq!(new().last_words(), None);
}

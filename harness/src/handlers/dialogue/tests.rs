//! Dialogues that are read, refused by their place, and played.

#![allow(clippy::unwrap_used)]
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::*;
use crate::endpoint::Endpoint;
use crate::handlers::{Scenario, child};
use crate::history::{HandlerEnd, HandlerStep};

/// A server that sends and awaits by turns, connection after connection; a trailing turn ends with a close.
enum Turn {
    Say(&'static [u8]),
    Hear(usize),
    Rest(u64),
}

fn server(turns: Vec<Turn>) -> (Endpoint, thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().into();
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut heard = Vec::new();
        for turn in turns {
            match turn {
                Turn::Say(bytes) => stream.write_all(bytes).unwrap(),
                Turn::Hear(length) => {
                    let mut bytes = vec![0; length];
                    stream.read_exact(&mut bytes).unwrap();
                    heard.extend(bytes);
                }
                Turn::Rest(ms) => thread::sleep(Duration::from_millis(ms)),
            }
        }
        heard
    });
    (at, served)
}

/// Carries a dialogue out; what it told, and how it ended.
fn play(text: &str, target: Endpoint) -> (Vec<HandlerStep>, HandlerEnd) {
    let dialogue = Dialogue::parse(Path::new("d.toml"), text).unwrap();
    let mut scenario = Scenario::dialogue(&dialogue, target);
    scenario.marker = "m17".into();
    scenario.address = Some("127.16.0.1".parse().unwrap());
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = told.clone();
    let ended = child::carry_out(&[], scenario, Box::new(move |_, step| listener.lock().unwrap().push(step)));
    let told = told.lock().unwrap().clone();
    (told, ended)
}

fn reports(told: &[HandlerStep]) -> Vec<String> {
    told.iter()
        .filter_map(|step| match step {
            HandlerStep::Expects { report, .. } => Some(report.to_string()),
            _ => None,
        })
        .collect()
}

fn failure(told: &[HandlerStep]) -> String {
    told.iter()
        .find_map(|step| match step {
            HandlerStep::Failed { place, expected, seen } => Some(format!("{place}: {expected}; {seen}")),
            _ => None,
        })
        .unwrap_or_default()
}

const SMTP: &str = r#"
minipot = "smtp"
[variables]
user = "u-${marker}"

[[step]]
expect_line = { matches = '220 (?<our_domain>mx\d\.[a-z]+\.com) ESMTP' }
[[step]]
send = "EHLO x\r\n"
[[step]]
expect_lines = ["250-${our_domain}", { matches = '250 .*' }]
[[step]]
send = ["AUTH PLAIN ", { base64_of = ["", { hex = "00" }, "${user}", { escaped = '\x00' }, "p"] }, "\r\n"]
report = { action = "login", data = { password = "p", our_domain = "${our_domain}", username = "${user}" } }
[[step]]
expect = "535 no\r\n"
[[step]]
expect_close = true
"#;

#[test]
fn a_conversation_captures_and_expects_reports() {
    let login = b"AUTH PLAIN AHUtbTE3AHA=\r\n";
    let (target, served) = server(vec![
        Turn::Say(b"220 mx1.abc.com"),
        Turn::Rest(20),
        Turn::Say(b" ESMTP\r\n"),
        Turn::Hear(8),
        Turn::Say(b"250-mx1.abc.com\r\n250 DSN\r\n"),
        Turn::Hear(login.len()),
        Turn::Say(b"535 no\r\n"),
    ]);
    let (told, ended) = play(SMTP, target);
    assert_eq!(ended, HandlerEnd::Done, "{}", failure(&told));
    assert_eq!(served.join().unwrap(), [b"EHLO x\r\n".as_slice(), login].concat());
    let login = "smtp login from 127.16.0.1 {password=\"p\", our_domain=\"mx1.abc.com\", username=\"u-m17\"}";
    assert_eq!(reports(&told), ["smtp connect from 127.16.0.1", login]);
}

#[test]
fn a_wrong_reply_is_named_with_its_place() {
    let (target, served) = server(vec![Turn::Say(b"220 nobody\r\n")]);
    let (told, ended) = play(SMTP, target);
    served.join().unwrap();
    assert_eq!(ended, HandlerEnd::Failed);
    let said = failure(&told);
    assert!(said.starts_with("d.toml:7:1: the line /220 (?<our_domain>"), "{said}");
    assert!(said.ends_with("\"220 nobody\" came"), "{said}");
    let (target, served) = server(vec![Turn::Say(b"22"), Turn::Rest(100)]);
    let (told, _) = play("minipot = 'f'\n[[step]]\nexpect = \"220\"\n", target);
    served.join().unwrap();
    assert_eq!(failure(&told), "d.toml:3:1: \"220\"; \"22\" came, and the system closed the connection");
    let (target, served) = server(vec![Turn::Say(b"2"), Turn::Rest(300)]);
    let (told, _) = play("minipot = 'f'\nwait_ms = 50\n[[step]]\nexpect = \"220\"\n", target);
    served.join().unwrap();
    assert_eq!(failure(&told), "d.toml:4:1: \"220\"; \"2\" came within 50 ms");
}

#[test]
fn repeats_pipelines_and_splits() {
    let text = r#"
minipot = "f"
[[step]]
repeat = 3
pipelined = true
[[step.do]]
send = "N ${i}\n"
report = { action = "login", data = { n = "${i}" } }
[[step.do]]
expect = "ok ${i}\r\n"
[[step]]
send = { text = "ab", times = 3 }
split = [1, 4]
[[step]]
repeat = 2
[[step.do]]
send = "${marker}"
split = "every"
pause_ms = 1
[[step]]
half_close = true
[[step]]
silence_ms = 20
[[step]]
expect_until = { end = { hex = "fff9" }, is = "done" }
"#;
    let (target, served) = server(vec![
        Turn::Hear(12),
        Turn::Say(b"ok 1\r\nok 2\r\nok 3\r\n"),
        Turn::Hear(12),
        Turn::Rest(100),
        Turn::Say(b"done\xff\xf9"),
    ]);
    let (told, ended) = play(text, target);
    assert_eq!(ended, HandlerEnd::Done, "{}", failure(&told));
    assert_eq!(served.join().unwrap(), b"N 1\nN 2\nN 3\nabababm17m17");
    assert_eq!(reports(&told).len(), 4);
    assert_eq!(reports(&told)[3], "f login from 127.16.0.1 {n=\"3\"}");
    let sent = told.iter().filter(|step| matches!(step, HandlerStep::Sent { .. })).count();
    assert_eq!(sent, 4, "what is pipelined is sent at once");
}

#[test]
fn connections_have_names_and_addresses() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().into();
    let text = r#"
minipot = "f"
[[step]]
connect = "one"
[[step]]
connect = "two"
report = false
[[step]]
on = "two"
reset = true
[[step]]
on = "one"
close = true
"#;
    let (told, ended) = play(text, target);
    assert_eq!(ended, HandlerEnd::Done);
    assert_eq!(Dialogue::parse(Path::new("d"), text).unwrap().connections(), 2);
    assert_eq!(reports(&told), ["f connect from 127.16.0.1"]);
    let from: Vec<_> = (0..2).map(|_| listener.accept().unwrap().1.ip().to_string()).collect();
    assert_eq!(from, ["127.16.0.1", "127.16.0.2"]);
    drop(listener);
    let refused = "minipot = 'f'\n[[step]]\nconnect = 'a'\nfails = 'refused'\n";
    assert_eq!(play(refused, target).1, HandlerEnd::Done);
    let (told, _) = play("minipot = 'f'\n[[step]]\nconnect = 'a'\n", target);
    assert!(failure(&told).starts_with("d.toml:3:1: a connection to 127.0.0.1:"), "{}", failure(&told));
}

#[test]
fn an_http_response_is_framed_by_its_length() {
    let text = r#"
minipot = "http"
[[step]]
expect_http = { status = 401, reason = "No", headers = { server = "A" }, content_length = 3, body = { matches = 'a(?<b>.)c' } }
[[step]]
expect_http = { status = 414, content_length = 5, body_length = 4, body = "${b}ody" }
[[step]]
expect_close = "eof"
"#;
    let (target, served) = server(vec![
        Turn::Say(b"HTTP/1.1 401 No\r\nServer: A\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 414 Too\r\n"),
        Turn::Say(b"Content-Length: 5\r\n\r\nbody"),
    ]);
    let (told, ended) = play(text, target);
    served.join().unwrap();
    assert_eq!(ended, HandlerEnd::Done, "{}", failure(&told));
}

#[test]
fn times_are_variables_and_reports_put_together() {
    let text = r#"
minipot = "ftp"
[variables]
quiet_ms = "60"
[[step]]
send = "x"
report = { action = "login", data = { username = [{ text = "u", times = 3 }, "-${marker}"], password = "" } }
[[step]]
silence_ms = "${quiet_ms}"
[[step]]
expect_close = true
not_before_ms = "1${quiet_ms}"
"#;
    let (target, served) = server(vec![Turn::Hear(1), Turn::Rest(240)]);
    let (told, ended) = play(text, target);
    served.join().unwrap();
    assert_eq!(ended, HandlerEnd::Done, "{}", failure(&told));
    assert!(reports(&told)[1].contains("uuu-m17"), "{:?}", reports(&told));

    let (target, served) = server(vec![Turn::Hear(1), Turn::Rest(100)]);
    let (told, ended) = play(text, target);
    served.join().unwrap();
    assert_eq!(ended, HandlerEnd::Failed);
    assert!(failure(&told).contains("to stay open for 160 ms"), "{}", failure(&told));

    let (target, served) = server(vec![Turn::Hear(1)]);
    let (_, ended) = play(&text.replace("\"60\"", "\"soon\""), target);
    served.join().unwrap();
    let reason = "d.toml:9:1: \"soon\" is no number of milliseconds".to_owned();
    assert_eq!(ended, HandlerEnd::Broken { reason });
}

#[test]
fn a_dialogue_can_ask_for_ipv6() {
    let dialogue = "minipot = \"ftp\"\nipv6 = true\n[[step]]\nexpect = \"${host} ${ip}\"\n";
    let dialogue = Dialogue::parse(Path::new("d.toml"), dialogue).unwrap();
    let listener = TcpListener::bind("[::1]:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = thread::spawn(move || listener.accept().unwrap().0.write_all(b"::1 ").unwrap());
    let mut scenario = Scenario::dialogue(&dialogue, Endpoint::new("127.0.0.1".parse().unwrap(), port));
    scenario.address = Some("127.16.0.1".parse().unwrap());
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = told.clone();
    let ended = child::carry_out(&[], scenario, Box::new(move |_, step| listener.lock().unwrap().push(step)));
    served.join().unwrap();
    let told = told.lock().unwrap().clone();
    assert_eq!(ended, HandlerEnd::Done, "{}", failure(&told));
    assert!(reports(&told)[0].contains("::1"), "{:?}", reports(&told));
}

#[test]
fn mistakes_are_named_with_line_and_column() {
    let head = "minipot = \"ftp\"\n[[step]]\n";
    for (step, said) in [
        ("sned = \"x\"", "d.toml:3:1: unknown verb `sned`; a step has one of: connect, send, expect,"),
        ("on = \"main\"", "d.toml:3:1: a step without a verb"),
        ("send = \"x\"\nexpect = \"y\"", "d.toml:3:1: two verbs in one step: `send` and `expect`"),
        ("expect_line = { matches = '(' }", "d.toml:3:27: bad regular expression: unclosed group"),
        ("send = \"${nobody}\"", "d.toml:3:8: undefined variable `${nobody}`; defined here: host, ip, marker, port"),
        ("send = \"${i}\"", "d.toml:3:8: undefined variable `${i}`"),
        ("send = 5", "d.toml:3:8: `send` is a number (5); it must be text, a table"),
        ("send = { hex = \"fx\" }", "d.toml:3:16: not hexadecimal"),
        ("send = { escaped = '\\q' }", "d.toml:3:20: `\\q` is no escape"),
        (
            "send = \"x\"\nsplitt = 1",
            "d.toml:4:1: unknown key `splitt` in a step with `send`; it takes: on, send, split,",
        ),
        ("delay_ms = \"soon\"", "d.toml:3:12: `delay_ms` is text; it must be a whole number"),
        ("delay_ms = \"${soon}\"", "d.toml:3:12: undefined variable `${soon}`"),
        ("expect = \"x\"\nwait_ms = -1", "d.toml:4:11: `wait_ms` is a number (-1); it must be a whole number"),
        ("send = \"x\"\non = \"b\"", "d.toml:3:1: there is no open connection `b` here"),
        ("send = \"x\"\nreport = { data = {} }", "d.toml:4:10: `action` is missing in a report"),
        ("repeat = 2\npipelined = true\n[[step.do]]\nclose = true", "d.toml:6:1: what is pipelined"),
        ("send = \"x", "d.toml:3:10: not TOML: "),
        ("close = true\n[[step]]\nsend = \"x\"", "d.toml:5:1: there is no open connection `main` here"),
    ] {
        let error = Dialogue::parse(Path::new("d.toml"), &format!("{head}{step}\n")).unwrap_err().to_string();
        assert!(error.starts_with(said), "{error}\nnot {said}");
    }
    let error = Dialogue::parse(Path::new("d.toml"), "[[step]]\nclose = true\n").unwrap_err().to_string();
    assert_eq!(error, "d.toml:1:1: `minipot` is missing in a dialogue");
}

proptest::proptest! {
    #![proptest_config(crate::properties::config(300))]

    #[test]
    fn no_text_makes_reading_panic(text in crate::properties::text()) {
        let _ = Dialogue::parse(Path::new("d"), &text);
        let _ = Dialogue::parse(Path::new("d"), &format!("minipot = 'f'\n[[step]]\nexpect_line = {{ matches = '''{text}''' }}\n"));
    }
}

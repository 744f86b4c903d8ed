//! What is said.

use super::ftp;
use crate::{TELNET_FAILS, TELNET_PASSWORD, TELNET_USER, USER_PROMPT, ftp_login, system::System};

const OTHER: &str = "530 Please login with USER and PASS.";

#[test]
fn wrong_code() {
    let (system, _proxy, mut client) = ftp("wrong-code");
    client.ask("USER me", USER_PROMPT);
    client.ask("PASS x", "531 Login incorrect.");
    let mut client = system.connect(system.smtp);
    client.line();
    client.say("HELO x\r\n");
    client.line();
    client.ask("AUTH PLAIN AGEAYg==", "536 5.7.8 Error: authentication failed:");
    let mut client = system.connect(system.http);
    client.say("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(client.answer(), 403);
    let mut client = system.connect(system.telnet);
    client.say("a\r\nb\r\n");
    client.expect([TELNET_USER, TELNET_PASSWORD, b"Login failed\r\n\xff\xf9"].concat());
}

#[test]
fn no_banner() {
    let (system, mut proxy) = System::with_fault("no-banner");
    for port in [system.ftp, system.smtp, system.telnet] {
        let mut client = system.connect(port);
        assert!(client.is_silent());
        assert!(proxy.report().ends_with("connect"));
    }
    let mut client = system.connect(system.ftp);
    ftp_login(&mut client, "me", "x");
}

#[test]
fn case_sensitive() {
    let (system, _proxy, mut client) = ftp("case-sensitive");
    client.ask("user me", OTHER);
    client.ask("USER me", USER_PROMPT);
    let mut client = system.connect(system.smtp);
    client.line();
    client.ask("noop", "502 5.5.2 Error: command not recognized");
    client.ask("NOOP", "250 2.0.0 Ok");
}

#[test]
fn ftp_counts_and_users() {
    let (_system, mut proxy, mut client) = ftp("keeps-user");
    ftp_login(&mut client, "me", "x");
    client.ask("PASS y", "530 Login incorrect.");
    assert_eq!(proxy.reports(3)[2], "ftp 127.0.0.1 login username=me password=y");

    let (_system, _proxy, mut client) = ftp("counts503");
    client.say("PASS x\r\n".repeat(100));
    client.expect("503 Login with USER first.\r\n".repeat(100));
    assert!(client.ends());
}

#[test]
fn smtp_states() {
    let (system, _proxy) = System::with_fault("ignores-rset");
    let mut client = system.connect(system.smtp);
    client.line();
    client.say("HELO x\r\n");
    client.line();
    for command in ["MAIL FROM:x", "RSET"] {
        client.ask(command, "250 2.0.0 Ok");
    }
    client.ask("MAIL FROM:x", "503 5.5.1 Error: nested MAIL command");

    let (system, _proxy) = System::with_fault("ignores-abort");
    let mut client = system.connect(system.smtp);
    client.line();
    client.say("HELO x\r\n");
    client.line();
    client.ask("AUTH PLAIN", "334 ");
    client.ask("*", "535 5.7.8 Error: authentication failed: Invalid base64 data in continued response");
}

#[test]
fn http_syntax() {
    let (system, _proxy) = System::with_fault("reads-body-as-request");
    let mut client = system.connect(system.http);
    client.say("GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\n\n\n\n");
    assert_eq!((client.answer(), client.answer()), (401, 400));

    let (system, _proxy) = System::with_fault("lenient-lines");
    let mut client = system.connect(system.http);
    client.say("GET / HTTP/1.1\n\n");
    assert_eq!(client.answer(), 401);
}

#[test]
fn telnet_lines_and_commands() {
    let (system, _proxy) = System::with_fault("lf-ends-line");
    let mut client = system.connect(system.telnet);
    client.say("me\nx\n");
    client.expect([TELNET_USER, TELNET_PASSWORD, TELNET_FAILS].concat());

    let (system, _proxy) = System::with_fault("ignores-iac");
    let mut client = system.connect(system.telnet);
    client.expect(TELNET_USER);
    client.say(b"\xff\xfd\x01\xff\xfb\x01");
    assert!(client.is_silent());
    client.say("me\r\n");
    client.expect(TELNET_PASSWORD);

    let (system, mut proxy) = System::with_fault("erases-nothing");
    let mut client = system.connect(system.telnet);
    client.say(b"ab\xff\xf7\r\nc\xff\xf8d\r\n");
    client.expect([TELNET_USER, TELNET_PASSWORD, TELNET_FAILS].concat());
    assert_eq!(proxy.reports(2)[1], "telnet 127.0.0.1 login username=ab password=cd");
}

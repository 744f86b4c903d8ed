//! The minipot from outside: conversations on loopback, and the reports of the correct one.

#![allow(clippy::unwrap_used)]

mod client;
mod faults;
mod limits;
mod processes;
mod proxy;
mod system;

use std::{net::SocketAddr, thread, time::Duration};

use client::Client;
use system::{SOON, System};

const FTP_GREETING: &str = "220 (vsFTPd 3.0.3)\r\n";
const USER_PROMPT: &str = "331 Please specify the password.";
const LOGIN_FAILS: &str = "530 Login incorrect.";
const TELNET_USER: &[u8] = b"Username: \xff\xf9";
const TELNET_PASSWORD: &[u8] = b"Password: \xff\xf9";
const TELNET_FAILS: &[u8] = b"Login incorrect\r\n\xff\xf9";

/// Tries to log in once by FTP.
fn ftp_login(client: &mut Client, user: &str, password: &str) {
    client.ask(&format!("USER {user}"), USER_PROMPT);
    client.ask(&format!("PASS {password}"), LOGIN_FAILS);
}

#[test]
fn ftp_reports_connect_login_and_invalid() {
    let (system, mut proxy) = System::start();
    let mut client = system.connect(system.ftp);
    client.expect(FTP_GREETING);
    assert_eq!(proxy.report(), "ftp 127.0.0.1 connect");
    ftp_login(&mut client, "me", "secret");
    assert_eq!(proxy.report(), "ftp 127.0.0.1 login username=me password=secret");
    client.ask("PASS again", "503 Login with USER first.");
    assert_eq!(proxy.report(), "ftp 127.0.0.1 invalid");
    client.ask("QUIT", "221 Goodbye.");
    assert!(client.ends());
    proxy.is_quiet();
}

#[test]
fn telnet_reports_connect_and_login() {
    let (system, mut proxy) = System::start();
    let mut client = system.connect(system.telnet);
    client.expect(TELNET_USER);
    assert_eq!(proxy.report(), "telnet 127.0.0.1 connect");
    client.say(b"\xff\xfd\x01");
    client.expect(b"\xff\xfc\x01");
    client.say("me\r\n");
    client.expect(TELNET_PASSWORD);
    client.say("\r\n");
    client.expect([TELNET_FAILS, TELNET_USER].concat());
    assert_eq!(proxy.report(), "telnet 127.0.0.1 login username=me password=");
}

#[test]
fn http_reports_connect_message_and_login() {
    let (system, mut proxy) = System::start();
    let mut client = system.connect(system.http);
    assert_eq!(proxy.report(), "http 127.0.0.1 connect");
    assert!(client.is_silent());
    client.say("GET /a HTTP/1.1\r\nUser-Agent: test\r\n\r\n");
    assert_eq!(client.answer(), 401);
    assert_eq!(proxy.report(), "http 127.0.0.1 message method=GET url=/a user_agent=test");
    client.say("GET /b HTTP/1.1\r\nAuthorization: Basic bWU6c2VjcmV0\r\n\r\nnonsense\r\n");
    assert_eq!((client.answer(), client.answer()), (401, 400));
    assert_eq!(proxy.report(), "http 127.0.0.1 login method=GET url=/b username=me password=secret");
    assert!(client.ends());
    proxy.is_quiet();
    let mut client = system.connect(system.http);
    client.say(format!("GET /{} HTTP/1.1\r\n", "x".repeat(9000)));
    assert_eq!(client.answer(), 414);
    assert!(client.ends());
}

#[test]
fn smtp_reports_connect_and_login_with_its_name() {
    let (system, mut proxy) = System::start();
    let mut client = system.connect(system.smtp);
    let greeting = client.line();
    let host = greeting.strip_prefix("220 ").and_then(|rest| rest.strip_suffix(" ESMTP Postfix (Debian/GNU)")).unwrap();
    assert_eq!(proxy.report(), "smtp 127.0.0.1 connect");
    client.ask("HELO me", &format!("250 {host}"));
    client.ask("AUTH PLAIN AG1lQGhlcmUuY3oAc2VjcmV0", "535 5.7.8 Error: authentication failed:");
    let login = format!("login password=secret mechanism=plain our_domain={host} domain=here.cz username=me");
    assert_eq!(proxy.report(), format!("smtp 127.0.0.1 {login}"));
    client.ask("ETRN x", "554 5.7.1 <unknown[127.0.0.1]>: Client host rejected: Access denied");
    let mut second = system.connect(system.smtp);
    assert_eq!(second.line(), greeting, "the name is the program's");
}

#[test]
fn addresses_are_those_of_the_peer() {
    let (system, mut proxy) = System::start();
    let mut client = Client::connect(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], system.ftp)));
    client.expect(FTP_GREETING);
    assert_eq!(proxy.report(), "ftp ::1 connect");
    let mut client = system.connect(system.smtp);
    client.line();
    assert_eq!(proxy.report(), "smtp 127.0.0.1 connect");
}

#[test]
fn pipelined_and_split_input_give_the_same() {
    let (system, mut proxy) = System::start();
    let input = "USER a\r\nPASS b\r\nPASS c\r\nNOOP\r\nQUIT\r\nUSER d\r\n";
    let replies = format!(
        "{FTP_GREETING}{USER_PROMPT}\r\n{LOGIN_FAILS}\r\n503 Login with USER first.\r\n530 Please login with USER and PASS.\r\n\
         221 Goodbye.\r\n"
    );
    let reports = ["ftp 127.0.0.1 connect", "ftp 127.0.0.1 login username=a password=b", "ftp 127.0.0.1 invalid"];
    let mut client = system.connect(system.ftp);
    client.say(input);
    client.expect(&replies);
    assert!(client.ends());
    assert_eq!(proxy.reports(3), reports);
    let mut client = system.connect(system.ftp);
    for byte in input.split_inclusive("QUIT\r\n").next().unwrap().bytes() {
        client.say([byte]);
        thread::sleep(Duration::from_millis(1));
    }
    client.expect(&replies);
    assert!(client.ends());
    assert_eq!(proxy.reports(3), reports);
    proxy.is_quiet();
}

#[test]
fn an_end_of_file_is_not_reported() {
    let (system, mut proxy) = System::start();
    for port in [system.ftp, system.http, system.smtp, system.telnet] {
        let mut client = system.connect(port);
        client.say("half a li");
        drop(client);
        assert!(proxy.report().ends_with(" 127.0.0.1 connect"));
    }
    proxy.is_quiet();
}

#[test]
fn reports_reach_a_proxy_that_comes_back_without_a_second_welcome() {
    let (system, mut proxy) = System::start();
    let mut client = system.connect(system.ftp);
    client.expect(FTP_GREETING);
    proxy.report();
    drop(proxy);
    ftp_login(&mut client, "no", "proxy");
    let mut proxy = system.proxy();
    // What is sent before the old connection is known to have ended is written into it, and is gone with it.
    let came = (0..20).find_map(|_| {
        ftp_login(&mut client, "a", "proxy");
        proxy.report_within(Duration::from_millis(500))
    });
    let login = |user: &str| format!("ftp 127.0.0.1 login username={user} password=proxy");
    let mut came = vec![came.expect("no report came")];
    came.extend(std::iter::from_fn(|| proxy.report_within(Duration::from_millis(500))));
    if came[0] == login("no") {
        came.remove(0);
    }
    assert!(!came.is_empty() && came.iter().all(|report| *report == login("a")), "{came:?}");
}

#[test]
fn welcome_and_reports_wait_for_the_proxy() {
    let system = System::without_proxy(&[]);
    system.wait_for_ports();
    let mut client = system.connect(system.ftp);
    client.expect(FTP_GREETING);
    ftp_login(&mut client, "me", "x");
    let mut proxy = system.proxy();
    assert_eq!(proxy.next(SOON).map(|frames| frames.len()), Some(1));
    assert_eq!(proxy.reports(2), ["ftp 127.0.0.1 connect", "ftp 127.0.0.1 login username=me password=x"]);
}

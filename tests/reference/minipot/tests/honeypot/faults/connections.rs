//! How connections are served, and when they end.

use std::{net::SocketAddr, net::TcpStream, time::Duration};

use super::{CONNECT, ftp};
use crate::{
    FTP_GREETING, LOGIN_FAILS, TELNET_USER, USER_PROMPT, ftp_login,
    system::{System, sockets},
};

/// The replies to so many failed logins by FTP.
fn replies(logins: usize) -> String {
    format!("{USER_PROMPT}\r\n{LOGIN_FAILS}\r\n").repeat(logins)
}

#[test]
fn limits_of_attempts() {
    let (system, _proxy, mut client) = ftp("no-close-at-limit");
    client.say("USER a\r\nPASS b\r\n".repeat(120));
    client.expect(replies(120));
    let mut client = system.connect(system.smtp);
    let host = client.line().split(' ').nth(1).unwrap().to_owned();
    for _ in 0..25 {
        client.ask("HELP", "502 5.5.2 Error: command not recognized");
    }
    client.ask("HELO x", &format!("250 {host}"));

    let (system, _proxy, mut client) = ftp("closes-early");
    client.say("USER a\r\nPASS b\r\n".repeat(99));
    client.expect(replies(99));
    assert!(client.ends());
    let mut client = system.connect(system.http);
    client.say("GET / HTTP/1.1\r\n\r\n".repeat(99));
    assert!((0..99).all(|_| client.answer() == 401));
    assert!(client.ends());
}

#[test]
fn six_at_once() {
    let (system, _proxy) = System::with_fault("serves-six");
    let mut clients: Vec<_> = (0..7).map(|_| system.connect(system.ftp)).collect();
    for client in &mut clients[..6] {
        client.expect(FTP_GREETING);
    }
    assert!(clients[6].is_silent());
}

#[test]
fn pipelined_and_split_commands() {
    let (system, _proxy, mut client) = ftp("stalls-on-pipelining");
    ftp_login(&mut client, "me", "x");
    client.say("USER a\r\nPASS b\r\n");
    client.expect(format!("{USER_PROMPT}\r\n"));
    client.say("PASS b\r\n");
    assert!(client.is_silent());
    system.connect(system.ftp).expect(FTP_GREETING);

    let (_system, _proxy, mut client) = ftp("loses-pieces");
    ftp_login(&mut client, "me", "x");
    client.say("US");
    assert!(client.is_silent());
    client.ask("ER me", "530 Please login with USER and PASS.");
}

#[test]
fn timeouts() {
    let start = |fault| System::start_with(&["--idle-timeout-ms", "800", "--fault", fault]);
    let (system, _proxy) = start("never-times-out");
    let mut client = system.connect(system.telnet);
    client.expect(TELNET_USER);
    assert!(!client.ends_within(Duration::from_millis(1500)));

    let (system, _proxy) = start("times-out-early");
    let mut client = system.connect(system.telnet);
    client.expect(TELNET_USER);
    assert!(client.ends_within(Duration::from_millis(700)));
}

#[test]
fn only_ipv4() {
    let (system, mut proxy, _client) = ftp("only-ipv4");
    assert_eq!(proxy.report(), CONNECT);
    assert!(sockets("tcp", system.ftp) && !sockets("tcp6", system.ftp));
    let v6 = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], system.ftp));
    assert!(TcpStream::connect(v6).is_err());
}

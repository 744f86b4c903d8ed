//! Start, stop and death of the processes, and a proxy that takes nothing.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::{
    FTP_GREETING, LOGIN_FAILS, USER_PROMPT,
    client::Client,
    system::{SOON, System, kill, listens, sockets, wait_until},
};

#[test]
fn listens_on_both_families_as_nobody() {
    let (system, _proxy) = System::start();
    for port in [system.ftp, system.http, system.smtp, system.telnet] {
        assert!(sockets("tcp6", port) && !sockets("tcp", port));
    }
    assert_eq!(system.children().len(), 4);
    if rustix::process::geteuid().is_root() {
        for pid in system.children().into_iter().chain([system.master.id().cast_signed()]) {
            // A minipot listens before it becomes nobody.
            let status = || fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            wait_until("nobody", || status().contains("Uid:\t65534\t65534\t65534\t65534"));
        }
    }
}

#[test]
fn stop_delivers_what_is_pending() {
    let (mut system, mut proxy) = System::start();
    for _ in 0..3 {
        let mut client = system.connect(system.ftp);
        client.expect(FTP_GREETING);
        client.say("USER a\r\nPASS b\r\n".repeat(100));
        client.expect(format!("{USER_PROMPT}\r\n{LOGIN_FAILS}\r\n").repeat(100));
    }
    system.terminate();
    assert_eq!(system.wait().code(), Some(0));
    proxy.reports(303);
    proxy.is_quiet();
    assert!(!listens(system.ftp));
}

#[test]
fn stop_does_not_wait_for_a_proxy_that_is_not_there() {
    let mut system = System::without_proxy(&[]);
    system.wait_for_ports();
    system.connect(system.ftp).expect(FTP_GREETING);
    let start = Instant::now();
    system.terminate();
    assert_eq!(system.wait().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(4));
}

#[test]
fn death_of_a_minipot_ends_all_with_code_0() {
    let (mut system, _proxy) = System::start();
    let children = system.children();
    kill(children[2]);
    assert_eq!(system.wait().code(), Some(0));
    for pid in children {
        wait_until("the minipots are gone", || !fs::exists(format!("/proc/{pid}")).unwrap());
    }
    for port in [system.ftp, system.http, system.smtp, system.telnet] {
        assert!(!listens(port));
    }
}

#[test]
fn death_of_the_master_ends_all() {
    let (system, _proxy) = System::start();
    let children = system.children();
    kill(system.master.id().cast_signed());
    for pid in children {
        wait_until("the minipots are gone", || !fs::exists(format!("/proc/{pid}")).unwrap());
    }
}

/// A connection with so many attempts.
fn talk(system: &System, attempts: usize) -> Client {
    let mut client = system.connect(system.ftp);
    client.expect(FTP_GREETING);
    client.say("USER a\r\nPASS b\r\n".repeat(attempts));
    client.expect(format!("{USER_PROMPT}\r\n{LOGIN_FAILS}\r\n").repeat(attempts));
    client
}

/// A system without a proxy that has made 1000 messages, and the last connection: the welcome, nine times 101 reports, and 90.
pub(crate) fn full(arguments: &[&str]) -> (System, Client) {
    let system = System::without_proxy(arguments);
    system.wait_for_ports();
    for _ in 0..9 {
        talk(&system, 100);
    }
    let last = talk(&system, 89);
    (system, last)
}

/// What a thousand and first message is made by.
pub(crate) fn one_more(last: &mut Client) {
    last.ask("PASS x", "503 Login with USER first.");
}

#[test]
fn thousand_messages_are_kept_and_one_more_ends_it_with_code_6() {
    let (mut system, mut last) = full(&[]);
    // It is not held up yet.
    thread::sleep(Duration::from_secs(6));
    assert!(last.is_silent());
    let start = Instant::now();
    one_more(&mut last);
    assert_eq!(system.wait().code(), Some(6));
    assert!(start.elapsed() >= Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn thousand_messages_that_were_kept_are_delivered() {
    let (system, mut last) = full(&[]);
    let mut proxy = system.proxy();
    assert_eq!(proxy.next(SOON).map(|frames| frames.len()), Some(1), "the welcome");
    assert_eq!(proxy.reports(999).last().map(String::as_str), Some("ftp 127.0.0.1 login username=a password=b"));
    one_more(&mut last);
    assert_eq!(proxy.report(), "ftp 127.0.0.1 invalid");
    proxy.is_quiet();
}

#[test]
fn a_proxy_that_never_reads_ends_it_with_code_6() {
    let mut system = System::without_proxy(&[]);
    let _proxy = system.unread_proxy();
    system.wait_for_ports();
    let port = system.ftp;
    let flood = thread::spawn(move || {
        let attempts = format!("USER a\r\nPASS {}\r\n", "x".repeat(4000)).repeat(100);
        for _ in 0..15 {
            let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return };
            // It is answered until the master is held up, and ends with that.
            let _ = stream.write_all(attempts.as_bytes()).and_then(|()| stream.read_to_end(&mut Vec::new()));
        }
    });
    assert_eq!(system.wait().code(), Some(6));
    flood.join().unwrap();
}

#[test]
fn port_in_use_is_named_and_does_not_show_in_the_exit_code() {
    let taken = TcpListener::bind("[::]:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut system = System::without_proxy(&["-F", &port]);
    assert_eq!(system.wait().code(), Some(0));
    let log = system.log();
    assert!(log.contains(&format!("[::]:{port}: free that port")), "{log}");
}

#[test]
fn unknown_user_is_named() {
    if rustix::process::geteuid().is_root() {
        let mut system = System::without_proxy(&["-u", "nobody-at-all"]);
        assert_eq!(system.wait().code(), Some(1));
        assert!(system.log().contains("there is no user nobody-at-all"));
    }
}

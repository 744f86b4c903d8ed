//! Limits of attempts, connections and time.

use std::{
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use crate::{
    FTP_GREETING, LOGIN_FAILS, TELNET_FAILS, TELNET_PASSWORD, TELNET_USER, USER_PROMPT, ftp_login,
    system::{SOON, System},
};

#[test]
fn ftp_ends_after_100_attempts() {
    let (system, mut proxy) = System::start();
    let mut client = system.connect(system.ftp);
    client.expect(FTP_GREETING);
    client.say("USER a\r\nPASS b\r\n".repeat(101));
    client.expect(format!("{USER_PROMPT}\r\n{LOGIN_FAILS}\r\n").repeat(100));
    assert!(client.ends());
    assert_eq!(proxy.reports(101).iter().filter(|report| report.contains("login")).count(), 100);
    proxy.is_quiet();
}

#[test]
fn telnet_ends_after_20_attempts() {
    let (system, mut proxy) = System::start();
    let mut client = system.connect(system.telnet);
    for attempt in 0..20 {
        client.expect(TELNET_USER);
        client.say(format!("user{attempt}\r\n"));
        client.expect(TELNET_PASSWORD);
        client.say("x\r\n");
        client.expect(TELNET_FAILS);
    }
    assert!(client.ends());
    proxy.reports(21);
    proxy.is_quiet();
}

#[test]
fn five_are_served_and_six_wait() {
    let (system, mut proxy) = System::start();
    let mut served: Vec<_> = (0..5).map(|_| system.connect(system.ftp)).collect();
    for client in &mut served {
        client.expect(FTP_GREETING);
    }
    proxy.reports(5);
    let mut waiting: Vec<_> = (0..6).map(|_| system.connect(system.ftp)).collect();
    let address = SocketAddr::from(([127, 0, 0, 1], system.ftp));
    let twelfth = TcpStream::connect_timeout(&address, Duration::from_millis(1500));
    assert!(twelfth.is_err_and(|error| error.kind() == std::io::ErrorKind::TimedOut));
    for client in &mut waiting {
        assert!(client.is_silent());
    }
    proxy.is_quiet();
    ftp_login(&mut served[4], "still", "served");
    proxy.report();
    // A slot for each that leaves, in the order of the queue.
    drop(served);
    for client in &mut waiting[..5] {
        client.expect(FTP_GREETING);
    }
    proxy.reports(5);
    assert!(waiting[5].is_silent());
    // The others are not held up.
    system.connect(system.telnet).expect(TELNET_USER);
}

#[test]
fn connections_time_out() {
    let quick = ["--idle-timeout-ms", "600", "--total-timeout-ms", "1500"];
    let (system, mut proxy) = System::start_with(&quick);
    let start = Instant::now();
    let [mut ftp, mut smtp, mut telnet] = [system.ftp, system.smtp, system.telnet].map(|port| system.connect(port));
    ftp.expect(FTP_GREETING);
    telnet.expect(TELNET_USER);
    let host = smtp.line().split(' ').nth(1).unwrap().to_owned();
    ftp.expect("421 Timeout.\r\n");
    assert!(start.elapsed() >= Duration::from_millis(600));
    smtp.expect(format!("421 4.4.2 {host} Error: timeout exceeded\r\n"));
    assert!(ftp.ends() && smtp.ends() && telnet.ends());
    proxy.reports(3);

    let start = Instant::now();
    let mut busy = system.connect(system.ftp);
    busy.expect(FTP_GREETING);
    while start.elapsed() < Duration::from_millis(1200) {
        busy.ask("NOOP", "530 Please login with USER and PASS.");
        std::thread::sleep(Duration::from_millis(100));
    }
    busy.expect("421 Timeout.\r\n");
    assert!(busy.ends() && start.elapsed() >= Duration::from_millis(1500));
    proxy.reports(1);
    proxy.is_quiet();
}

#[test]
fn http_times_out_sooner_once_it_has_heard_something() {
    let (system, _proxy) = System::start_with(&["--http-silence-timeout-ms", "1200", "--http-idle-timeout-ms", "300"]);
    let (start, mut silent) = (Instant::now(), system.connect(system.http));
    let mut heard = system.connect(system.http);
    heard.say("GET");
    assert!(heard.ends());
    assert!((300..1200).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    assert!(silent.ends_within(SOON) && start.elapsed() >= Duration::from_millis(1200));
}

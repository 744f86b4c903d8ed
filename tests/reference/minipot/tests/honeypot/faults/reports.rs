//! Which reports come, and when.

use std::time::{Duration, Instant};

use super::{CONNECT, LOGIN, ftp};
use crate::{
    FTP_GREETING, ftp_login,
    proxy::correct,
    system::{SOON, System, TOPIC},
};

/// The reports of a connection with the logins `a`, `b`, `c`.
fn three(fault: &str) -> Vec<String> {
    let (_system, mut proxy, mut client) = ftp(fault);
    for user in ["a", "b", "c"] {
        ftp_login(&mut client, user, "x");
    }
    client.ask("QUIT", "221 Goodbye.");
    let mut came = Vec::new();
    while let Some(report) = proxy.report_within(Duration::from_millis(500)) {
        came.push(report.replace("ftp 127.0.0.1 ", "").replace(" password=x", "").replace("login username=", ""));
    }
    came
}

#[test]
fn lost_doubled_swapped() {
    assert_eq!(three("none"), ["connect", "a", "b", "c"]);
    assert_eq!(three("loses-report"), ["connect", "a", "c"]);
    assert_eq!(three("loses-connects"), ["a", "b", "c"]);
    assert_eq!(three("duplicates-report"), ["connect", "a", "a", "b", "b", "c", "c"]);
    assert_eq!(three("reorders-reports"), ["a", "connect", "b", "c"]);
    assert_eq!(three("reports-the-end"), ["connect", "a", "b", "c", "invalid"]);
}

#[test]
fn held_report_comes_at_the_end_when_nothing_follows_it() {
    let (_system, mut proxy, mut client) = ftp("reorders-reports");
    client.ask("USER me", "331 Please specify the password.");
    proxy.is_quiet();
    drop(client);
    assert_eq!(proxy.report(), CONNECT);
}

#[test]
fn late() {
    for (fault, least) in [("delays-report", 2900), ("reports-after-reply", 950)] {
        let (_system, mut proxy, mut client) = ftp(fault);
        let start = Instant::now();
        assert_eq!(proxy.report(), CONNECT);
        client.ask("USER me", "331 Please specify the password.");
        client.ask("PASS secret", "530 Login incorrect.");
        let replied = start.elapsed();
        // Its time is that of the login, so only the arrival tells.
        let frames = proxy.next(SOON).unwrap();
        assert!(start.elapsed() - replied >= Duration::from_millis(least), "{fault}: {:?}", start.elapsed());
        assert!(fault == "delays-report" || correct(&frames).as_deref() == Ok(LOGIN));
    }
}

#[test]
fn of_another_connection() {
    let (system, mut proxy, mut client) = ftp("stale-report");
    ftp_login(&mut client, "me", "secret");
    assert_eq!(proxy.reports(2), [CONNECT, LOGIN]);
    system.connect(system.ftp).expect(FTP_GREETING);
    assert_eq!(proxy.reports(2), [CONNECT, LOGIN]);

    let (system, mut proxy, mut first) = ftp("cross-talk");
    ftp_login(&mut first, "me", "secret");
    let mut second = system.connect(system.ftp);
    second.expect(FTP_GREETING);
    ftp_login(&mut second, "you", "public");
    assert_eq!(proxy.reports(4), [CONNECT, LOGIN, CONNECT, LOGIN]);
    ftp_login(&mut second, "they", "x");
    assert_eq!(proxy.report(), "ftp 127.0.0.1 login username=they password=x");
}

#[test]
fn kept_back_by_the_master() {
    let start = Instant::now();
    let (_system, mut proxy, mut client) = ftp("batches-reports");
    ftp_login(&mut client, "me", "secret");
    let frames = [proxy.next(SOON).unwrap(), proxy.next(Duration::from_millis(500)).unwrap()];
    assert!(start.elapsed() >= Duration::from_secs(3));
    assert!(frames.iter().all(|frames| frames.len() == 2));

    let (mut system, mut proxy, mut client) = ftp("drops-at-stop");
    assert_eq!(proxy.report(), CONNECT);
    ftp_login(&mut client, "me", "secret");
    system.terminate();
    assert_eq!(system.wait().code(), Some(0));
    proxy.is_quiet();
}

#[test]
fn none_after_ten() {
    let (_system, mut proxy, mut client) = ftp("goes-quiet");
    for _ in 0..15 {
        ftp_login(&mut client, "me", "secret");
    }
    proxy.reports(10);
    proxy.is_quiet();
}

#[test]
fn welcomes() {
    let (_system, mut proxy, _client) = ftp("second-welcome");
    assert_eq!(proxy.report(), CONNECT);
    assert_eq!(proxy.next(SOON), Some(vec![TOPIC.as_bytes().to_vec()]));

    let (system, mut proxy) = System::start_with(&["--fault", "no-welcome"]);
    system.connect(system.ftp).expect(FTP_GREETING);
    assert_eq!(proxy.report(), CONNECT);
}

//! Start, stop and death.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::ftp;
use crate::{
    TELNET_USER, ftp_login,
    processes::{full, one_more},
    system::{System, kill, listens, wait_until},
};

#[test]
fn dies_silently() {
    let (mut system, mut proxy, mut client) = ftp("dies-silently");
    for _ in 0..8 {
        ftp_login(&mut client, "me", "x");
    }
    client.say("USER a\r\nPASS b\r\n");
    assert_eq!(system.wait().code(), Some(0));
    proxy.reports(10);
    assert!(!listens(system.telnet));
}

#[test]
fn outlives_a_child() {
    let (mut system, _proxy) = System::with_fault("outlives-child");
    let first = system.children()[0];
    kill(first);
    wait_until("the first minipot is gone", || system.children().len() == 3);
    let open = [system.ftp, system.http, system.smtp, system.telnet].into_iter().filter(|port| listens(*port));
    assert_eq!(open.count(), 3);
    system.connect(system.telnet).expect(TELNET_USER);
    assert!(system.master.try_wait().unwrap().is_none());
}

#[test]
fn ignores_stop() {
    let (mut system, _proxy) = System::with_fault("ignores-stop");
    // As the harness does it: the whole process group, and so the minipots.
    for pid in system.children() {
        kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    }
    system.terminate();
    thread::sleep(Duration::from_millis(500));
    system.connect(system.telnet).expect(TELNET_USER);
    kill_process(Pid::from_child(&system.master), Signal::INT).unwrap();
    assert_eq!(system.wait().code(), Some(0));
}

#[test]
fn dies_at_start() {
    let (mut system, _proxy) = System::spawn(&["--fault", "dies-at-start"]);
    assert_eq!(system.wait().code(), Some(3));
    assert!(!listens(system.ftp));
}

#[test]
fn never_listens() {
    let (system, _proxy) = System::spawn(&["--fault", "never-listens"]);
    for port in [system.ftp, system.http, system.telnet] {
        wait_until("the others listen", || listens(port));
    }
    thread::sleep(Duration::from_millis(300));
    assert!(!listens(system.smtp));
    let children = system.children();
    assert_eq!(children.len(), 4);
    drop(system);
    wait_until("no minipot outlives its master", || {
        children.iter().all(|child| !Path::new(&format!("/proc/{child}/exe")).exists())
    });
}

#[test]
fn keeps_too_much_or_too_little() {
    let (mut system, mut last) = full(&["--fault", "keeps-all"]);
    one_more(&mut last);
    let (mut held_up, mut other) = full(&["--fault", "never-gives-up"]);
    one_more(&mut other);
    // Nothing is held up with 1000 messages but where 999 are kept.
    let (mut fewer, _) = full(&["--fault", "keeps-fewer"]);
    assert_eq!(fewer.wait().code(), Some(6));
    thread::sleep(Duration::from_secs(2));
    for master in [&mut system.master, &mut held_up.master] {
        assert!(master.try_wait().unwrap().is_none());
    }
}

#[test]
fn gives_up_at_once_or_with_another_code() {
    let (mut system, mut last) = full(&["--fault", "wrong-exit-code"]);
    one_more(&mut last);
    assert_eq!(system.wait().code(), Some(1));
    let (mut system, mut last) = full(&["--fault", "gives-up-at-once"]);
    let start = Instant::now();
    // The minipot goes with its master, which may be before it has answered.
    last.say("PASS x\r\n");
    assert_eq!(system.wait().code(), Some(6));
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

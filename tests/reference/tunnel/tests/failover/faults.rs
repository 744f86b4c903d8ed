//! Each fault from outside: its own effect shows, and what it leaves alone still works.

use std::{
    io::{Read as _, Write as _},
    thread,
    time::{Duration, Instant},
};

use crate::{
    TIMEOUT, payload,
    system::{SOON, System, connect, echo, ended, is_open, terminate, transfer, wait_closed, wait_exit, wait_open},
};

/// For how long a port stays closed at the first activation.
fn pause(system: &System) -> Duration {
    let _trigger = system.trigger(1);
    let closed = wait_closed(system.server_port(1));
    wait_open(system.server_port(1)) - closed
}

#[test]
fn closes_late() {
    let system = System::start(111, TIMEOUT, Some("closes-late"));
    let start = Instant::now();
    let _trigger = system.trigger(1);
    for address in [system.server_port(1), system.server_port(2), system.client_port(2, 1), system.client_port(2, 2)] {
        let late = wait_closed(address) - start;
        assert!(late > Duration::from_millis(1500), "{address} closed after {late:?}");
    }
    let closed = Instant::now();
    let pause = wait_open(system.server_port(1)) - closed;
    assert!(pause > Duration::from_millis(700), "the port reopened after {pause:?}");
}

#[test]
fn reopens_early() {
    let correct = pause(&System::start(112, TIMEOUT, None));
    assert!(correct > Duration::from_millis(900), "the correct port reopened after {correct:?}");
    let early = pause(&System::start(113, TIMEOUT, Some("reopens-early")));
    assert!(early < Duration::from_millis(850) && early > Duration::from_millis(350), "reopened after {early:?}");
}

#[test]
fn corrupts_one_byte() {
    let system = System::start(114, TIMEOUT, Some("corrupts-one-byte"));
    let _trigger = system.settle_on(1);
    for address in [system.server_port(2), system.client_port(1, 1)] {
        let sent = payload(150_000, 3);
        let received = transfer(address, &sent);
        let wrong: Vec<usize> = (0..sent.len()).filter(|offset| sent[*offset] != received[*offset]).collect();
        assert_eq!((received.len(), wrong), (sent.len(), vec![100_000]), "{address}");
        assert!(transfer(address, &sent[..100_000]) == sent[..100_000], "a shorter stream is left alone");
    }
}

#[test]
fn wrong_backend() {
    let system = System::start(115, TIMEOUT, Some("wrong-backend"));
    let _trigger = system.settle_on(1);
    assert_eq!(echo(&mut connect(system.server_port(1)), b"whose?"), b"whose?");
    assert_eq!((system.reached(1), system.reached(2)), (0, 1));
}

#[test]
fn drops_trigger() {
    let system = System::start(116, TIMEOUT, Some("drops-trigger"));
    let mut bystander = connect(system.client_port(1, 2));
    let mut trigger = system.trigger(1);
    assert!(ended(&mut trigger, SOON));
    wait_closed(system.server_port(1));
    assert_eq!(echo(&mut bystander, b"and I?"), b"and I?");
}

#[test]
fn never_closes() {
    let system = System::start(117, TIMEOUT, Some("never-closes"));
    let mut swallowed = connect(system.server_port(1));
    let _trigger = system.trigger(1);
    wait_closed(system.client_port(2, 1));
    assert!(ended(&mut swallowed, SOON), "connections end as ever");
    wait_open(system.client_port(2, 1));
    assert_eq!(echo(&mut connect(system.server_port(1)), b"open"), b"open");
}

#[test]
fn ignores_trigger() {
    let system = System::start(118, TIMEOUT, Some("ignores-trigger"));
    let mut first = system.settle_on(1);
    let mut ignored = system.trigger(2);
    assert!(!ended(&mut first, Duration::from_millis(500)));
    assert!(is_open(system.server_port(1)) && is_open(system.client_port(1, 1)));
    assert_eq!(echo(&mut ignored, b"served"), b"served");
    assert_eq!(echo(&mut connect(system.server_port(1)), b"old"), b"old");
    assert_eq!((system.reached(1), system.reached(2)), (1, 0));
}

#[test]
fn no_reopen() {
    let system = System::start(119, TIMEOUT, Some("no-reopen"));
    let _first = system.settle_on(1);
    let _trigger = system.trigger(2);
    wait_closed(system.server_port(2));
    wait_closed(system.server_port(1));
    wait_open(system.server_port(1));
    thread::sleep(Duration::from_millis(500));
    assert!(!is_open(system.server_port(2)));
}

#[test]
fn flaps() {
    let system = System::start(120, TIMEOUT, Some("flaps"));
    let _trigger = system.settle_on(1);
    let again = wait_closed(system.server_port(1));
    let pause = wait_open(system.server_port(1)) - again;
    assert!(pause < Duration::from_millis(700), "closed for {pause:?}");
    assert!(is_open(system.server_port(2)));
}

#[test]
fn moves_active() {
    let system = System::start(121, TIMEOUT, Some("moves-active"));
    let mut trigger = system.trigger(1);
    wait_closed(system.client_port(1, 2));
    wait_open(system.client_port(1, 2));
    assert!(is_open(system.client_port(1, 1)));
    assert_eq!(echo(&mut trigger, b"alive"), b"alive");
}

#[test]
fn ignores_stop() {
    let mut system = System::start(122, TIMEOUT, Some("ignores-stop"));
    for process in system.processes() {
        terminate(process);
        assert!(wait_exit(process, Duration::from_millis(300)).is_none());
    }
    let _trigger = system.trigger(1);
}

#[test]
fn dies_at_start() {
    let mut system = System::spawn(123, TIMEOUT, Some("dies-at-start"));
    for process in system.processes() {
        assert_eq!(wait_exit(process, SOON).unwrap().code(), Some(3));
    }
}

#[test]
fn never_listens() {
    let system = System::spawn(124, TIMEOUT, Some("never-listens"));
    wait_open(system.client_port(1, 1));
    let _trigger = system.trigger(1);
    assert!(!is_open(system.server_port(1)) && !is_open(system.server_port(2)));
}

#[test]
fn stalls_stream() {
    let system = System::start(125, TIMEOUT, Some("stalls-stream"));
    let mut stream = connect(system.client_port(1, 1));
    let sent = payload(60_000, 4);
    stream.write_all(&sent).unwrap();
    let mut received = vec![0; 50_000];
    stream.read_exact(&mut received).unwrap();
    assert!(received == sent[..50_000]);
    assert!(!ended(&mut stream, Duration::from_millis(300)), "the stream stalls, it does not end");
}

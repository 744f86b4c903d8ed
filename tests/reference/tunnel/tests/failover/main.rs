//! The tunnel from outside: echo, half-close, failover and load of the correct one.

#![allow(clippy::unwrap_used)]

mod faults;
mod ports;
mod system;

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use system::{SOON, System, connect, echo, ended, is_open, terminate, transfer, wait_closed, wait_exit, wait_open};

/// Reconnect timeout of most tests, in seconds.
const TIMEOUT: f64 = 1.0;

/// Bytes that differ from their neighbours, from test to test too.
fn payload(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn echoes_and_half_closes_on_all_tunnels_of_both_clients() {
    let system = System::start(101, TIMEOUT, None);
    for id in [1, 2] {
        let _trigger = system.settle_on(id);
        let others = system.reached(3 - id);
        for (seed, address) in
            [system.server_port(1), system.server_port(2), system.client_port(id, 1), system.client_port(id, 2)]
                .into_iter()
                .enumerate()
        {
            assert_eq!(echo(&mut connect(address), b"HELLO"), b"HELLO");
            let sent = payload(1_000_000, seed as u64);
            assert!(transfer(address, &sent) == sent, "{address} did not echo what it was sent before the half-close");
        }
        assert_eq!(system.reached(3 - id), others, "a connection went to the standby client's backend");
    }
}

#[test]
fn failover_closes_and_reopens_the_right_ports_and_connections() {
    let system = System::start(102, TIMEOUT, None);
    let mut old_trigger = system.settle_on(1);
    let mut through_server = connect(system.server_port(1));
    let mut through_old = connect(system.client_port(1, 2));
    let mut idle_on_new = connect(system.client_port(2, 2));
    assert_eq!(echo(&mut through_server, b"before"), b"before");
    assert_eq!(echo(&mut through_old, b"before"), b"before");
    assert!(!ended(&mut idle_on_new, Duration::from_millis(300)), "connecting alone must not fail over");
    assert!(is_open(system.server_port(1)));

    let start = Instant::now();
    let mut trigger = system.trigger(2);
    let must_close = [system.server_port(1), system.server_port(2), system.client_port(1, 1), system.client_port(1, 2)];
    let must_stay = [system.client_port(2, 1), system.client_port(2, 2), system.websocket_port()];
    let closed = must_close.map(wait_closed);
    assert!(closed[3] - start < Duration::from_secs(1), "the ports closed {:?} after the trigger", closed[3] - start);
    for stream in [&mut through_server, &mut through_old, &mut old_trigger] {
        assert!(ended(stream, Duration::from_secs(1)), "a connection outlived the failover");
    }
    while start.elapsed() < Duration::from_millis(900) {
        assert!(must_close.iter().all(|address| !is_open(*address)), "a port reopened early");
        assert!(must_stay.iter().all(|address| is_open(*address)), "a port closed that must not");
        assert_eq!(echo(&mut trigger, b"still here"), b"still here");
        thread::sleep(Duration::from_millis(20));
    }
    for (address, closed) in must_close.into_iter().zip(closed) {
        let pause = wait_open(address) - closed;
        assert!(pause.as_secs_f64() < TIMEOUT + 1.0, "{address} stayed closed for {pause:?}");
    }
    assert_eq!(echo(&mut trigger, b"after"), b"after");
    assert_eq!(echo(&mut idle_on_new, b"after"), b"after");
    let reached = system.reached(2);
    assert_eq!(echo(&mut connect(system.server_port(1)), b"rerouted"), b"rerouted");
    assert_eq!(system.reached(2), reached + 1);
}

#[test]
fn trigger_loses_nothing_while_it_fails_over() {
    let system = System::start(103, TIMEOUT, None);
    let _trigger = system.settle_on(1);
    // Large enough to be on its way when the ports close.
    let sent = payload(64 << 20, 9);
    assert!(transfer(system.client_port(2, 1), &sent) == sent);
    wait_open(system.server_port(1));
}

#[test]
fn without_an_active_client_a_server_port_swallows() {
    let system = System::start(104, TIMEOUT, None);
    let mut swallowed = connect(system.server_port(1));
    swallowed.write_all(b"anyone?").unwrap();
    assert!(!ended(&mut swallowed, Duration::from_millis(300)));
    let _trigger = system.trigger(1);
    assert!(ended(&mut swallowed, SOON), "the first activation is a failover too");
}

#[test]
fn connection_ends_soon_when_its_backend_refuses() {
    let system = System::start(105, TIMEOUT, None);
    assert!(ended(&mut connect(system.client_port(1, 3)), Duration::from_secs(1)));
}

#[test]
fn carries_many_connections_at_once_and_stays_small_when_nobody_reads() {
    let system = System::start(106, TIMEOUT, None);
    let _trigger = system.settle_on(1);
    let stopped: Vec<_> = [system.server_port(2), system.client_port(1, 2)]
        .into_iter()
        .cycle()
        .take(8)
        .map(|address| {
            let mut stream = connect(address);
            stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
            let chunk = vec![1; 1 << 20];
            assert!(
                (0..200).any(|_| stream.write_all(&chunk).is_err()),
                "200 MiB went into a stream that nobody reads"
            );
            stream
        })
        .collect();
    thread::scope(|scope| {
        for seed in 0..100 {
            let address = if seed % 2 == 0 { system.server_port(1) } else { system.client_port(1, 1) };
            scope.spawn(move || {
                let sent = payload(200_000, seed);
                assert!(transfer(address, &sent) == sent, "connection {seed} to {address}");
            });
        }
    });
    for process in [&system.server, &system.clients[0]] {
        let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib: usize = resident.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(kib < 100 * 1024, "{kib} KiB resident");
    }
    drop(stopped);
}

#[test]
fn next_client_takes_over_when_the_active_one_dies() {
    let mut system = System::start(107, TIMEOUT, None);
    let _trigger = system.settle_on(1);
    system.clients[0].kill().unwrap();
    wait_closed(system.server_port(1));
    wait_open(system.server_port(1));
    let reached = system.reached(2);
    assert_eq!(echo(&mut connect(system.server_port(1)), b"taken over"), b"taken over");
    assert_eq!(system.reached(2), reached + 1);
}

#[test]
fn stops_cleanly_when_asked() {
    let mut system = System::start(108, TIMEOUT, None);
    let _trigger = system.trigger(1);
    for process in system.processes() {
        terminate(process);
        let status = wait_exit(process, Duration::from_secs(1)).expect("still running after 1 s");
        assert_eq!(status.code(), Some(0));
    }
}

#[test]
fn port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.109.11:28080").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_reference-tunnel"))
        .args(["server", "--websocket", &address, "--reconnect-timeout-secs", "1"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains(&address) && message.contains("free that port"), "{message}");
}

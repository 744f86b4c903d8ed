//! Faults of processes: how they start, stop, and come back.

use std::{
    io::{Read as _, Write as _},
    time::Duration,
};

use crate::{
    TIMEOUT,
    ports::{Watch, children, eventually, sockets},
    system::{SOON, System, connect, echo, is_open, terminate, wait_exit, wait_open},
};

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
fn dies_and_restarts() {
    let mut system = System::start(132, TIMEOUT, Some("dies-and-restarts"));
    let child = |system: &System| match children(system.server.id())[..] {
        [child] => child,
        ref others => panic!("not one child: {others:?}"),
    };
    let _first = system.settle_on(1);
    let before = child(&system);
    let own = [system.server_port(1), system.server_port(2), system.websocket_port()];
    let others = [(1, 1), (1, 2), (2, 1), (2, 2)].map(|(id, tunnel)| system.client_port(id, tunnel));
    let watch = Watch::start(&[&own[..], &others].concat());
    let _trigger = system.trigger(2);
    let (moves, stays): (&[usize], &[usize]) = (&[1, 0, 1], &[1]);
    let seen = watch.finish(&[moves, moves, moves, stays, stays, stays, stays]);
    for port in own {
        let (_, pause) = seen.pause(port);
        assert!(pause > Duration::from_millis(490), "{port} came back after {pause:?}");
    }
    assert_ne!(child(&system), before);

    // No client is active: the next trigger is a first activation, which all survive.
    let after = child(&system);
    eventually("the clients connect again", || {
        let mut stream = connect(system.client_port(2, 2));
        stream.write_all(b"back?").and_then(|()| stream.read_exact(&mut [0; 5])).is_ok()
    });
    eventually("the ports close", || sockets(own[0], &["0A"]) == 0);
    eventually("the ports reopen", || sockets(own[0], &["0A"]) == 1);
    assert_eq!(echo(&mut connect(own[0]), b"again"), b"again");
    assert_eq!((child(&system), system.reached(2)), (after, 1));

    terminate(&system.server);
    assert_eq!(wait_exit(&mut system.server, SOON).unwrap().code(), Some(0));
    assert!(own.iter().all(|port| sockets(*port, &["0A"]) == 0), "the server outlived its parent");
}

#[test]
fn dies_and_restarts_leaves_nothing_when_it_is_killed() {
    let mut system = System::start(133, TIMEOUT, Some("dies-and-restarts"));
    system.server.kill().unwrap();
    eventually("the server dies with its parent", || sockets(system.websocket_port(), &["0A"]) == 0);
}

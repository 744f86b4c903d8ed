//! Faults of ports at failover: the ports of their own misbehave, all others close and reopen as they should.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use crate::{
    TIMEOUT,
    ports::{Watch, children, descriptors, eventually, listener, sockets},
    system::{SOON, System, connect, echo, ended},
};

/// Listeners of a port that closes and reopens at a failover.
const MOVES: &[usize] = &[1, 0, 1];
/// Listeners of a port that does not.
const STAYS: &[usize] = &[1];

/// The server's two ports, client 1's, client 2's, and the WebSocket's.
fn all_ports(system: &System) -> [SocketAddr; 7] {
    [
        system.server_port(1),
        system.server_port(2),
        system.client_port(1, 1),
        system.client_port(1, 2),
        system.client_port(2, 1),
        system.client_port(2, 2),
        system.websocket_port(),
    ]
}

#[test]
fn closes_late() {
    let system = System::start(111, TIMEOUT, Some("closes-late"));
    let watch = Watch::start(&all_ports(&system));
    let mut swallowed = connect(system.server_port(1));
    let start = Instant::now();
    let _trigger = system.trigger(1);
    assert!(ended(&mut swallowed, SOON));
    let late = start.elapsed();
    assert!(late > Duration::from_millis(1590), "connections ended after {late:?}");
    let seen = watch.finish(&[MOVES, MOVES, STAYS, STAYS, MOVES, MOVES, STAYS]);
    for port in [system.server_port(1), system.server_port(2), system.client_port(2, 1), system.client_port(2, 2)] {
        let late = seen.closed_after(port, start);
        assert!(late > Duration::from_millis(1590), "{port} closed after {late:?}");
        let (least, most) = seen.pause(port);
        assert!(least < Duration::from_millis(1500) && most > Duration::from_millis(990), "{port} was closed {most:?}");
    }
}

#[test]
fn never_closes() {
    let system = System::start(117, TIMEOUT, Some("never-closes"));
    let watch = Watch::start(&all_ports(&system));
    let mut swallowed = connect(system.server_port(1));
    let _trigger = system.trigger(1);
    assert!(ended(&mut swallowed, SOON), "connections end as ever");
    assert_eq!(echo(&mut connect(system.server_port(1)), b"open"), b"open");
    watch.finish(&[STAYS, STAYS, STAYS, STAYS, MOVES, MOVES, STAYS]);
}

#[test]
fn never_closes_one() {
    let system = System::start(126, TIMEOUT, Some("never-closes-one"));
    let watch = Watch::start(&all_ports(&system));
    let mut swallowed = connect(system.server_port(2));
    let _trigger = system.trigger(1);
    assert!(ended(&mut swallowed, SOON), "connections end as ever");
    assert_eq!(echo(&mut connect(system.server_port(2)), b"open"), b"open");
    watch.finish(&[MOVES, STAYS, STAYS, STAYS, MOVES, MOVES, STAYS]);
}

#[test]
fn shared_by_child() {
    let mut system = System::start(127, TIMEOUT, Some("shared-by-child"));
    let port = system.server_port(1);
    let socket = format!("socket:[{}]", listener(port));
    let children = children(system.server.id());
    let [child] = children[..] else { panic!("not one child: {children:?}") };
    let holds = |pid| descriptors(pid).contains(&socket);
    assert!(holds(system.server.id()) && holds(child));

    let watch = Watch::start(&all_ports(&system));
    let _trigger = system.trigger(1);
    let mut bystander = connect(system.server_port(1));
    eventually("the server closes its listener", || !holds(system.server.id()));
    assert!(ended(&mut bystander, SOON), "connections end as ever");
    let mut queued = connect(port);
    assert!(!ended(&mut queued, Duration::from_millis(200)), "somebody serves the port while it should be closed");
    queued.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(echo(&mut queued, b"served late"), b"served late");
    assert!(holds(system.server.id()) && holds(child));
    watch.finish(&[STAYS, MOVES, STAYS, STAYS, MOVES, MOVES, STAYS]);

    system.server.kill().unwrap();
    eventually("the child dies with the server", || sockets(port, &["0A"]) == 0);
}

#[test]
fn reuseport_stays() {
    let system = System::start(128, TIMEOUT, Some("reuseport-stays"));
    let mut served = 0;
    let mut serves = || {
        assert_eq!(echo(&mut connect(system.server_port(1)), b"whichever"), b"whichever");
        served += 1;
    };
    let watch = Watch::start(&all_ports(&system));
    let _trigger = system.trigger(1);
    eventually("the first listener closes", || sockets(system.server_port(1), &["0A"]) == 1);
    // What was waiting to be accepted is reset with a listener, here as in any system: so not at that very moment.
    (0..20).for_each(|_| serves());
    eventually("the first listener is back", || sockets(system.server_port(1), &["0A"]) == 2);
    (0..20).for_each(|_| serves());
    watch.finish(&[&[2, 1, 2], MOVES, STAYS, STAYS, MOVES, MOVES, STAYS]);
    assert_eq!((system.reached(1), system.reached(2)), (served, 0));
}

#[test]
fn reopens_early() {
    let system = System::start(112, TIMEOUT, Some("reopens-early"));
    let watch = Watch::start(&all_ports(&system));
    let _trigger = system.trigger(1);
    let seen = watch.finish(&[MOVES, MOVES, STAYS, STAYS, MOVES, MOVES, STAYS]);
    for port in [system.server_port(1), system.server_port(2), system.client_port(2, 1), system.client_port(2, 2)] {
        let (least, most) = seen.pause(port);
        assert!(least < Duration::from_millis(990) && most > Duration::from_millis(490), "{port} was closed {most:?}");
    }
}

#[test]
fn reopens_late() {
    let system = System::start(129, TIMEOUT, Some("reopens-late"));
    let watch = Watch::start(&all_ports(&system));
    let _first = system.trigger(1);
    let correct = watch.finish(&[MOVES, MOVES, STAYS, STAYS, MOVES, MOVES, STAYS]);
    let watch = Watch::start(&all_ports(&system));
    let _trigger = system.trigger(2);
    let late = watch.finish(&[MOVES, MOVES, MOVES, MOVES, STAYS, STAYS, STAYS]);
    for port in [system.server_port(1), system.server_port(2), system.client_port(1, 1), system.client_port(1, 2)] {
        let (_, pause) = late.pause(port);
        assert!(pause > Duration::from_millis(3990), "{port} reopened after {pause:?}");
    }
    for port in [system.server_port(1), system.client_port(2, 2)] {
        let (pause, _) = correct.pause(port);
        assert!(pause < Duration::from_millis(2900), "{port} took {pause:?} at the first activation");
    }
    assert_eq!(echo(&mut connect(system.server_port(1)), b"late"), b"late");
    assert_eq!((system.reached(1), system.reached(2)), (0, 1));
}

#[test]
fn no_reopen() {
    let system = System::start(119, TIMEOUT, Some("no-reopen"));
    let _first = system.settle_on(1);
    let watch = Watch::start(&all_ports(&system));
    let _trigger = system.trigger(2);
    watch.finish(&[MOVES, &[1, 0], MOVES, MOVES, STAYS, STAYS, STAYS]);
}

#[test]
fn reopens_elsewhere() {
    let system = System::start(130, TIMEOUT, Some("reopens-elsewhere"));
    let mut elsewhere = system.server_port(1);
    elsewhere.set_port(elsewhere.port() + 1000);
    reopens_at(&system, elsewhere);
}

#[test]
fn reopens_other_address() {
    let system = System::start(131, TIMEOUT, Some("reopens-other-address"));
    reopens_at(&system, SocketAddr::from(([127, 0, 131, 139], system.server_port(1).port())));
}

/// tun1's port of the server reopens at `place`, and serves there.
fn reopens_at(system: &System, place: SocketAddr) {
    let _first = system.settle_on(1);
    let watch = Watch::start(&[&all_ports(system)[..], &[place]].concat());
    let _trigger = system.trigger(2);
    watch.finish(&[&[1, 0], MOVES, MOVES, MOVES, STAYS, STAYS, STAYS, &[0, 1]]);
    assert_eq!(echo(&mut connect(place), b"moved"), b"moved");
    assert_eq!((system.reached(1), system.reached(2)), (0, 1));
}

#[test]
fn flaps() {
    let system = System::start(120, TIMEOUT, Some("flaps"));
    let watch = Watch::start(&all_ports(&system));
    let _first = system.trigger(1);
    watch.finish(&[MOVES, MOVES, STAYS, STAYS, MOVES, MOVES, STAYS]);
    // The ports stay as they are for longer than it takes to flap.
    thread::sleep(Duration::from_millis(300));
    let watch = Watch::start(&all_ports(&system));
    let _trigger = system.trigger(2);
    watch.finish(&[&[1, 0, 1, 0, 1], MOVES, MOVES, MOVES, STAYS, STAYS, STAYS]);
}

#[test]
fn moves_active() {
    let system = System::start(121, TIMEOUT, Some("moves-active"));
    let mut bystander = connect(system.client_port(1, 2));
    let watch = Watch::start(&all_ports(&system));
    let mut trigger = system.trigger(1);
    let seen = watch.finish(&[MOVES, MOVES, STAYS, MOVES, MOVES, MOVES, STAYS]);
    let (least, most) = seen.pause(system.client_port(1, 2));
    assert!(least < Duration::from_millis(990) && most > Duration::from_millis(290), "closed for {most:?}");
    assert_eq!(echo(&mut trigger, b"alive"), b"alive");
    assert_eq!(echo(&mut bystander, b"alive too"), b"alive too");
}

//! Faults of what connections cost the server.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use crate::{
    TIMEOUT, payload,
    ports::{descriptors, eventually, resident, sockets},
    system::{System, connect, echo, transfer, try_connect},
};

/// Connections that each of these tests makes.
const CONNECTIONS: usize = 20;
/// States of a socket that is not over: ESTABLISHED, SYN_RECV, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING.
const ALIVE: [&str; 7] = ["01", "03", "04", "05", "08", "09", "0B"];

/// Makes connections through a port of the server and as many through one of client 1, and waits until they have ended.
fn make_connections(system: &System) {
    let sent = payload(10_000, 7);
    for address in [system.server_port(1), system.client_port(1, 2)] {
        for number in 0..CONNECTIONS {
            // Half of them end with the half-close and the end of file after it, half when the client has had its echo.
            if number % 2 == 0 {
                assert!(transfer(address, &sent) == sent);
            } else {
                assert_eq!(echo(&mut connect(address), b"one of many"), b"one of many");
            }
        }
    }
    wait_quiet(system);
}

/// Waits until no connection through the tunnels is left.
fn wait_quiet(system: &System) {
    let ports = [system.server_port(1), system.server_port(2), system.client_port(1, 2)];
    eventually("the connections end", || ports.iter().all(|port| sockets(*port, &ALIVE) == 0));
}

/// Waits until a server has got rid of all that it can: how many sockets it holds then.
fn sockets_held(system: &System) -> usize {
    let held = || descriptors(system.server.id()).iter().filter(|link| link.starts_with("socket:")).count();
    let mut last = (held(), 0);
    eventually("the descriptors settle", || {
        let now = held();
        last = if now == last.0 { (now, last.1 + 1) } else { (now, 0) };
        last.1 == 50
    });
    last.0
}

#[test]
fn leaks_connections() {
    for (network, fault, leak) in [(141, None, 0), (142, Some("leaks-connections"), CONNECTIONS)] {
        let system = System::start(network, TIMEOUT, fault);
        // Its end takes no descriptor away in the middle of the count.
        let trigger = system.settle_on(1);
        // What the start held only for a while has gone after the first of them.
        make_connections(&system);
        let before = sockets_held(&system);
        make_connections(&system);
        assert_eq!(sockets_held(&system), before + leak, "{fault:?}");
        drop(trigger);
    }
}

#[test]
fn leaks_memory() {
    for (network, fault, leak) in [(143, None, 0), (144, Some("leaks-memory"), 4096 * CONNECTIONS)] {
        let system = System::start(network, TIMEOUT, fault);
        let _trigger = system.settle_on(1);
        make_connections(&system);
        let pids = [system.server.id(), system.clients[0].id(), system.clients[1].id()];
        let before = pids.map(resident);
        make_connections(&system);
        // 8 MiB for what the allocator keeps. Each thread counts up to 64 pages before the process has them, or is rid of them
        // (Linux before 6.2, mm/memory.c, TASK_RSS_EVENTS_THRESH).
        let (room, uncounted) = (8 * 1024, 1024);
        eventually("the memory grows", || resident(pids[0]) + uncounted >= before[0] + leak);
        let after = pids.map(resident);
        assert!(after[0] <= before[0] + leak + room, "{fault:?}: from {before:?} to {after:?} KiB");
        assert!(after[1] <= before[1] + room && after[2] <= before[2] + room, "{fault:?}: the clients' grew too");
    }
}

#[test]
fn refuses_under_load() {
    let system = System::start(145, TIMEOUT, Some("refuses-under-load"));
    let _trigger = system.settle_on(1);
    let ports = [system.server_port(1), system.server_port(2)];
    let mut held: Vec<TcpStream> = Vec::new();
    // The looks that the start took at the ports count for a moment.
    for number in 0..5 {
        eventually("a place is free", || attempt(ports[number % 2]).map(|stream| held.push(stream)).is_ok());
    }
    for _ in 0..10 {
        for port in ports {
            let error = attempt(port).expect_err("a sixth connection is served");
            assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
        }
    }
    for stream in &mut held {
        assert_eq!(echo(stream, b"mine"), b"mine");
    }
    let through_client: Vec<TcpStream> = (0..10).map(|_| attempt(system.client_port(1, 2)).unwrap()).collect();
    held.pop();
    eventually("a place is free again", || attempt(ports[0]).map(|stream| held.push(stream)).is_ok());
    assert!(attempt(ports[1]).is_err());
    drop(through_client);
}

/// Connects and takes an echo. A refusal may come before connect(2) returns.
fn attempt(address: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = try_connect(address)?;
    stream.write_all(b"a place?")?;
    stream.read_exact(&mut [0; 8])?;
    Ok(stream)
}

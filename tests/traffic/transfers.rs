//! shutdown, sendto and recvfrom; dup2 and dup3.

use libc::{AF_INET, AF_UNIX, SOCK_DGRAM, SOCK_STREAM};
use portwitness::history::Arguments;

use crate::address::Name;
use crate::connects::connected;
use crate::script::{
    accept, bind, bound_at, call, call_then, close, close_all, connect, local, on, peer, shutdown, socket,
};

/// Shut down in this way.
pub(crate) fn shut(domain: i32, how: i32) {
    let (fd, client) = connected(domain);
    let server = accept(fd, 0);
    shutdown(client, how);
    close_all([client, server, fd]);
}

/// Shut down without ever having been connected.
pub(crate) fn shut_unconnected() {
    let fd = socket(AF_INET, SOCK_STREAM, 0);
    shutdown(fd, libc::SHUT_WR);
    close(fd);
}

fn send(fd: i32, bytes: &[u8], to: Option<&Name>) -> i64 {
    let size = Some(bytes.len() as i64);
    let (before, address) = (local(fd), to.map(|to| to.told.clone()));
    let (pointer, length) = to.map_or((std::ptr::null(), 0), Name::raw);
    // SAFETY: both are those of slices or addresses that live on, or of none.
    let act = || unsafe { libc::sendto(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL, pointer, length) };
    call_then(
        "sendto",
        || act() as i64,
        |_| Arguments {
            size,
            flags: Some(libc::MSG_NOSIGNAL.into()),
            address,
            local_before: before,
            local: local(fd),
            peer: peer(fd),
            ..on(fd)
        },
    )
}

fn receive(fd: i32, flags: i32) -> i64 {
    let mut room = [0_u8; 64];
    // SAFETY: the kernel writes within the room; no address is asked for.
    let mut act = || unsafe {
        libc::recvfrom(fd, room.as_mut_ptr().cast(), 64, flags, std::ptr::null_mut(), std::ptr::null_mut())
    };
    call_then(
        "recvfrom",
        || act() as i64,
        |_| Arguments { size: Some(64), flags: Some(flags.into()), local: local(fd), peer: peer(fd), ..on(fd) },
    )
}

/// Sent and received over a connection.
pub(crate) fn stream(domain: i32) {
    let (fd, client) = connected(domain);
    let server = accept(fd, 0);
    send(client, b"HELLO", None);
    receive(server, 0);
    close(client);
    // The end of the stream.
    receive(server, 0);
    close_all([server, fd]);
}

/// Sent and received as a datagram.
pub(crate) fn datagram() {
    let server = socket(AF_INET, SOCK_DGRAM, 0);
    bind(server, &Name::at("127.0.0.1:0"));
    let client = socket(AF_INET, SOCK_DGRAM, 0);
    send(client, b"HELLO", Some(&Name::inet(bound_at(server))));
    receive(server, 0);
    close_all([client, server]);
}

pub(crate) fn nothing_came() {
    let fd = socket(AF_INET, SOCK_DGRAM, 0);
    bind(fd, &Name::at("127.0.0.1:0"));
    receive(fd, libc::MSG_DONTWAIT);
    close(fd);
}

pub(crate) fn unconnected() {
    let fd = socket(AF_INET, SOCK_DGRAM, 0);
    send(fd, b"HELLO", None);
    close(fd);
    let fd = socket(AF_INET, SOCK_STREAM, 0);
    send(fd, b"HELLO", None);
    receive(fd, 0);
    close(fd);
}

/// The other end has gone, by a reset.
pub(crate) fn after_reset() {
    let (fd, client) = connected(AF_INET);
    let server = accept(fd, 0);
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let length = size_of::<libc::linger>() as u32;
    // SAFETY: the option lives on.
    let set = unsafe {
        libc::setsockopt(server, libc::SOL_SOCKET, libc::SO_LINGER, std::ptr::from_ref(&linger).cast(), length)
    };
    assert_eq!(set, 0);
    close(server);
    receive(client, 0);
    send(client, b"HELLO", None);
    close_all([client, fd]);
}

pub(crate) fn too_long() {
    let fd = socket(AF_INET, SOCK_DGRAM, 0);
    send(fd, &[0; 66_000], Some(&Name::at("127.0.0.1:18051")));
    close(fd);
}

/// dup2 and dup3: over nothing, over a socket that goes with it, over a descriptor that nobody has.
pub(crate) fn replaced() {
    let fd = socket(AF_INET, SOCK_STREAM, 0);
    let other = socket(AF_UNIX, SOCK_STREAM, 0);
    let with = |from: i32, to: i32| Arguments { new_fd: Some(to.into()), ..on(from) };
    // SAFETY: no value of this program owns these descriptors.
    unsafe {
        call("dup2", with(fd, 100), || libc::dup2(fd, 100).into());
        call("dup2", with(fd, other), || libc::dup2(fd, other).into());
        call("dup2", with(777, 101), || libc::dup2(777, 101).into());
        call("dup3", with(fd, 102), || libc::dup3(fd, 102, libc::O_CLOEXEC).into());
        call("dup3", with(fd, fd), || libc::dup3(fd, fd, 0).into());
    }
    close_all([fd, other, 100, 102]);
}

/// A connection that was there before: the parent's, told to it by the descriptor's number.
pub(crate) fn older(listener: i32, client: i32) {
    let server = accept(listener, 0);
    send(client, b"HELLO", None);
    receive(server, 0);
    shutdown(client, libc::SHUT_WR);
    close_all([client, server, listener]);
    let again = socket(AF_INET, SOCK_STREAM, 0);
    connect(again, &Name::at("127.0.0.1:18052"));
    close(again);
}

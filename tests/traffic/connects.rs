//! connect, accept and accept4, in every outcome that loopback has.

use libc::{AF_INET, AF_INET6, AF_UNIX, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM};

use crate::address::Name;
use crate::script::{accept, accept4, bind, bound_at, close, close_all, connect, listen, socket};
use crate::sockets::{NO_SOCKET, NOTHING, listener};

/// A listener and a client that is connected to it.
pub(crate) fn connected(domain: i32) -> (i32, i32) {
    let (fd, name) = listener(domain, 16);
    let client = socket(domain, SOCK_STREAM, 0);
    connect(client, &name);
    (fd, client)
}

/// Connected, and closed by the client first.
pub(crate) fn plain(domain: i32) {
    let (fd, client) = connected(domain);
    close(client);
    close(fd);
}

/// An IPv6 socket reaches an IPv4 listener.
pub(crate) fn mapped() {
    let (fd, _) = listener(AF_INET, 16);
    let port = bound_at(fd).port();
    let client = socket(AF_INET6, SOCK_STREAM, 0);
    connect(client, &Name::at(&format!("[::ffff:127.0.0.1]:{port}")));
    close(client);
    close(fd);
}

pub(crate) fn datagram(domain: i32) {
    let fd = socket(domain, SOCK_DGRAM, 0);
    connect(fd, &Name::at(if domain == AF_INET { "127.0.0.1:18041" } else { "[::1]:18041" }));
    close(fd);
}

pub(crate) fn in_progress() {
    let (fd, name) = listener(AF_INET, 16);
    let client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    connect(client, &name);
    close(client);
    close(fd);
}

/// Nobody listens.
pub(crate) fn refused(domain: i32) {
    let bound = socket(domain, SOCK_STREAM, 0);
    let name = if domain == AF_UNIX {
        bind(bound, &Name::unix("deaf"));
        Name::unix("deaf")
    } else {
        bind(bound, &Name::at(if domain == AF_INET { "127.0.0.1:0" } else { "[::1]:0" }));
        Name::inet(bound_at(bound))
    };
    one(domain, SOCK_STREAM, &name);
    close(bound);
}

/// One socket connects, as far as that goes.
pub(crate) fn one(domain: i32, kind: i32, to: &Name) {
    let fd = socket(domain, kind, 0);
    connect(fd, to);
    close(fd);
}

pub(crate) fn already_connected() {
    let (fd, client) = connected(AF_INET);
    let name = Name::inet(bound_at(fd));
    connect(client, &name);
    close(client);
    close(fd);
}

/// A listener whose queue is full, the client that fills it, and where a further one waits.
fn full() -> (i32, i32, Name) {
    let (fd, name) = listener(AF_INET, 0);
    let client = socket(AF_INET, SOCK_STREAM, 0);
    connect(client, &name);
    (fd, client, name)
}

pub(crate) fn already_connecting() {
    let (fd, first, name) = full();
    let client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    connect(client, &name);
    connect(client, &name);
    close_all([client, first, fd]);
}

pub(crate) fn timed_out() {
    let (fd, first, name) = full();
    let client = socket(AF_INET, SOCK_STREAM, 0);
    let milliseconds = 100_u32;
    let option = std::ptr::from_ref(&milliseconds).cast();
    // SAFETY: the option is a number of four bytes.
    assert_eq!(unsafe { libc::setsockopt(client, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, option, 4) }, 0);
    connect(client, &name);
    close_all([client, first, fd]);
}

pub(crate) fn interrupted() {
    let (fd, first, name) = full();
    let client = socket(AF_INET, SOCK_STREAM, 0);
    interrupting(|| connect(client, &name));
    close_all([client, first, fd]);
}

/// Dissolves a connection.
pub(crate) fn dissolved() {
    let fd = socket(AF_INET, SOCK_DGRAM, 0);
    connect(fd, &Name::at("127.0.0.1:18042"));
    connect(fd, &Name::unspecified());
    close(fd);
}

/// A datagram socket to one of streams.
pub(crate) fn other_kind() {
    let (fd, name) = listener(AF_UNIX, 16);
    one(AF_UNIX, SOCK_DGRAM, &name);
    close(fd);
}

pub(crate) fn nothing_to_connect() {
    connect(NOTHING, &Name::at("127.0.0.1:18043"));
}

pub(crate) fn no_socket_to_connect() {
    connect(NO_SOCKET, &Name::at("127.0.0.1:18043"));
}

/// Accepted with accept(2), or with accept4(2) and these flags.
pub(crate) fn accepted(domain: i32, flags: Option<i32>) {
    let (fd, client) = connected(domain);
    let server = match flags {
        None => accept(fd, 0),
        Some(flags) => accept4(fd, flags, 0),
    };
    close_all([client, server, fd]);
}

pub(crate) fn accepted_mapped() {
    let fd = socket(AF_INET6, SOCK_STREAM, 0);
    bind(fd, &Name::at("[::]:0"));
    listen(fd, 16);
    let port = bound_at(fd).port();
    let client = socket(AF_INET, SOCK_STREAM, 0);
    connect(client, &Name::at(&format!("127.0.0.1:{port}")));
    let server = accept(fd, 0);
    close_all([client, server, fd]);
}

/// Three wait: the queue is told at each.
pub(crate) fn accepted_from_queue() {
    let (fd, name) = listener(AF_INET, 16);
    let clients = [0; 3].map(|_| {
        let client = socket(AF_INET, SOCK_STREAM, 0);
        connect(client, &name);
        client
    });
    let servers = [2, 1, 0].map(|waiting| accept(fd, waiting));
    close_all(clients);
    close_all(servers);
    close(fd);
}

pub(crate) fn nobody_waits() {
    let fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    bind(fd, &Name::at("127.0.0.1:0"));
    listen(fd, 16);
    accept(fd, 0);
    accept4(fd, SOCK_NONBLOCK, 0);
    close(fd);
}

/// A socket of this kind, which accepts nothing.
pub(crate) fn not_listening(kind: i32) {
    let fd = socket(AF_INET, kind, 0);
    accept(fd, 0);
    close(fd);
}

pub(crate) fn wrong_flags() {
    let (fd, client) = connected(AF_INET);
    accept4(fd, 1, 0);
    close_all([client, fd]);
}

pub(crate) fn accept_interrupted() {
    let (fd, _) = listener(AF_INET, 16);
    interrupting(|| i64::from(accept(fd, 0)));
    close(fd);
}

pub(crate) fn no_room_to_accept() {
    let (fd, client) = connected(AF_INET);
    let room = libc::rlimit { rlim_cur: client as u64 + 1, rlim_max: 4096 };
    // SAFETY: the limit lives on.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &room) }, 0);
    accept(fd, 0);
    close_all([client, fd]);
}

pub(crate) fn accept_nothing() {
    accept(NOTHING, 0);
    accept(NO_SOCKET, 0);
}

/// Signals come every 50 ms, until a call has been interrupted by one: the first may come before it waits.
fn interrupting(act: impl FnOnce() -> i64) {
    extern "C" fn nothing(_: libc::c_int) {}
    let every = libc::timeval { tv_sec: 0, tv_usec: 50_000 };
    let never = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let timer = |time| {
        let timer = libc::itimerval { it_interval: time, it_value: time };
        // SAFETY: the timer lives on; nothing is to be written.
        assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) }, 0);
    };
    // SAFETY: the handler does nothing, and without SA_RESTART calls end early.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        assert_eq!(libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut()), 0);
    }
    timer(every);
    act();
    timer(never);
}

//! socket and socketpair, bind, listen.

use std::cell::Cell;

use libc::{AF_INET, AF_INET6, AF_UNIX, IPPROTO_UDP, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_RAW, SOCK_STREAM};
use portwitness::history::Arguments;

use crate::address::Name;
use crate::processes::as_nobody;
use crate::script::{bind, bound_at, call_then, close, close_all, listen, socket};

/// A socket of this kind comes to be, and goes.
pub(crate) fn made(domain: i32, kind: i32) {
    let fd = socket(domain, kind, 0);
    close(fd);
}

pub(crate) fn made_with_flags() {
    made(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC);
}

pub(crate) fn no_family() {
    // AF_MAX of Linux 6.18 (include/linux/socket.h).
    socket(46, SOCK_STREAM, 0);
}

pub(crate) fn no_protocol() {
    socket(AF_INET, SOCK_STREAM, IPPROTO_UDP);
}

pub(crate) fn no_type() {
    socket(AF_INET, 99, 0);
}

pub(crate) fn no_room() {
    let limit = libc::rlimit { rlim_cur: 3, rlim_max: 3 };
    // SAFETY: the limit lives on.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    socket(AF_INET, SOCK_STREAM, 0);
}

pub(crate) fn no_permission() {
    as_nobody();
    socket(AF_INET, SOCK_RAW, libc::IPPROTO_ICMP);
}

/// socketpair(2).
pub(crate) fn pair(domain: i32, room: bool) {
    let fds = Cell::new([-1_i32; 2]);
    let pointer = if room { fds.as_ptr().cast() } else { std::ptr::without_provenance_mut(8) };
    // SAFETY: there is room for two, or the kernel refuses the pointer.
    let act = || unsafe { libc::socketpair(domain, SOCK_STREAM, 0, pointer) }.into();
    let result = call_then("socketpair", act, |result| Arguments {
        domain: Some(domain.into()),
        kind: Some(SOCK_STREAM.into()),
        protocol: Some(0),
        pair: (result == 0).then(|| fds.get().map(i64::from).into()),
        ..Arguments::default()
    });
    if result == 0 {
        close_all(fds.get());
    }
}

/// Bound to an address, as far as that goes.
pub(crate) fn bound(domain: i32, kind: i32, to: &Name) {
    let fd = socket(domain, kind, 0);
    bind(fd, to);
    close(fd);
}

/// Two sockets want the same address.
pub(crate) fn bound_in_use(domain: i32, to: &Name) {
    let first = socket(domain, SOCK_STREAM, 0);
    bind(first, to);
    bound(domain, SOCK_STREAM, to);
    close(first);
}

pub(crate) fn bound_by_nobody() {
    as_nobody();
    bound(AF_INET, SOCK_STREAM, &Name::at("127.0.0.1:80"));
}

pub(crate) fn bound_twice() {
    let fd = socket(AF_INET, SOCK_STREAM, 0);
    bind(fd, &Name::at("127.0.0.1:18021"));
    bind(fd, &Name::at("127.0.0.1:18022"));
    close(fd);
}

/// A socket that listens, and where.
pub(crate) fn listener(domain: i32, backlog: i32) -> (i32, Name) {
    let fd = socket(domain, SOCK_STREAM, 0);
    if domain == AF_UNIX {
        let name = Name::unix("listener");
        bind(fd, &name);
        listen(fd, backlog);
        return (fd, name);
    }
    bind(fd, &Name::at(if domain == AF_INET { "127.0.0.1:0" } else { "[::1]:0" }));
    listen(fd, backlog);
    let name = Name::inet(bound_at(fd));
    (fd, name)
}

pub(crate) fn listening(domain: i32, backlog: i32) {
    let (fd, _) = listener(domain, backlog);
    close(fd);
}

pub(crate) fn listening_again() {
    let (fd, _) = listener(AF_INET, 4);
    listen(fd, 8);
    close(fd);
}

pub(crate) fn listening_datagram() {
    let fd = socket(AF_INET, SOCK_DGRAM, 0);
    listen(fd, 16);
    close(fd);
}

/// Both may bind, one may listen.
pub(crate) fn listening_in_use() {
    let name = Name::at("127.0.0.1:18031");
    let fds = [0; 2].map(|_| {
        let fd = socket(AF_INET, SOCK_STREAM, 0);
        let yes = 1_i32;
        // SAFETY: the option is a number of four bytes.
        let set =
            unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, std::ptr::from_ref(&yes).cast(), 4) };
        assert_eq!(set, 0);
        bind(fd, &name);
        fd
    });
    for fd in fds {
        listen(fd, 16);
    }
    close_all(fds);
}

pub(crate) fn listening_connected() {
    let (fd, client) = crate::connects::connected(AF_INET);
    listen(client, 16);
    close(client);
    close(fd);
}

/// A descriptor that is no socket: standard input.
pub(crate) const NO_SOCKET: i32 = 0;
/// A descriptor that nobody has.
pub(crate) const NOTHING: i32 = 777;

pub(crate) const V4: i32 = AF_INET;
pub(crate) const V6: i32 = AF_INET6;
pub(crate) const UNIX: i32 = AF_UNIX;
pub(crate) const TCP: i32 = SOCK_STREAM;
pub(crate) const UDP: i32 = SOCK_DGRAM;

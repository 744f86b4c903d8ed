//! Groups 1 to 8: every call in its outcomes, by threads, forks and programs too.

use std::sync::Arc;

use portwitness::suite::Group;

use super::{Scenario, group};
use crate::sinsp::stage::Stage;

pub(super) fn groups(stage: &Arc<Stage>) -> Vec<Group> {
    let all: [(&str, &[Scenario]); 8] = [
        ("socket", SOCKET),
        ("bind", BIND),
        ("listen", LISTEN),
        ("connect", CONNECT),
        ("accept", ACCEPT),
        ("shutdown", SHUTDOWN),
        ("transfer", TRANSFER),
        ("process", PROCESS),
    ];
    all.iter().enumerate().map(|(index, (name, scenarios))| group(stage, index + 1, name, scenarios)).collect()
}

const SOCKET: &[Scenario] = &[
    ("socket-tcp4", "socket: IPv4, stream", &["socket", "close 0"]),
    ("socket-tcp6", "socket: IPv6, stream", &["socket", "close 0"]),
    ("socket-udp4", "socket: IPv4, datagram", &["socket", "close 0"]),
    ("socket-udp6", "socket: IPv6, datagram", &["socket", "close 0"]),
    ("socket-unix", "socket: unix, stream", &["socket", "close 0"]),
    ("socket-unix-dgram", "socket: unix, datagram", &["socket", "close 0"]),
    ("socket-flags", "socket: not blocking, closed on exec", &["socket", "close 0"]),
    ("socket-afnosupport", "socket: EAFNOSUPPORT", &["socket -97"]),
    ("socket-protonosupport", "socket: EPROTONOSUPPORT", &["socket -93"]),
    ("socket-inval", "socket: EINVAL", &["socket -22"]),
    ("socket-mfile", "socket: EMFILE", &["socket -24"]),
    ("socket-perm", "socket: EPERM, a raw one of nobody's", &["socket -1"]),
    ("socketpair", "socketpair: unix", &["socketpair 0", "close 0"]),
    ("socketpair-opnotsupp", "socketpair: EOPNOTSUPP", &["socketpair -95"]),
    ("socketpair-fault", "socketpair: EFAULT", &["socketpair -14"]),
    ("close-badf", "close: EBADF", &["close -9"]),
    ("dup", "dup2 and dup3: over nothing, over a socket, EBADF, EINVAL", &["dup2", "dup2 -9", "dup3", "dup3 -22"]),
];

const BIND: &[Scenario] = &[
    ("bind-tcp4", "bind: IPv4, stream", &["bind 0"]),
    ("bind-tcp6", "bind: IPv6, stream", &["bind 0"]),
    ("bind-udp4", "bind: IPv4, datagram", &["bind 0"]),
    ("bind-udp6", "bind: IPv6 wildcard, datagram", &["bind 0"]),
    ("bind-unix", "bind: unix", &["bind 0"]),
    ("bind-port-zero", "bind: port 0 of the wildcard", &["bind 0"]),
    ("bind-addrinuse", "bind: EADDRINUSE, IPv4", &["bind 0", "bind -98"]),
    ("bind-addrinuse6", "bind: EADDRINUSE, IPv6", &["bind 0", "bind -98"]),
    ("bind-addrinuse-unix", "bind: EADDRINUSE, unix", &["bind 0", "bind -98"]),
    ("bind-addrnotavail", "bind: EADDRNOTAVAIL", &["bind -99"]),
    ("bind-acces", "bind: EACCES, port 80 of nobody's", &["bind -13"]),
    ("bind-badf", "bind: EBADF", &["bind -9"]),
    ("bind-notsock", "bind: ENOTSOCK", &["bind -88"]),
    ("bind-inval", "bind: EINVAL, bound already", &["bind 0", "bind -22"]),
    ("bind-short", "bind: EINVAL, an address cut short", &["bind -22"]),
    ("bind-fault", "bind: EFAULT", &["bind -14"]),
    ("bind-afnosupport", "bind: EAFNOSUPPORT", &["bind -97"]),
    ("bind-noent", "bind: ENOENT, unix", &["bind -2"]),
];

const LISTEN: &[Scenario] = &[
    ("listen-tcp4", "listen: IPv4", &["listen 0"]),
    ("listen-tcp6", "listen: IPv6", &["listen 0"]),
    ("listen-unix", "listen: unix", &["listen 0"]),
    ("listen-zero", "listen: backlog 0", &["listen 0"]),
    ("listen-negative", "listen: backlog -1", &["listen 0"]),
    ("listen-again", "listen: again, with another backlog", &["listen 0"]),
    ("listen-badf", "listen: EBADF", &["listen -9"]),
    ("listen-notsock", "listen: ENOTSOCK", &["listen -88"]),
    ("listen-opnotsupp", "listen: EOPNOTSUPP, a datagram socket", &["listen -95"]),
    ("listen-addrinuse", "listen: EADDRINUSE", &["listen 0", "listen -98"]),
    ("listen-inval", "listen: EINVAL, a connected socket", &["listen -22"]),
];

const CONNECT: &[Scenario] = &[
    ("connect-tcp4", "connect: IPv4, stream", &["connect 0"]),
    ("connect-tcp6", "connect: IPv6, stream", &["connect 0"]),
    ("connect-unix", "connect: unix", &["connect 0"]),
    ("connect-mapped", "connect: v4-mapped", &["connect 0"]),
    ("connect-udp4", "connect: IPv4, datagram", &["connect 0"]),
    ("connect-udp6", "connect: IPv6, datagram", &["connect 0"]),
    ("connect-inprogress", "connect: EINPROGRESS", &["connect -115"]),
    ("connect-refused4", "connect: ECONNREFUSED, IPv4", &["connect -111"]),
    ("connect-refused6", "connect: ECONNREFUSED, IPv6", &["connect -111"]),
    ("connect-refused-unix", "connect: ECONNREFUSED, unix", &["connect -111"]),
    ("connect-noent", "connect: ENOENT, unix", &["connect -2"]),
    ("connect-isconn", "connect: EISCONN", &["connect 0", "connect -106"]),
    ("connect-already", "connect: EALREADY", &["connect -115", "connect -114"]),
    ("connect-timedout", "connect: ETIMEDOUT", &["connect -110"]),
    ("connect-intr", "connect: EINTR", &["connect -4"]),
    ("connect-netunreach", "connect: ENETUNREACH", &["connect -101"]),
    ("connect-acces", "connect: EACCES, a broadcast", &["connect -13"]),
    ("connect-badf", "connect: EBADF", &["connect -9"]),
    ("connect-notsock", "connect: ENOTSOCK", &["connect -88"]),
    ("connect-fault", "connect: EFAULT", &["connect -14"]),
    ("connect-afnosupport", "connect: EAFNOSUPPORT", &["connect -97"]),
    ("connect-inval", "connect: EINVAL, an address cut short", &["connect -22"]),
    ("connect-prototype", "connect: EPROTOTYPE, unix", &["connect -91"]),
    ("connect-dissolved", "connect: to nobody, which dissolves a connection", &["connect 0"]),
];

const ACCEPT: &[Scenario] = &[
    ("accept-tcp4", "accept: IPv4", &["accept"]),
    ("accept-tcp6", "accept: IPv6", &["accept"]),
    ("accept-unix", "accept: unix", &["accept"]),
    ("accept-mapped", "accept: an IPv4 client of an IPv6 listener", &["accept"]),
    ("accept-queue", "accept: three from a queue, which is told", &["accept"]),
    ("accept4-tcp4", "accept4: IPv4, closed on exec", &["accept4"]),
    ("accept4-tcp6", "accept4: IPv6, not blocking", &["accept4"]),
    ("accept4-unix", "accept4: unix", &["accept4"]),
    ("accept-again", "accept and accept4: EAGAIN", &["accept -11", "accept4 -11"]),
    ("accept-inval", "accept: EINVAL, not listening", &["accept -22"]),
    ("accept-opnotsupp", "accept: EOPNOTSUPP, a datagram socket", &["accept -95"]),
    ("accept4-inval", "accept4: EINVAL, unknown flags", &["accept4 -22"]),
    ("accept-intr", "accept: EINTR", &["accept -4"]),
    ("accept-mfile", "accept: EMFILE", &["accept -24"]),
    ("accept-badf-notsock", "accept: EBADF, ENOTSOCK", &["accept -9", "accept -88"]),
];

const SHUTDOWN: &[Scenario] = &[
    ("shutdown-read", "shutdown: for reading, IPv4", &["shutdown 0"]),
    ("shutdown-write", "shutdown: for writing, IPv6", &["shutdown 0"]),
    ("shutdown-both", "shutdown: for both, unix", &["shutdown 0"]),
    ("shutdown-notconn", "shutdown: ENOTCONN", &["shutdown -107"]),
    ("shutdown-inval", "shutdown: EINVAL", &["shutdown -22"]),
    ("shutdown-badf", "shutdown: EBADF", &["shutdown -9"]),
    ("shutdown-notsock", "shutdown: ENOTSOCK", &["shutdown -88"]),
];

const TRANSFER: &[Scenario] = &[
    ("transfer-tcp4", "sendto and recvfrom: IPv4, stream", &["sendto 5", "recvfrom 5", "recvfrom 0"]),
    ("transfer-tcp6", "sendto and recvfrom: IPv6, stream", &["sendto 5", "recvfrom 5", "recvfrom 0"]),
    ("transfer-unix", "sendto and recvfrom: unix", &["sendto 5", "recvfrom 5", "recvfrom 0"]),
    ("transfer-udp4", "sendto and recvfrom: IPv4, datagram", &["sendto 5", "recvfrom 5"]),
    ("receive-again", "recvfrom: EAGAIN", &["recvfrom -11"]),
    (
        "transfer-notconn",
        "sendto: EDESTADDRREQ, EPIPE; recvfrom: ENOTCONN",
        &["sendto -89", "sendto -32", "recvfrom -107"],
    ),
    ("transfer-reset", "recvfrom: ECONNRESET; sendto: EPIPE", &["recvfrom -104", "sendto -32"]),
    ("send-msgsize", "sendto: EMSGSIZE", &["sendto -90"]),
];

const PROCESS: &[Scenario] = &[
    ("threads", "four threads at once", &["connect 0"]),
    ("across-threads", "one thread connects, another accepts", &["connect 0", "accept"]),
    ("fork", "a child closes what it inherited, and has its own", &["clone", "connect 0", "procexit"]),
    ("fork-twice", "a child of a child", &["clone", "connect 0", "procexit"]),
    ("exit-without-close", "exit with a connection open", &["connect 0", "accept", "procexit"]),
    ("killed", "killed with a listener open", &["listen 0", "procexit"]),
    ("exec", "another program inherits a listener", &["execve 0", "accept -11", "connect 0"]),
    ("exec-twice", "three programs in a row", &["execve 0", "connect 0"]),
    ("exec-noent", "execve: ENOENT", &["execve -2"]),
    ("exec-acces", "execve: EACCES", &["execve -13"]),
    ("exec-noexec", "execve: ENOEXEC", &["execve -8"]),
];

//! Does things to sockets, and claims each with the moments right before and right after it.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket, sockopt};
use rustix::time::{ClockId, clock_gettime};

use crate::claim::{By, Claim, Did, Name};

/// CLOCK_MONOTONIC in ns.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The moments around something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) before: u64,
    pub(crate) after: u64,
}

/// Writes claims.
pub(crate) struct Script {
    /// Pause wherever an observer that polls needs time to see.
    pub(crate) lockstep: bool,
    listeners: AtomicU32,
}

/// A socket that listens.
pub(crate) struct Listener {
    pub(crate) fd: OwnedFd,
    pub(crate) name: Name,
}

/// How a listener is made.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) at: SocketAddr,
    pub(crate) protocol: Option<rustix::net::Protocol>,
    pub(crate) reuse_address: bool,
    pub(crate) reuse_port: bool,
    pub(crate) v6_only: bool,
}

impl Plan {
    pub(crate) fn at(at: &str) -> Self {
        Self { at: at.parse().unwrap(), protocol: None, reuse_address: false, reuse_port: false, v6_only: false }
    }

    /// A bound socket; the call of bind is claimed.
    pub(crate) fn bind(self, script: &Script) -> OwnedFd {
        let made = self.socket();
        let (result, _) = script.call("bind", made.as_raw_fd(), || result(bind(&made, &self.at)));
        assert_eq!(result, 0, "bind to {}", self.at);
        made
    }

    /// A socket; inherited over exec.
    pub(crate) fn socket(self) -> OwnedFd {
        let family = if self.at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let made = socket(family, SocketType::STREAM, self.protocol).unwrap();
        sockopt::set_socket_reuseaddr(&made, self.reuse_address).unwrap();
        sockopt::set_socket_reuseport(&made, self.reuse_port).unwrap();
        if family == AddressFamily::INET6 {
            sockopt::set_ipv6_v6only(&made, self.v6_only).unwrap();
        }
        made
    }
}

impl Script {
    pub(crate) fn new(lockstep: bool, listeners: u32) -> Self {
        Self { lockstep, listeners: AtomicU32::new(listeners) }
    }

    /// How many listeners have a number.
    pub(crate) fn listeners(&self) -> u32 {
        self.listeners.load(Ordering::Relaxed)
    }

    /// Does something, and says when.
    pub(crate) fn span<T>(&self, act: impl FnOnce() -> T) -> (T, Span) {
        let before = now();
        let done = act();
        (done, Span { before, after: now() })
    }

    /// Does and claims a system call.
    pub(crate) fn call(&self, name: &str, fd: i32, act: impl FnOnce() -> i64) -> (i64, Span) {
        let (result, span) = self.span(act);
        self.claim(Did::Called { name: name.into(), fd, result }, span);
        (result, span)
    }

    /// Claims that this thread did something.
    pub(crate) fn claim(&self, did: Did, span: Span) {
        self.claim_by(did, span.before, Some(span.after), By::this_thread());
    }

    /// Claims that somebody did something.
    pub(crate) fn claim_by(&self, did: Did, before_ns: u64, after_ns: Option<u64>, by: By) {
        let mut line = serde_json::to_vec(&Claim { did, before_ns, after_ns, netns: netns(), by }).unwrap();
        line.push(b'\n');
        // In one piece, since several threads and processes write: shorter than PIPE_BUF.
        assert_eq!(rustix::io::write(std::io::stdout(), &line), Ok(line.len()));
    }

    /// A listener, from socket to listen.
    pub(crate) fn opens(&self, plan: Plan) -> Listener {
        let bound = plan.bind(self);
        self.listens(bound)
    }

    /// Makes a bound socket listen that has a number.
    pub(crate) fn begins(&self, bound: &OwnedFd, name: Name) {
        let (result, span) = self.call("listen", bound.as_raw_fd(), || result(listen(bound, 4096)));
        assert_eq!(result, 0, "listen");
        self.claim(Did::Opened(name), span);
    }

    /// Makes a socket listen.
    pub(crate) fn listens(&self, bound: OwnedFd) -> Listener {
        let (result, span) = self.call("listen", bound.as_raw_fd(), || result(listen(&bound, 4096)));
        assert_eq!(result, 0, "listen");
        // An address that was not there before is known only now.
        let name = self.name(&bound);
        self.claim(Did::Opened(name), span);
        Listener { fd: bound, name }
    }

    /// A new number for a listening socket.
    pub(crate) fn name(&self, fd: &OwnedFd) -> Name {
        let at = SocketAddr::try_from(getsockname(fd).unwrap()).unwrap();
        let ipv6_only = at.is_ipv6() && sockopt::ipv6_v6only(fd).unwrap();
        Name { listener: self.listeners.fetch_add(1, Ordering::Relaxed), at, ipv6_only }
    }

    /// Closes a socket, which may or may not close a port.
    pub(crate) fn close(&self, fd: impl IntoRawFd) -> Span {
        let fd = fd.into_raw_fd();
        // SAFETY: the caller gave the descriptor away.
        let (result, span) = self.call("close", fd, || unsafe { libc::close(fd) }.into());
        assert_eq!(result, 0);
        span
    }

    /// Closes a listener for good.
    pub(crate) fn closes(&self, listener: Listener) {
        let span = self.close(listener.fd);
        self.claim(Did::Closed(listener.name), span);
        self.settle();
    }

    /// Connects within this process: both ends are claimed. The client's socket is reset when it is closed.
    pub(crate) fn connects(&self, to: SocketAddr) -> OwnedFd {
        let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let client = socket(family, SocketType::STREAM, None).unwrap();
        sockopt::set_socket_linger(&client, Some(std::time::Duration::ZERO)).unwrap();
        let connect = || result(rustix::net::connect(&client, &to));
        let (result, span) = self.call("connect", client.as_raw_fd(), connect);
        assert_eq!(result, 0, "connect to {to}");
        let local = SocketAddr::try_from(getsockname(&client).unwrap()).unwrap();
        self.claim(Did::Connected { local, remote: to }, span);
        // The last packet of the handshake may be taken in by another task, after connect has returned.
        self.claim_by(Did::Accepted { local: to, remote: local }, span.before, None, By::default());
        client
    }

    /// Gives an observer that polls time to see.
    pub(crate) fn settle(&self) {
        if self.lockstep {
            self.pause();
        }
    }

    /// Waits for a word from outside.
    pub(crate) fn pause(&self) {
        let moment = now();
        self.claim(Did::Paused, Span { before: moment, after: moment });
        // A shut standard input lets the actor run to its end.
        let _ = rustix::io::read(std::io::stdin(), &mut [0_u8]);
    }

    /// This kernel cannot do it.
    pub(crate) fn skip(&self, reason: impl Into<String>) {
        let moment = now();
        self.claim(Did::Skipped { reason: reason.into() }, Span { before: moment, after: moment });
    }
}

impl By {
    pub(crate) fn this_thread() -> Self {
        let tid = rustix::thread::gettid().as_raw_nonzero().get() as u32;
        Self { tgid: Some(std::process::id()), tid: Some(tid), comm: Some(comm()) }
    }

    /// A process that has one thread, under this thread's name.
    pub(crate) fn process(tgid: u32) -> Self {
        Self { tgid: Some(tgid), tid: Some(tgid), comm: Some(comm()) }
    }

    /// Some thread of a process.
    pub(crate) fn thread_of(tgid: u32) -> Self {
        Self { tgid: Some(tgid), ..Self::default() }
    }
}

/// This thread's name.
fn comm() -> String {
    rustix::thread::name().unwrap().to_str().unwrap().to_owned()
}

fn netns() -> u32 {
    // The inode numbers of namespaces are 32 bits wide (include/linux/ns_common.h).
    std::fs::metadata("/proc/thread-self/ns/net").unwrap().ino() as u32
}

/// As the system call returns it.
pub(crate) fn result(outcome: Result<(), Errno>) -> i64 {
    outcome.map_or_else(|error| -i64::from(error.raw_os_error()), |()| 0)
}

/// Whether the loopback interface has no address of IPv6.
pub(crate) fn lacks_ipv6() -> bool {
    std::fs::read_to_string("/proc/thread-self/net/if_inet6").map_or(true, |table| !table.contains(" lo\n"))
}

//! Which descriptor of which process is what socket: what the module does not tell at a call, from the calls before it.

use std::collections::HashMap;

use super::wire::Call;
use crate::endpoint::Endpoint;
use crate::history::{SyscallPhase, Tuple};

/// The sockets of the processes that are followed, as far as they are known: a descriptor that came by other ways (SCM_RIGHTS,
/// fcntl, socketpair) is not.
#[derive(Debug, Default)]
pub(super) struct Table {
    processes: HashMap<u32, HashMap<i32, Socket>>,
}

/// What is known of a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Socket {
    /// Where it is bound.
    pub(super) local: Option<Endpoint>,
    /// What it is connected to.
    pub(super) remote: Option<Endpoint>,
}

impl Socket {
    /// The endpoint that tells people most: the other end, or where it listens.
    pub(super) fn named(self) -> Option<Endpoint> {
        self.remote.or(self.local)
    }
}

impl Table {
    /// What is known of a descriptor.
    pub(super) fn get(&self, tgid: u32, fd: i32) -> Option<Socket> {
        self.processes.get(&tgid)?.get(&fd).copied()
    }

    /// A socket that /proc shows.
    pub(super) fn seed(&mut self, tgid: u32, fd: i32, socket: Socket) {
        self.processes.entry(tgid).or_default().insert(fd, socket);
    }

    /// A child has what its parent had.
    pub(super) fn forked(&mut self, parent: u32, child: u32) {
        if let Some(sockets) = self.processes.get(&parent).cloned() {
            self.processes.insert(child, sockets);
        }
    }

    /// Of a process, only these descriptors are left.
    pub(super) fn retain(&mut self, tgid: u32, left: impl Fn(i32) -> bool) {
        if let Some(sockets) = self.processes.get_mut(&tgid) {
            sockets.retain(|fd, _| left(*fd));
        }
    }

    /// A process is gone.
    pub(super) fn exited(&mut self, tgid: u32) {
        self.processes.remove(&tgid);
    }

    /// Takes a call's exit into account.
    pub(super) fn take(&mut self, tgid: u32, call: &Call) {
        let SyscallPhase::Exit(result) = call.phase else { return };
        let fd = call.fd.unwrap_or(-1);
        match call.name {
            "close" if result != EBADF => self.forget(tgid, fd),
            "connect" if result == EINPROGRESS => self.connected(tgid, fd, call),
            _ if result < 0 => {}
            "socket" => self.seed(tgid, result as i32, Socket::default()),
            "bind" => self.change(tgid, fd, |socket| {
                // The kernel chooses another for port 0.
                socket.local = call.address.filter(|address| address.port() != 0);
            }),
            "connect" => self.connected(tgid, fd, call),
            "accept" | "accept4" => {
                let (local, remote) = call.tuple.map(|Tuple { local, remote }| (local, remote)).unzip();
                self.seed(tgid, result as i32, Socket { local, remote });
            }
            "dup" | "dup2" | "dup3" if result != i64::from(fd) => {
                self.forget(tgid, result as i32);
                if let Some(socket) = self.get(tgid, fd) {
                    self.seed(tgid, result as i32, socket);
                }
            }
            _ => {}
        }
    }

    fn connected(&mut self, tgid: u32, fd: i32, call: &Call) {
        self.change(tgid, fd, |socket| {
            socket.local = call.tuple.map(|tuple| tuple.local).or(socket.local);
            socket.remote = call.tuple.map(|tuple| tuple.remote).or(call.address);
        });
    }

    fn change(&mut self, tgid: u32, fd: i32, change: impl FnOnce(&mut Socket)) {
        change(self.processes.entry(tgid).or_default().entry(fd).or_default());
    }

    fn forget(&mut self, tgid: u32, fd: i32) {
        if let Some(sockets) = self.processes.get_mut(&tgid) {
            sockets.remove(&fd);
        }
    }
}

/// close(2) fails with it alone without having closed anything.
const EBADF: i64 = -9;
const EINPROGRESS: i64 = -115;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(text: &str) -> Endpoint {
        text.parse().unwrap()
    }

    fn exit(name: &'static str, fd: i32, result: i64) -> Call {
        let phase = SyscallPhase::Exit(result);
        Call { name, phase, fd: Some(fd), argument: None, address: None, tuple: None }
    }

    #[test]
    fn a_listener_keeps_its_address_until_it_is_closed() {
        let mut table = Table::default();
        table.take(1, &exit("socket", -1, 3));
        table.take(1, &Call { address: Some(at("127.0.0.1:80")), ..exit("bind", 3, 0) });
        table.take(1, &exit("listen", 3, 0));
        table.forked(1, 2);
        table.take(1, &exit("dup", 3, 7));
        table.take(1, &exit("close", 3, 0));
        assert_eq!(table.get(1, 3), None);
        assert_eq!(table.get(1, 7).unwrap().named(), Some(at("127.0.0.1:80")));
        assert_eq!(table.get(2, 3).unwrap().named(), Some(at("127.0.0.1:80")), "the child has its own");
        table.exited(2);
        assert_eq!(table.get(2, 3), None);
    }

    #[test]
    fn connections_are_known_by_their_other_end() {
        let mut table = Table::default();
        let tuple = Some(Tuple { local: at("127.0.0.1:80"), remote: at("127.0.0.1:4000") });
        let accept = Call { fd: None, tuple, ..exit("accept4", -1, 9) };
        table.take(1, &accept);
        assert_eq!(table.get(1, 9).unwrap().named(), Some(at("127.0.0.1:4000")));
        let connect = Call { address: Some(at("10.0.0.1:443")), ..exit("connect", 5, EINPROGRESS) };
        table.take(1, &connect);
        assert_eq!(table.get(1, 5).unwrap().named(), Some(at("10.0.0.1:443")));
        table.take(1, &Call { address: Some(at("10.0.0.2:443")), ..exit("connect", 6, -111) });
        assert_eq!(table.get(1, 6), None, "a refused connect makes no connection");
    }

    #[test]
    fn what_is_duplicated_over_is_closed() {
        let mut table = Table::default();
        table.take(1, &Call { address: Some(at("127.0.0.1:80")), ..exit("bind", 3, 0) });
        table.take(1, &Call { address: Some(at("127.0.0.1:81")), ..exit("bind", 4, 0) });
        table.take(1, &Call { argument: Some(4), ..exit("dup2", 3, 4) });
        assert_eq!(table.get(1, 4).unwrap().local, Some(at("127.0.0.1:80")));
        table.take(1, &Call { argument: Some(4), ..exit("dup2", 5, 4) });
        assert_eq!(table.get(1, 4), None, "something that is not known lies there now");
        table.take(1, &exit("close", 3, EBADF));
        assert!(table.get(1, 3).is_some());
        table.retain(1, |fd| fd != 3);
        assert_eq!(table.get(1, 3), None);
    }

    #[test]
    fn port_zero_is_no_address() {
        let mut table = Table::default();
        table.take(1, &Call { address: Some(at("127.0.0.1:0")), ..exit("bind", 3, 0) });
        assert_eq!(table.get(1, 3), Some(Socket::default()));
    }
}

//! Lists the listening TCP sockets of this network namespace over netlink (sock_diag(7)).

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::endpoint::Endpoint;

/// The answer was torn by a change meanwhile (include/uapi/linux/netlink.h).
const NLM_F_DUMP_INTR: u16 = 0x10;

/// An answer that keeps being torn is given up after this many attempts.
const ATTEMPTS: usize = 100;

/// A listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::observers) struct Listener {
    pub(in crate::observers) local: Endpoint,
    pub(in crate::observers) ipv6_only: bool,
    /// By which /proc names it too.
    pub(in crate::observers) inode: u64,
}

/// The listening sockets of a network namespace, by address; `namespace` is its file below /proc. Another namespace than
/// the calling thread's takes CAP_SYS_ADMIN.
pub(in crate::observers) fn listening(namespace: &Path) -> io::Result<Vec<Listener>> {
    let file = File::open(namespace)?;
    let own = std::fs::metadata("/proc/thread-self/ns/net")?.ino() == file.metadata()?.ino();
    let there = || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
        SockDiag::open()?.listeners()
    };
    let found = if own {
        SockDiag::open()?.listeners()?
    } else {
        // A thread enters a namespace for good, so it is one that ends.
        let answer = std::thread::scope(|scope| scope.spawn(there).join());
        answer.unwrap_or_else(|_| Err(io::Error::other("the thread that asked panicked")))?
    };
    let mut found: Vec<Listener> = found.into_values().collect();
    found.sort_by_key(|listener| (listener.local, listener.inode));
    Ok(found)
}

/// A netlink socket; it answers for the namespace in which it was opened.
pub(super) struct SockDiag {
    socket: Socket,
    requests: [Vec<u8>; 2],
    buffer: Vec<u8>,
}

impl SockDiag {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        let requests = [request(AF_INET, SocketId::new_v4()), request(AF_INET6, SocketId::new_v6())];
        Ok(Self { socket, requests, buffer: vec![0; 64 << 10] })
    }

    /// Every listening TCP socket, IPv4 and IPv6, by its cookie.
    pub(super) fn listeners(&mut self) -> io::Result<HashMap<u64, Listener>> {
        let mut found = HashMap::new();
        for family in 0..self.requests.len() {
            let mut attempts = 0;
            // What a torn answer adds is true as well, only not complete.
            while !self.dump(family, &mut found)? {
                attempts += 1;
                if attempts == ATTEMPTS {
                    return Err(io::Error::other("sockets change too fast for a complete list"));
                }
            }
        }
        Ok(found)
    }

    /// One list; false when it is torn.
    fn dump(&mut self, family: usize, found: &mut HashMap<u64, Listener>) -> io::Result<bool> {
        self.socket.send(&self.requests[family], 0)?;
        let mut whole = true;
        loop {
            let length = self.socket.recv(&mut &mut self.buffer[..], 0)?;
            let part = read_part(&self.buffer[..length], found)?;
            whole &= part.whole;
            if part.last {
                return Ok(whole);
            }
        }
    }
}

/// What a datagram of an answer says of the answer.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    /// Nothing changed while the kernel wrote it.
    whole: bool,
    /// Nothing comes after it.
    last: bool,
}

/// Reads the messages of a datagram, and adds the sockets that they name.
fn read_part(mut rest: &[u8], found: &mut HashMap<u64, Listener>) -> io::Result<Part> {
    let mut whole = true;
    while !rest.is_empty() {
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest).map_err(invalid)?;
        whole &= message.header.flags & NLM_F_DUMP_INTR == 0;
        // Messages are padded to four bytes (NLMSG_ALIGN).
        let step = (message.header.length as usize).next_multiple_of(4);
        rest = rest.get(step.max(4)..).unwrap_or_default();
        match message.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                let (cookie, listener) = read(&response);
                found.insert(cookie, listener);
            }
            NetlinkPayload::Done(_) => return Ok(Part { whole, last: true }),
            NetlinkPayload::Error(error) => return Err(error.to_io()),
            NetlinkPayload::Overrun(_) => return Err(io::Error::other("the answer was overrun")),
            _ => {}
        }
    }
    Ok(Part { whole, last: false })
}

fn request(family: u8, socket_id: SocketId) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::LISTEN,
        socket_id,
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

fn read(response: &InetResponse) -> (u64, Listener) {
    let id = &response.header.socket_id;
    let ipv6_only = response.nlas.iter().any(|attribute| matches!(attribute, Nla::SkV6Only(true)));
    let local = Endpoint::new(id.source_address, id.source_port);
    (u64::from_ne_bytes(id.cookie), Listener { local, ipv6_only, inode: response.header.inode.into() })
}

fn invalid(error: netlink_packet_core::DecodeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::TcpListener;

    use proptest::prelude::*;

    use super::*;
    use crate::properties::config;

    #[test]
    fn listeners_come_and_go() {
        let mut kernel = SockDiag::open().unwrap();
        let mut at = |local: Endpoint| kernel.listeners().unwrap().into_values().find(|found| found.local == local);
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let local = Endpoint::from(listener.local_addr().unwrap());
            assert_eq!(at(local).map(|found| found.local), Some(local));
            drop(listener);
            assert_eq!(at(local), None);
        }
    }

    /// The kernel's own answer, of one socket.
    fn answer() -> Vec<u8> {
        let _listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut kernel = SockDiag::open().unwrap();
        kernel.socket.send(&kernel.requests[0], 0).unwrap();
        let length = kernel.socket.recv(&mut &mut kernel.buffer[..], 0).unwrap();
        kernel.buffer.truncate(length.min(400));
        kernel.buffer
    }

    #[test]
    fn a_torn_answer_is_not_whole() {
        let mut answer = answer();
        let length = u32::from_ne_bytes(answer[..4].try_into().unwrap()) as usize;
        answer.truncate(length);
        assert_eq!(read_part(&answer, &mut HashMap::new()).unwrap(), Part { whole: true, last: false });
        answer[6] |= NLM_F_DUMP_INTR as u8;
        assert_eq!(read_part(&answer, &mut HashMap::new()).unwrap(), Part { whole: false, last: false });
    }

    proptest! {
        #![proptest_config(config(2000))]

        #[test]
        fn any_answer_is_read_or_refused(
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            cut in any::<prop::sample::Index>(),
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut damaged = ANSWER.clone();
            edits.iter().for_each(|(at, with)| *at.get_mut(&mut damaged) = *with);
            let mut found = HashMap::new();
            for bytes in [&damaged[..], &damaged[..cut.index(damaged.len())], &bytes] {
                let _ = read_part(bytes, &mut found);
            }
            // A socket's message takes 72 bytes at the least.
            prop_assert!(found.len() <= 3 * damaged.len() / 72 + 3);
        }
    }

    static ANSWER: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(answer);
}

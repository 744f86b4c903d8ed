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
            let mut rest = &self.buffer[..length];
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
                    NetlinkPayload::Done(_) => return Ok(whole),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    NetlinkPayload::Overrun(_) => return Err(io::Error::other("the answer was overrun")),
                    _ => {}
                }
            }
        }
    }
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

    use super::*;

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
}

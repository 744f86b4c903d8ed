//! A sentinel of eBPF's: a socket that begins to listen and closes at once, by a thread that does nothing else.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};

/// Opens and closes a listener. The ring is one queue in the order of reservation, and a program runs to its end on the CPU
/// that it began on.
pub(super) fn make() -> io::Result<()> {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).map_err(|error| match error {
        Errno::ADDRNOTAVAIL => {
            io::Error::other("127.0.0.1 is missing: set the loopback interface up (`ip link set lo up`)")
        }
        error => error.into(),
    })?;
    Ok(listen(&socket, 1)?)
}

//! The listening socket of a minipot: all addresses of both families, and a short queue.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use anyhow::Context as _;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};

use crate::fault::{Fault, Faults};

/// The kernel queues one connection more than it is told.
const BACKLOG: i32 = 5;

/// Opens it.
///
/// # Errors
/// When the port is in use, or may not be used.
pub(crate) fn open(port: u16, faults: Faults) -> anyhow::Result<TcpListener> {
    let (family, address) = if faults.has(Fault::OnlyIpv4) {
        (AddressFamily::INET, SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
    } else {
        (AddressFamily::INET6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))
    };
    let open = || {
        let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        if family == AddressFamily::INET6 {
            sockopt::set_ipv6_v6only(&socket, false)?;
        }
        sockopt::set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &address)?;
        listen(&socket, BACKLOG)?;
        rustix::io::Result::Ok(socket)
    };
    let socket = open().with_context(|| format!("cannot listen on {address}: free that port, or choose another"))?;
    Ok(TcpListener::from(socket))
}

//! System calls of a process that nobody follows: what observation costs those who are none of its business.

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use serde::{Deserialize, Serialize};

use super::place;
use crate::cpu;

/// CPU time in ns of one call, or of one connection.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Calls {
    /// The cheapest call that there is.
    pub(crate) getppid: f64,
    /// close(2) of no descriptor: a call at whose tracepoint a program stands when causes are recorded.
    pub(crate) close: f64,
    /// A read of one byte.
    pub(crate) read: f64,
    /// socket, connect, accept, and a close of both ends.
    pub(crate) connection: f64,
}

/// Makes `count` calls of each kind, and a hundredth as many connections.
pub(crate) fn run(count: u64) -> anyhow::Result<Calls> {
    let zero = std::fs::File::open("/dev/zero")?;
    let listener = TcpListener::bind(place(0))?;
    let mut byte = [0];
    Ok(Calls {
        getppid: each(count, || {
            std::hint::black_box(rustix::process::getppid());
            Ok(())
        })?,
        close: each(count, || {
            // SAFETY: there is no descriptor -1, so nothing is closed.
            unsafe { libc::close(-1) };
            Ok(())
        })?,
        read: each(count, || {
            rustix::io::read(&zero, &mut byte)?;
            Ok(())
        })?,
        connection: each((count / 100).max(1), || connect(&listener))?,
    })
}

/// One connection, broken off so that none lingers in TIME_WAIT and the ports do not run out.
pub(super) fn connect(listener: &TcpListener) -> anyhow::Result<()> {
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (_server, _) = listener.accept()?;
    Ok(set_socket_linger(&client, Some(Duration::ZERO))?)
}

fn each(count: u64, mut act: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let before = cpu::own();
    for _ in 0..count {
        act()?;
    }
    Ok((cpu::own() - before) as f64 / count as f64)
}

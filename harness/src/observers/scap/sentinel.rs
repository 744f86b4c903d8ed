//! A sentinel of scap's: a call that fails, by a thread that makes no other.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

/// What is no socket.
pub(super) fn no_socket() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC)?)
}

/// Listens on what is no socket: that fails, changes nothing, and its backlog is a number of our choice.
pub(super) fn make(no_socket: &OwnedFd, number: u64) -> io::Result<()> {
    match rustix::net::listen(no_socket, number as i32) {
        Err(Errno::NOTSOCK) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => Err(io::Error::other("an eventfd listens")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_sentinel_is_a_call_that_fails() {
        make(&no_socket().unwrap(), 7).unwrap();
    }
}

//! A connection of a scenario: writes are told, replies are read by the protocol's own framing, never by how they arrive.

use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::reading::Inbox;
use super::session::{Tell, place};
use super::{Failure, shown};
use crate::clock::Timestamp;
use crate::endpoint::Endpoint;
use crate::history::{ConnectionEnd, HandlerStep, Report};

/// A connection to the system.
pub struct Connection {
    pub(super) number: u32,
    pub(super) inbox: Inbox,
    pub(super) tell: Tell,
    pub(super) wait: Duration,
    pub(super) until: Instant,
    pub(super) over: bool,
    /// Where the scenario stands, for scenarios that are not Rust.
    pub(super) place: Option<String>,
    stream: TcpStream,
    minipot: String,
    ip: String,
    began: Timestamp,
}

/// How to open a connection.
pub(super) struct Opening {
    pub(super) number: u32,
    pub(super) local: Option<IpAddr>,
    pub(super) target: Endpoint,
    pub(super) minipot: String,
    pub(super) wait: Duration,
    pub(super) until: Instant,
}

impl Connection {
    pub(super) fn open(how: Opening, tell: Tell, wait: Duration) -> Result<Result<Self, std::io::Error>, Failure> {
        let wait = wait.min(how.until.saturating_duration_since(Instant::now()));
        let (socket, began) = match prepare(&how) {
            Ok(socket) => (socket, Timestamp::now()),
            Err(error) => return Err(Failure::Broken(format!("no socket at {:?}: {error}", how.local))),
        };
        let step = |local, error| HandlerStep::Connect { connection: how.number, began, local, error };
        let stream = match connect(&socket, how.target.socket_addr(), wait) {
            Ok(()) => TcpStream::from(socket),
            Err(error) => {
                tell.now(step(None, Some(error.to_string())));
                return Ok(Err(error.into()));
            }
        };
        let local = stream.local_addr().map_err(|error| Failure::Broken(error.to_string()))?;
        let local = Endpoint::from(local);
        tell.now(step(Some(local), None));
        // A reply may be answered at once.
        let _ = stream.set_nodelay(true);
        Ok(Ok(Self {
            number: how.number,
            inbox: Inbox::default(),
            tell,
            wait: how.wait,
            until: how.until,
            over: false,
            place: None,
            stream,
            minipot: how.minipot,
            ip: local.ip().to_string(),
            began,
        }))
    }

    /// The address from which it comes, as reports name it.
    pub fn ip(&self) -> &str {
        &self.ip
    }

    /// Writes bytes.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.send_split(&[bytes], Duration::ZERO)
    }

    /// Writes parts of what belongs together, with a pause between them.
    #[track_caller]
    pub fn send_split(&mut self, parts: &[&[u8]], pause: Duration) -> Result<(), Failure> {
        let place = self.here(place());
        self.write(parts, pause).map_err(|(written, error)| Failure::Wrong {
            place,
            expected: format!("the system to take {} bytes", parts.iter().map(|part| part.len()).sum::<usize>()),
            seen: format!("the connection broke after {written} of them: {error}"),
        })
    }

    /// Writes as much as the system takes before it closes; true when that was all.
    pub fn send_until_closed(&mut self, parts: &[&[u8]], pause: Duration) -> bool {
        self.write(parts, pause).is_ok()
    }

    fn write(&mut self, parts: &[&[u8]], pause: Duration) -> Result<(), (usize, std::io::Error)> {
        self.began = Timestamp::now();
        let mut written = 0;
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                std::thread::sleep(pause);
            }
            let left = self.until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let sent = self.stream.set_write_timeout(Some(left)).and_then(|()| self.stream.write_all(part));
            sent.map_err(|error| (written, error))?;
            written += part.len();
        }
        let all = parts.concat();
        self.tell.now(HandlerStep::Sent { connection: self.number, bytes: written as u64, head: shown(&all) });
        Ok(())
    }

    /// The system must send this report on account of what was sent last (of the connect, before that).
    pub fn expects(&mut self, action: &str, data: Option<Vec<(String, String)>>) {
        let report = Report { ts: None, kind: self.minipot.clone(), ip: self.ip.clone(), action: action.into(), data };
        self.tell.now(HandlerStep::Expects { connection: self.number, report, began: self.began });
    }

    /// Says that nothing more will be sent; replies can still be read.
    pub fn half_close(&mut self) {
        // A peer that has gone already needs no telling.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Closes the connection in order.
    pub fn close(mut self) {
        self.end(ConnectionEnd::Closed);
    }

    /// Closes the connection by a reset.
    pub fn reset(mut self) {
        // SO_LINGER with no time (socket(7)): close(2) sends RST.
        let _ = sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
        self.end(ConnectionEnd::Aborted);
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The place in the scenario: as the caller's, unless the scenario is a file.
    pub(super) fn here(&self, caller: String) -> String {
        self.place.clone().unwrap_or(caller)
    }

    pub(super) fn end(&mut self, how: ConnectionEnd) {
        if !std::mem::replace(&mut self.over, true) {
            self.tell.now(HandlerStep::Over { connection: self.number, how });
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.end(ConnectionEnd::Closed);
    }
}

fn prepare(how: &Opening) -> std::io::Result<rustix::fd::OwnedFd> {
    let family = if how.target.ip().is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    if let Some(local) = how.local {
        rustix::net::bind(&socket, &SocketAddr::new(local, 0))?;
    }
    Ok(socket)
}

/// connect(2) with a deadline; the socket blocks again afterwards.
fn connect(socket: &rustix::fd::OwnedFd, target: SocketAddr, wait: Duration) -> Result<(), Errno> {
    rustix::io::ioctl_fionbio(socket, true)?;
    match rustix::net::connect(socket, &target) {
        Ok(()) => {}
        Err(Errno::INPROGRESS) => {
            let timeout = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
            let mut fds = [PollFd::new(socket, PollFlags::OUT)];
            if poll(&mut fds, Some(&timeout))? == 0 {
                return Err(Errno::TIMEDOUT);
            }
            sockopt::socket_error(socket)??;
        }
        Err(error) => return Err(error),
    }
    rustix::io::ioctl_fionbio(socket, false)
}

/// Whether an error of reading means that the peer reset the connection.
pub(super) fn is_reset(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

//! One minipot: a process that serves a handful of connections in one loop, and reports to the master through its standard output.

mod connection;
mod listener;

use std::{
    fs::File,
    io::{self, ErrorKind},
    net::TcpListener,
    os::{fd::AsFd as _, unix::net::UnixStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::{info, warn};

use self::connection::Connection;
use crate::{
    cli::{Cli, Minipot},
    fault::{Fault, Faults},
    privileges,
    protocol::{
        Kind, Protocol,
        ftp::Ftp,
        http::Http,
        smtp::{Smtp, random_host},
        telnet::Telnet,
    },
    reporter::{Origin, Reporter},
    signals,
};

/// Connections that a minipot serves at once; the others wait in the kernel's queue.
const CONNECTIONS: usize = 5;

/// When a connection is given up; never for what is None.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// After its start, when no byte has come.
    pub(crate) silence: Option<Duration>,
    /// After its last bytes.
    pub(crate) idle: Option<Duration>,
    /// After its start.
    pub(crate) total: Option<Duration>,
}

/// What all connections of a minipot share.
struct Server {
    kind: Kind,
    host: String,
    timeouts: Timeouts,
    faults: Faults,
    reporter: Reporter,
    accepted: u64,
}

/// Serves until asked to stop.
///
/// # Errors
/// When the port cannot be listened on, the user cannot be become, or the master is gone.
pub(crate) fn run(minipot: Minipot, cli: &Cli) -> anyhow::Result<()> {
    let faults = cli.faults();
    let stop = signals::stop_requested(faults)?;
    let Minipot { kind, port } = minipot;
    if kind == Kind::Smtp && faults.has(Fault::NeverListens) {
        // As the user that the master becomes, too: what it may not signal does not die with it.
        privileges::become_user(&cli.user)?;
        privileges::die_with_parent()?;
        warn!("fault never-listens: waiting for the stop");
        return signals::wait(&stop);
    }
    let listener = listener::open(port, faults)?;
    privileges::become_user(&cli.user)?;
    privileges::die_with_parent()?;
    info!("{} at port {port}", kind.word());

    // Not through the buffer of `Stdout`: a report is written at once.
    let pipe = io::stdout().as_fd().try_clone_to_owned().context("cannot use the pipe to the master")?;
    let reporter = Reporter::new(kind, File::from(pipe), faults);
    let timeouts = cli.timeouts(kind);
    Server { kind, host: random_host(), timeouts, faults, reporter, accepted: 0 }.serve(&listener, &stop)
}

impl Server {
    fn serve(&mut self, listener: &TcpListener, stop: &UnixStream) -> anyhow::Result<()> {
        let slots = if self.faults.has(Fault::ServesSix) { CONNECTIONS + 1 } else { CONNECTIONS };
        let mut connections: Vec<Connection> = Vec::new();
        loop {
            let mut fds = vec![PollFd::new(stop, PollFlags::IN)];
            fds.extend(connections.iter().map(|connection| PollFd::new(connection.stream(), PollFlags::IN)));
            if connections.len() < slots {
                fds.push(PollFd::new(listener, PollFlags::IN));
            }
            wait(&mut fds, self.next(&connections))?;
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            drop(fds);
            if ready[0] {
                info!("stopping");
                return self.reporter.write_all();
            }
            self.reporter.write_due(Instant::now())?;
            for (connection, ready) in connections.iter_mut().zip(&ready[1..]) {
                if *ready {
                    connection.receive(&mut self.reporter)?;
                }
                connection.time_out();
            }
            let can_accept = ready.len() == connections.len() + 2 && ready[connections.len() + 1];
            self.bury(&mut connections)?;
            if can_accept {
                connections.extend(self.accept(listener)?);
            }
        }
    }

    /// When the next thing happens by itself.
    fn next(&self, connections: &[Connection]) -> Option<Instant> {
        connections.iter().filter_map(Connection::deadline).chain(self.reporter.due()).min()
    }

    fn bury(&mut self, connections: &mut Vec<Connection>) -> anyhow::Result<()> {
        for mut ended in connections.extract_if(.., |connection| !connection.is_open()) {
            self.reporter.end(ended.origin())?;
        }
        Ok(())
    }

    fn accept(&mut self, listener: &TcpListener) -> anyhow::Result<Option<Connection>> {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                // The peer may have given up, or descriptors are short: neither is better for trying at once.
                warn!("cannot accept: {error}");
                thread::sleep(Duration::from_millis(10));
                return Ok(None);
            }
        };
        self.accepted += 1;
        let origin = Origin::new(self.accepted, peer.ip().to_canonical());
        let protocol = self.protocol(&origin);
        let connection = Connection::open(stream, origin, protocol, self.timeouts, self.faults, &mut self.reporter)?;
        Ok(connection.is_open().then_some(connection))
    }

    fn protocol(&self, origin: &Origin) -> Box<dyn Protocol> {
        match self.kind {
            Kind::Ftp => Box::new(Ftp::new(self.faults)),
            Kind::Http => Box::new(Http::new(std::time::SystemTime::now, self.faults)),
            Kind::Smtp => Box::new(Smtp::new(self.host.clone(), origin.ip.to_string(), self.faults)),
            Kind::Telnet => Box::new(Telnet::new(self.faults)),
        }
    }
}

/// Waits until a descriptor is ready or the time has come.
pub(crate) fn wait(fds: &mut [PollFd<'_>], until: Option<Instant>) -> anyhow::Result<()> {
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    let timeout = left.map(Timespec::try_from).transpose().context("a timeout is too long")?;
    match poll(fds, timeout.as_ref()) {
        Err(error) if io::Error::from(error).kind() != ErrorKind::Interrupted => {
            Err(error).context("cannot wait for connections")
        }
        _ => Ok(()),
    }
}

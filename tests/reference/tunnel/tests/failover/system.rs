//! A server, two clients and their echo backends, on loopback addresses that no other test uses.

use std::{
    fs::File,
    io::{self, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, ExitStatus},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long anything may take that should come soon.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// The processes, and where to reach them.
pub(crate) struct System {
    pub(crate) server: Child,
    pub(crate) clients: [Child; 2],
    network: u8,
    /// Connections with data that the backends of client 1's and client 2's first tunnel have seen.
    reached: [Arc<AtomicUsize>; 2],
    logs: TempDir,
}

impl System {
    /// Starts everything in 127.0.`network`.0/24, clients first, and waits until all ports accept.
    pub(crate) fn start(network: u8, timeout: f64, fault: Option<&str>) -> Self {
        let system = Self::spawn(network, timeout, fault);
        for port in 1..=2 {
            wait_open(system.server_port(port));
            wait_open(system.client_port(1, port));
            wait_open(system.client_port(2, port));
        }
        system
    }

    /// Starts everything and waits for nothing.
    pub(crate) fn spawn(network: u8, timeout: f64, fault: Option<&str>) -> Self {
        let at = |host: u8, port: u16| SocketAddr::from(([127, 0, network, host], port));
        let logs = TempDir::new().unwrap();
        let run = |name: &str, arguments: String| {
            let log = File::create(logs.path().join(name)).unwrap();
            let mut command = Command::new(env!("CARGO_BIN_EXE_reference-tunnel"));
            command.args(arguments.split_whitespace()).arg("--reconnect-timeout-secs").arg(timeout.to_string());
            command.args(fault.iter().flat_map(|fault| ["--fault", fault])).stderr(log).spawn().unwrap()
        };
        let reached = [29001, 29003].map(|port| echo_backend(at(14, port)));
        for port in [29002, 29004, 29011, 29012] {
            echo_backend(at(14, port));
        }
        // Nothing listens on the backend of 'up3'.
        let clients = [1, 2].map(|id: u8| {
            let (own, far) = (11 + id, u16::from(2 * id) + 28999);
            run(
                &format!("client{id}"),
                format!(
                    "client --id {id} --server ws://{} --listen up1={} --listen up2={} --listen up3={} --connect down1={} --connect down2={}",
                    at(11, 28080), at(own, 28001), at(own, 28002), at(own, 28003), at(14, far), at(14, far + 1),
                ),
            )
        });
        let server = run(
            "server",
            format!(
                "server --websocket {} --listen down1={} --listen down2={} --connect up1={} --connect up2={} --connect up3={}",
                at(11, 28080),
                at(11, 28001),
                at(11, 28002),
                at(14, 29011),
                at(14, 29012),
                at(14, 29013),
            ),
        );
        Self { server, clients, network, reached, logs }
    }

    /// Makes client `id` active and waits until the ports that this closes are open again. Gives the trigger back.
    pub(crate) fn settle_on(&self, id: u8) -> TcpStream {
        let standby = 3 - id;
        let ports =
            [self.server_port(1), self.server_port(2), self.client_port(standby, 1), self.client_port(standby, 2)];
        let before = ports.map(|port| self.reopened(port));
        let trigger = self.trigger(id);
        for (port, before) in ports.into_iter().zip(before) {
            // By the log: whoever gets no CPU for a second does not see the port closed.
            let start = Instant::now();
            while self.reopened(port) == before {
                assert!(start.elapsed() < 2 * SOON, "{port} did not reopen in time");
                thread::sleep(Duration::from_millis(5));
            }
            wait_open(port);
        }
        trigger
    }

    /// How often a port was opened again, as the process says that it belongs to.
    fn reopened(&self, port: SocketAddr) -> usize {
        let said = format!("reopened {port} ");
        let logs = ["server", "client1", "client2"].map(|name| std::fs::read_to_string(self.logs.path().join(name)));
        logs.into_iter().map(|log| log.unwrap().matches(&said).count()).sum()
    }

    /// Sends the first data to client `id`, and takes its echo.
    pub(crate) fn trigger(&self, id: u8) -> TcpStream {
        let mut trigger = connect(self.client_port(id, 1));
        assert_eq!(echo(&mut trigger, b"trigger"), b"trigger");
        trigger
    }

    /// Address of the server's port of tunnel 1 or 2.
    pub(crate) fn server_port(&self, tunnel: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, self.network, 11], 28000 + tunnel))
    }

    /// Address of the server's WebSocket port.
    pub(crate) fn websocket_port(&self) -> SocketAddr {
        self.server_port(80)
    }

    /// Address of a client's port of tunnel 1, 2 or 3; the backend of 3 does not exist.
    pub(crate) fn client_port(&self, id: u8, tunnel: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, self.network, 11 + id], 28000 + tunnel))
    }

    /// How many connections with data have reached the backend of client `id`'s tunnel 1.
    pub(crate) fn reached(&self, id: u8) -> usize {
        self.reached[usize::from(id) - 1].load(Ordering::SeqCst)
    }

    /// All processes.
    pub(crate) fn processes(&mut self) -> [&mut Child; 3] {
        let [first, second] = &mut self.clients;
        [&mut self.server, first, second]
    }
}

impl Drop for System {
    fn drop(&mut self) {
        for process in self.processes() {
            let _ = process.kill();
            let _ = process.wait();
        }
        if thread::panicking() {
            for name in ["server", "client1", "client2"] {
                eprintln!("--- {name}\n{}", std::fs::read_to_string(self.logs.path().join(name)).unwrap_or_default());
            }
        }
    }
}

/// Asks a process to stop.
pub(crate) fn terminate(process: &Child) {
    kill_process(Pid::from_child(process), Signal::TERM).unwrap();
}

/// Waits for a process to exit; None when it does not within `limit`.
pub(crate) fn wait_exit(process: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if let Some(status) = process.try_wait().unwrap() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(5));
    }
    None
}

/// Connects, with a deadline for every read and write.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    try_connect(address).unwrap_or_else(|error| panic!("{address}: {error}"))
}

/// The same, where it may fail.
pub(crate) fn try_connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SOON))?;
    stream.set_write_timeout(Some(SOON))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends a short message and takes as many bytes back.
pub(crate) fn echo(stream: &mut TcpStream, message: &[u8]) -> Vec<u8> {
    let mut answer = vec![0; message.len()];
    stream.write_all(message).unwrap();
    stream.read_exact(&mut answer).unwrap();
    answer
}

/// Sends `payload`, half-closes, and takes everything until the end of file.
pub(crate) fn transfer(address: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    let mut answer = Vec::with_capacity(payload.len());
    thread::scope(|scope| {
        let mut writer = stream.try_clone().unwrap();
        scope.spawn(move || {
            writer.write_all(payload).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        stream.read_to_end(&mut answer).unwrap();
    });
    answer
}

/// Whether the stream ended with a clean end of file within `limit`; a reset fails the test.
pub(crate) fn ended(stream: &mut TcpStream, limit: Duration) -> bool {
    stream.set_read_timeout(Some(limit)).unwrap();
    match stream.read(&mut [0; 64]) {
        Ok(0) => true,
        Ok(_) => panic!("data instead of an end of file"),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => false,
        Err(error) => panic!("{error} instead of an end of file"),
    }
}

/// Whether a connection to the address succeeds now.
pub(crate) fn is_open(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

/// Waits until the port accepts; when it did.
pub(crate) fn wait_open(address: SocketAddr) -> Instant {
    wait(address, true)
}

/// Waits until the port refuses; when it did.
pub(crate) fn wait_closed(address: SocketAddr) -> Instant {
    wait(address, false)
}

fn wait(address: SocketAddr, open: bool) -> Instant {
    let start = Instant::now();
    while is_open(address) != open {
        assert!(start.elapsed() < SOON, "{address} did not {} in time", if open { "open" } else { "close" });
        thread::sleep(Duration::from_millis(5));
    }
    Instant::now()
}

/// Starts an echo server that lives as long as the test process; it counts the connections that carry data, so mere probes of a port
/// do not count.
fn echo_backend(address: SocketAddr) -> Arc<AtomicUsize> {
    let listener = TcpListener::bind(address).unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let counter = accepted.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let counter = counter.clone();
            // An end of file from the tunnel ends the copy, and dropping the stream then ends the echo.
            thread::spawn(move || {
                if matches!(stream.peek(&mut [0]), Ok(1)) {
                    counter.fetch_add(1, Ordering::SeqCst);
                }
                std::io::copy(&mut &stream, &mut &stream)
            });
        }
    });
    accepted
}

//! A master with its four minipots, on ports that are free, and the proxy that it reports to.

use std::{
    ffi::OsStr,
    fs::{self, File},
    net::TcpListener,
    process::{Child, Command, ExitStatus},
    sync::atomic::{AtomicU16, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{client::Client, proxy::Proxy};

/// How long anything may take that should come soon.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Topic of the reports.
pub(crate) const TOPIC: &str = "test/minipot";

/// The processes, and where to reach them.
pub(crate) struct System {
    pub(crate) master: Child,
    pub(crate) ftp: u16,
    pub(crate) http: u16,
    pub(crate) smtp: u16,
    pub(crate) telnet: u16,
    folder: TempDir,
}

impl System {
    /// Starts the correct one and its proxy, waits until all ports listen, and takes the welcome.
    pub(crate) fn start() -> (Self, Proxy) {
        Self::start_with(&[])
    }

    /// The same with a fault.
    pub(crate) fn with_fault(fault: &str) -> (Self, Proxy) {
        Self::start_with(&["--fault", fault])
    }

    /// The same with arguments.
    pub(crate) fn start_with(arguments: &[&str]) -> (Self, Proxy) {
        let (system, mut proxy) = Self::spawn(arguments);
        system.wait_for_ports();
        if !arguments.contains(&"no-welcome") {
            assert_eq!(proxy.next(SOON), Some(vec![TOPIC.as_bytes().to_vec()]), "the welcome");
        }
        (system, proxy)
    }

    /// Starts everything and waits for nothing.
    pub(crate) fn spawn(arguments: &[&str]) -> (Self, Proxy) {
        let system = Self::without_proxy(arguments);
        let proxy = system.proxy();
        (system, proxy)
    }

    /// Starts the minipots alone.
    pub(crate) fn without_proxy(arguments: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        fs::set_permissions(folder.path(), mode).unwrap();
        let [ftp, http, smtp, telnet] = [(); 4].map(|()| free_port());
        let mut command = Command::new(env!("CARGO_BIN_EXE_reference-minipot"));
        for (option, port) in [("-F", ftp), ("-H", http), ("-S", smtp), ("-T", telnet)] {
            command.arg(option).arg(port.to_string());
        }
        command.arg("-s").arg(socket(&folder)).args(["-t", TOPIC, "--log-level", "debug"]).args(arguments);
        let log = File::create(folder.path().join("log")).unwrap();
        let master = command.stderr(log).spawn().unwrap();
        Self { master, ftp, http, smtp, telnet, folder }
    }

    /// Binds the proxy's socket.
    pub(crate) fn proxy(&self) -> Proxy {
        Proxy::bind(&socket(&self.folder))
    }

    /// Binds it, and takes one message at the most unless it is read.
    pub(crate) fn unread_proxy(&self) -> Proxy {
        Proxy::bind_with_room_for(1, &socket(&self.folder))
    }

    /// Waits until all ports listen.
    pub(crate) fn wait_for_ports(&self) {
        for port in [self.ftp, self.http, self.smtp, self.telnet] {
            wait_until(&format!("port {port} listens"), || listens(port));
        }
    }

    /// Connects to the port, by IPv4.
    pub(crate) fn connect(&self, port: u16) -> Client {
        Client::connect(([127, 0, 0, 1], port).into())
    }

    /// The processes of the minipots.
    pub(crate) fn children(&self) -> Vec<i32> {
        let pid = self.master.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Asks the master to stop.
    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.master), Signal::TERM).unwrap();
    }

    /// Waits for the master's end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.master.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < SOON, "the master still runs");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for System {
    fn drop(&mut self) {
        let _ = self.master.kill();
        let _ = self.master.wait();
        if thread::panicking() {
            eprintln!("--- log\n{}", self.log());
        }
    }
}

/// Kills a process that the system started.
pub(crate) fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

/// Waits for a condition.
pub(crate) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < SOON, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether somebody listens at the port, without a connection to it.
pub(crate) fn listens(port: u16) -> bool {
    sockets("tcp6", port) || sockets("tcp", port)
}

/// Whether `/proc/net/{table}` has a listening socket at the port.
pub(crate) fn sockets(table: &str, port: u16) -> bool {
    let wanted = format!(":{port:04X}");
    fs::read_to_string(format!("/proc/net/{table}")).unwrap().lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().is_some_and(|local| local.ends_with(&wanted)) && fields.nth(1) == Some("0A")
    })
}

fn socket(folder: &TempDir) -> String {
    format!("ipc://{}", folder.path().join("proxy").as_os_str().to_str().map(OsStr::new).unwrap().display())
}

/// A port below those that the kernel gives to connections; others run tests on this machine, too.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % 20_000) as u16;
    loop {
        let port = 12_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        if TcpListener::bind(("::", port)).is_ok() {
            return port;
        }
    }
}

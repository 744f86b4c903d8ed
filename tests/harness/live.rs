//! Services of these tests' own, and the commands that watch them, as a user would.

use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStdout, Command, Stdio};

use portwitness::observers::procfs::{self, PortFilter};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Started, eventually, suites};

/// A service at a port of 127.0.0.1: at SIGUSR1 it closes the port for some seconds, at SIGUSR2 it hands it over to a second
/// socket without a gap, as servers do that reload.
const SERVICE: &str = r#"
import signal, socket, sys, time
port, closed = int(sys.argv[1]), float(sys.argv[2])
def listen():
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(512)
    return listener
wanted = [signal.SIGUSR1, signal.SIGUSR2]
signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
listener = listen()
while True:
    if signal.sigwait(wanted) == signal.SIGUSR1:
        listener.close()
        time.sleep(closed)
        listener = listen()
    else:
        old, listener = listener, listen()
        old.close()
"#;

/// A service that listens; it ends with what is returned.
pub(crate) fn service(port: u16, closed_secs: f64) -> Started {
    let mut command = Command::new("python3");
    command.args(["-c", SERVICE, &port.to_string(), &closed_secs.to_string()]).stdin(Stdio::null());
    let started = Started(command.spawn().unwrap());
    eventually("the service listens", || listens(port));
    started
}

/// Whether anybody listens at a port of this network.
pub(crate) fn listens(port: u16) -> bool {
    let netns = procfs::own_netns().unwrap();
    !procfs::listeners(netns, &PortFilter::These([port].into())).unwrap().is_empty()
}

/// Opens connections to a port of 127.0.0.1 and closes them, many times.
pub(crate) fn flood(port: u16, times: u32) -> String {
    format!("import socket\nfor _ in range({times}):\n    socket.create_connection(('127.0.0.1', {port})).close()\n")
}

pub(crate) fn send(to: &Started, signal: Signal) {
    kill_process(Pid::from_raw(to.0.id() as i32).unwrap(), signal).unwrap();
}

/// What a command said, all of it.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) exit: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    /// Asserts the exit code.
    pub(crate) fn exits_with(&self, code: i32) -> &Self {
        assert_eq!(self.exit, Some(code), "{self:#?}");
        self
    }

    /// Asserts that the messages contain this.
    pub(crate) fn says(&self, part: &str) -> &Self {
        assert!(self.stderr.contains(part), "no `{part}` in {self:#?}");
        self
    }

    /// Asserts that the output contains these, one after the other, with any number of spaces where there is one.
    pub(crate) fn tells(&self, parts: &[&str]) -> &Self {
        let text = self.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut rest = text.as_str();
        for part in parts {
            let Some((_, after)) = rest.split_once(part) else { panic!("no `{part}` where it should be in {self:#?}") };
            rest = after;
        }
        self
    }
}

/// Runs `suites` with these arguments to its end.
pub(crate) fn say(arguments: &[&str]) -> Said {
    finished(suites(arguments))
}

pub(crate) fn finished(mut command: Command) -> Said {
    let output = command.output().unwrap();
    Said {
        exit: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A `suites` that runs, its output read line by line.
pub(crate) struct Running {
    pub(crate) process: Started,
    lines: BufReader<ChildStdout>,
    so_far: String,
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::of(suites(arguments))
    }

    pub(crate) fn of(mut command: Command) -> Self {
        let mut process = Started(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        let lines = BufReader::new(process.0.stdout.take().unwrap());
        Self { process, lines, so_far: String::new() }
    }

    /// Reads until a line contains this.
    pub(crate) fn until(&mut self, part: &str) -> &mut Self {
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "it ended before `{part}`:\n{}", self.so_far);
            self.so_far.push_str(&line);
            if line.contains(part) {
                return self;
            }
        }
    }

    /// Sends a signal, and waits for the end.
    pub(crate) fn ended_by(self, signal: Signal) -> Said {
        send(&self.process, signal);
        self.ended()
    }

    /// Waits for the end.
    pub(crate) fn ended(mut self) -> Said {
        self.lines.read_to_string(&mut self.so_far).unwrap();
        let mut stderr = String::new();
        self.process.0.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        Said { exit: self.process.0.wait().unwrap().code(), stdout: self.so_far, stderr }
    }

    /// Closes its standard output, and waits for the end.
    pub(crate) fn abandoned(self) -> Said {
        let Self { process, lines, so_far } = self;
        drop(lines);
        let mut process = process;
        let mut stderr = String::new();
        process.0.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        Said { exit: process.0.wait().unwrap().code(), stdout: so_far, stderr }
    }
}

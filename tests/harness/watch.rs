//! `watch`: what it streams of services of our own, what it sums up, how it ends, and what it refuses.

use std::net::TcpStream;
use std::os::unix::process::CommandExt;

use portwitness::history::{Event, Record, TcpState};
use rustix::process::Signal;

use crate::live::{Running, finished, flood, say, send, service};
use crate::observers::stage::alone;
use crate::support::{processes_with, suites};

#[test]
fn a_port_is_told_with_its_ages() {
    alone(|| {
        let (watched, other) = (service(7801, 0.3), service(7802, 0.1));
        let mut watch = Running::start(&["watch", "--port", "7801"]);
        watch.until("listening");
        send(&other, Signal::USR1);
        drop(TcpStream::connect("127.0.0.1:7801").unwrap());
        send(&watched, Signal::USR1);
        watch.until("reopened");
        let said = watch.ended_by(Signal::INT);
        said.exits_with(0).says("1 accepted").says("nothing was lost").tells(&[
            "listening 127.0.0.1:7801 python3[",
            "since before the watch",
            "accepted 127.0.0.1:7801 <- 127.0.0.1:",
            "closed 127.0.0.1:7801 python3[",
            "or more (since before the watch)",
            "reopened 127.0.0.1:7801 python3[",
            "after",
            "closed",
        ]);
        assert!(!said.stdout.contains("7802"), "{said:#?}");
    });
}

#[test]
fn json_is_the_history_s_own_format() {
    alone(|| {
        let service = service(7803, 0.05);
        let mut watch = Running::start(&["watch", "--port", "7803", "--json"]);
        watch.until("started");
        drop(TcpStream::connect("127.0.0.1:7803").unwrap());
        send(&service, Signal::USR1);
        watch.until("\"to\":\"LISTEN\"");
        let said = watch.ended_by(Signal::TERM);
        let records: Vec<Record> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let states = records.iter().filter_map(|record| match &record.event {
            Event::SocketState(change) => Some((change.from, change.to)),
            _ => None,
        });
        let states: Vec<_> = states.collect();
        let wanted = [
            (TcpState::Listen, TcpState::SynRecv),
            (TcpState::SynRecv, TcpState::Established),
            (TcpState::Listen, TcpState::Close),
            (TcpState::Close, TcpState::Listen),
        ];
        assert!(wanted.iter().all(|state| states.contains(state)), "{states:?}");
    });
}

#[test]
fn a_process_is_followed_with_the_children_it_has() {
    alone(|| {
        let service = service(7804, 0.05);
        let other = self::service(7805, 0.05);
        // This process by this thread, which alone is in this network: both services are its children. Then one of them.
        let pid = rustix::thread::gettid().as_raw_nonzero().to_string();
        let mut watch = Running::start(&["watch", "--pid", &pid, "--state", "listen"]);
        watch.until("7804").until("7805");
        send(&service, Signal::USR1);
        watch.until("reopened");
        watch.ended_by(Signal::INT).exits_with(0);
        let mut watch = Running::start(&["watch", "--pid", &service.0.id().to_string()]);
        watch.until("listening");
        send(&other, Signal::USR1);
        send(&service, Signal::USR1);
        watch.until("reopened");
        // It ends with the process.
        drop(service);
        let said = watch.ended();
        said.exits_with(0).says("the process has ended").tells(&["closed 127.0.0.1:7804", "exit", "signal 9"]);
        assert!(!said.stdout.contains("7805"), "{said:#?}");
    });
}

#[test]
fn a_command_is_followed_and_ends_the_watch() {
    alone(|| {
        let script =
            "import socket, time; l = socket.create_server(('127.0.0.1', 7806)); time.sleep(0.2); l.close(); exit(3)";
        let said = say(&["watch", "--", "sh", "-c", &format!("python3 -c \"{script}\"")]);
        said.exits_with(0).says("the command ended: exit code 3").tells(&[
            "fork",
            "exec",
            "opened 127.0.0.1:7806 python3[",
            "closed 127.0.0.1:7806 python3[",
            "after listening for",
            "exit",
        ]);
    });
}

#[test]
fn a_command_that_runs_on_is_ended_with_the_watch() {
    alone(|| {
        let script = "import time; time.sleep(77.125)";
        let said = say(&["watch", "--for", "300ms", "--", "python3", "-c", script]);
        said.exits_with(0).says("the command ended: signal 15");
        assert!(processes_with(script).iter().all(|pid| *pid == std::process::id()), "it lives on");
    });
}

#[test]
fn without_a_filter_every_socket_is_told() {
    alone(|| {
        let _service = service(7807, 0.1);
        let mut watch = Running::start(&["watch", "--time", "relative", "--state", "established"]);
        // The first connection may come before the observer does.
        let told = std::thread::scope(|scope| {
            let (stop, stopped) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || {
                while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                    drop(TcpStream::connect("127.0.0.1:7807").unwrap());
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
            });
            watch.until("accepted").until("connected");
            drop(stop);
            watch.ended_by(Signal::INT)
        });
        told.exits_with(0).tells(&["connected 127.0.0.1:", "-> 127.0.0.1:7807 watch::without_["]);
        assert!(!told.stdout.contains("listening"), "{told:#?}");
    });
}

#[test]
fn filters_hide_the_rest() {
    alone(|| {
        let _service = service(7808, 0.1);
        let seeds = |filter: &[&str]| {
            let arguments = [&["watch", "--port", "7808", "--for", "50ms"], filter].concat();
            let said = say(&arguments);
            said.exits_with(0);
            said.stdout.lines().count()
        };
        assert_eq!(seeds(&[]), 1);
        assert_eq!(seeds(&["--comm", "python3", "--addr", "127.0.0.1", "--state", "listen"]), 1);
        assert_eq!(seeds(&["--comm", "nobody"]), 0);
        assert_eq!(seeds(&["--addr", "127.0.0.1:1"]), 0);
        assert_eq!(seeds(&["--state", "established"]), 0);
    });
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    alone(|| {
        let _service = service(7809, 0.1);
        let mut watch = Running::start(&["watch", "--port", "7809"]);
        watch.until("listening");
        let said = watch.abandoned();
        said.exits_with(0);
        assert_eq!(said.stderr.lines().count(), 1, "only what is watched: {said:#?}");
    });
}

#[test]
fn losses_are_loud() {
    alone(|| {
        let _service = service(7810, 0.1);
        let mut watch = Running::start(&["watch", "--port", "7810", "--ring-bytes", "65536"]);
        watch.until("listening");
        send(&watch.process, Signal::STOP);
        // Six states of 104 bytes each for a connection: more than the ring has room for.
        let flooded = std::process::Command::new("python3").args(["-c", &flood(7810, 400)]).status().unwrap();
        assert!(flooded.success());
        send(&watch.process, Signal::CONT);
        watch.until("LOST");
        let said = watch.ended_by(Signal::INT);
        said.exits_with(97).says("LOST: ").says("records of socket_state").says("--ring-bytes");
    });
}

#[test]
fn without_privileges_listeners_are_told() {
    alone(|| {
        let service = service(7811, 0.1);
        let mut command = suites(&["watch", "--port", "7811", "--observer", "sock-diag"]);
        command.uid(65534).gid(65534);
        let mut watch = Running::of(command);
        watch.until("listening");
        let told = std::thread::scope(|scope| {
            let (stop, stopped) = std::sync::mpsc::channel::<()>();
            // More than once: on a busy machine a poll may come after the port has reopened.
            scope.spawn(move || {
                while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                    send(&service, Signal::USR1);
                    std::thread::sleep(std::time::Duration::from_millis(250));
                }
            });
            watch.until("reopened");
            drop(stop);
            watch.ended_by(Signal::INT)
        });
        told.exits_with(0).tells(&["listening 127.0.0.1:7811", "closed 127.0.0.1:7811", "reopened 127.0.0.1:7811"]);
        let mut command = suites(&["watch", "--port", "7811"]);
        finished({
            command.uid(65534).gid(65534);
            command
        })
        .exits_with(96)
        .says("CAP_BPF")
        .says("--observer sock-diag");
    });
}

#[test]
fn wrong_input_is_refused_in_a_line() {
    alone(|| {
        for (arguments, exit, says) in [
            (&["--pid", "99999999"][..], 96, "there is no process 99999999"),
            (&["--port", "0"], 2, "0 is not in 1..=65535"),
            (&["--port", "70000"], 2, "70000 is not in 1..=65535"),
            (&["--pid", "1", "--port", "80"], 2, "cannot be used with"),
            (&["--causes"], 2, "`--causes` takes a process to follow"),
            (&["--addr", "localhost"], 2, "`localhost` is neither ADDRESS nor ADDRESS:PORT"),
            (&["--for", "soon"], 2, "write 500ms, 1s, 2m"),
            (&["--state", "open"], 2, "listen"),
            (&["--ring-bytes", "1000"], 2, "a power of two from 65536"),
            (&["--", "/no/such/program"], 96, "could not start `/no/such/program`"),
        ] {
            let said = say(&[&["watch"], arguments].concat());
            said.exits_with(exit).says(says);
        }
    });
}

#[test]
fn the_program_without_suites_has_it_too() {
    let portwitness = std::path::Path::new(env!("CARGO_BIN_EXE_suites")).with_file_name("portwitness");
    for command in ["watch", "window", "record"] {
        let mut help = std::process::Command::new(&portwitness);
        help.args([command, "--help"]);
        finished(help).exits_with(0).tells(&["Usage: portwitness", command]);
    }
}

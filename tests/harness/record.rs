//! `record`: a command's own exit code, its history, and what becomes of its signals and its output.

use std::path::Path;

use portwitness::history::{Event, History, Process, ProcessChange};
use rustix::process::Signal;

use crate::live::{Running, Said, say};
use crate::observers::stage::alone;

fn record(place: &Path, arguments: &[&str]) -> Said {
    say(&[&["record", "-o", place.to_str().unwrap()], arguments].concat())
}

#[test]
fn what_a_command_did_is_kept_and_its_exit_code_passed_on() {
    alone(|| {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("run");
        let script = "import socket; l = socket.create_server(('127.0.0.1', 7841)); print('said'); exit(3)";
        let said = record(&place, &["--", "python3", "-c", script]);
        said.exits_with(3).says("exit code 3").says("ports: 1").says("nothing lost").tells(&["said"]);
        let history = History::load(&place.join("history.jsonl")).unwrap();
        let has = |wanted: &dyn Fn(&Event) -> bool| history.records.iter().any(|record| wanted(&record.event));
        assert!(has(&|event| matches!(event, Event::SocketState(it) if it.local.port() == 7841)));
        assert!(has(&|event| matches!(event, Event::Syscall(call) if call.name == "listen")), "its causes");
        let exited = |process: &Process, status: Option<i32>| process.comm == "python3" && status == Some(3 << 8);
        assert!(has(&|event| matches!(event, Event::Process(ProcessChange::Exit { process, status })
            if exited(process, *status))));
        say(&["judge", place.to_str().unwrap()]).exits_with(4).says("has no cases");
        record(&place, &["--", "true"]).exits_with(96).says("it holds the history of another run");
    });
}

#[test]
fn exit_codes_are_those_of_a_shell() {
    alone(|| {
        let folder = tempfile::tempdir().unwrap();
        for (number, (command, exit)) in [
            (&["true"][..], 0),
            (&["sh", "-c", "kill -9 $$"], 137),
            (&["/no/such/program"], 127),
            (&["/etc/passwd"], 126),
        ]
        .into_iter()
        .enumerate()
        {
            let place = folder.path().join(number.to_string());
            record(&place, &[&["--no-causes", "--"], command].concat()).exits_with(exit);
        }
        say(&["record"]).exits_with(2).says("CMD");
    });
}

#[test]
fn output_goes_to_a_log_when_asked() {
    alone(|| {
        let folder = tempfile::tempdir().unwrap();
        let said = record(folder.path(), &["--no-causes", "--log", "--", "sh", "-c", "echo out; echo err >&2"]);
        said.exits_with(0);
        assert_eq!(said.stdout, "");
        assert_eq!(std::fs::read_to_string(folder.path().join("sut/command.log")).unwrap(), "out\nerr\n");
    });
}

#[test]
fn a_signal_goes_to_the_command() {
    alone(|| {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().to_str().unwrap();
        let script = "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done";
        let mut running = Running::start(&["record", "--no-causes", "-o", place, "--", "sh", "-c", script]);
        running.until("up");
        running.ended_by(Signal::TERM).exits_with(7).says("exit code 7");
    });
}

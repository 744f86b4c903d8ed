//! `window`: windows of a service of our own that are kept and missed, and everything that must not pass.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::Signal;

use crate::live::{Said, flood, say, send, service};
use crate::observers::stage::alone;
use crate::support::{Started, suites};

/// Runs `window` on a port, its runs kept in a folder that ends with the test; `judge` must say the same.
fn window(port: u16, arguments: &[&str]) -> Said {
    let runs = tempfile::tempdir().unwrap();
    let port = port.to_string();
    let place = runs.path().to_str().unwrap();
    let said = say(&[&["window", "--port", &port, "--runs", place], arguments].concat());
    if let Some(exit @ (0 | 97 | 100)) = said.exit {
        say(&["judge", runs.path().join("latest").to_str().unwrap()]).exits_with(exit);
        assert!(runs.path().join("latest/report.json").exists());
    }
    said
}

fn signal(service: &Started, name: &str) -> String {
    format!("kill -{name} {}", service.0.id())
}

#[test]
fn a_window_that_is_kept_passes() {
    alone(|| {
        let service = service(7821, 0.5);
        let trigger = signal(&service, "USR1");
        let kept = ["--closes-within", "10s", "--reopens-after", "3s", "--tolerance", "2900ms", "--trigger", &trigger];
        let said = window(7821, &kept);
        said.exits_with(0).says("PASS").says("127.0.0.1:7821 closed").says("by python3[").says("and reopened");
        let said = window(7821, &[&kept[..], &["--json"]].concat());
        said.exits_with(0).tells(&["\"type\":\"case\"", "\"reopened_by\":\"python3[", "\"type\":\"end\""]);
    });
}

#[test]
fn a_window_that_is_missed_fails() {
    alone(|| {
        let service = service(7822, 0.2);
        let trigger = signal(&service, "USR1");
        let said =
            window(7822, &["--reopens-after", "9s", "--tolerance", "500ms", "--trigger", &trigger, "--for", "20s"]);
        said.exits_with(100).says("to reopen 8500 to 9500 ms after its close").says("too early, by python3[");
        let late = format!("sleep 0.2; {trigger}");
        let said = window(7822, &["--closes-within", "100ms", "--trigger", &late]);
        said.exits_with(100).says("to close within 100 ms of the trigger").says("ms too late");
        let said = window(7822, &["--closes-within", "300ms", "--trigger", "true"]);
        said.exits_with(100).says("it never left LISTEN").says("stayed open");
        let killed = format!("kill -9 {}", service.0.id());
        let said = window(7822, &["--reopens-after", "500ms", "--tolerance", "100ms", "--trigger", &killed]);
        said.exits_with(100).says("to reopen 500 ± 100 ms after its close").says("did not reopen");
    });
}

#[test]
fn a_port_that_stays_open_is_told_from_one_that_does_not() {
    alone(|| {
        let service = service(7823, 0.1);
        let stays = |time: &str, trigger: &str| window(7823, &["--stays-open", "--for", time, "--trigger", trigger]);
        let said = stays("4s", &signal(&service, "USR2"));
        said.exits_with(0)
            .says("stayed open")
            .says("it never left LISTEN (listening sockets: 1; 1 opened and 1 closed");
        stays("10s", &signal(&service, "USR1")).exits_with(100).says("to listen throughout").says("and reopened");
    });
}

#[test]
fn without_a_trigger_the_close_may_come_at_any_time() {
    alone(|| {
        let service = service(7824, 0.2);
        let runs = tempfile::tempdir().unwrap();
        let mut command = suites(&["window", "--port", "7824", "--reopens-after", "3s", "--tolerance", "2900ms"]);
        command.args(["--closes-within", "1s"]).arg("--runs").arg(runs.path()).stderr(Stdio::piped());
        let mut running = Started(command.spawn().unwrap());
        let mut lines = BufReader::new(running.0.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains("nothing to count from")));
        std::thread::sleep(std::time::Duration::from_millis(1200));
        send(&service, Signal::USR1);
        assert!(lines.any(|line| line.contains("PASS")));
        assert_eq!(running.0.wait().unwrap().code(), Some(0));
    });
}

#[test]
fn a_trigger_that_fails_leaves_it_unknown() {
    alone(|| {
        let _service = service(7825, 0.1);
        let said = window(7825, &["--stays-open", "--for", "1s", "--trigger", "exit 5"]);
        said.exits_with(97).says("the trigger `exit 5` failed: exit code 5");
        let said = window(7825, &["--closes-within", "10s", "--trigger", "no-such-program-here"]);
        said.exits_with(97).says("failed: exit code 127");
    });
}

#[test]
fn lost_records_leave_it_unknown() {
    alone(|| {
        let _service = service(7826, 0.1);
        // The shell's parent is the program itself.
        let trigger = format!("kill -STOP $PPID; python3 -c \"{}\"; kill -CONT $PPID", flood(7826, 400));
        let said = window(7826, &["--stays-open", "--for", "3s", "--ring-bytes", "65536", "--trigger", &trigger]);
        said.exits_with(97).says("records of socket_state were lost");
    });
}

#[test]
fn an_interrupt_keeps_what_was_recorded() {
    alone(|| {
        let _service = service(7827, 0.1);
        let runs = tempfile::tempdir().unwrap();
        let mut command = suites(&["window", "--port", "7827"]);
        command.arg("--runs").arg(runs.path()).stderr(Stdio::piped());
        let mut running = Started(command.spawn().unwrap());
        let mut lines = BufReader::new(running.0.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains("watching 127.0.0.1:7827")));
        send(&running, Signal::INT);
        assert!(lines.any(|line| line.contains("interrupted")));
        assert_eq!(running.0.wait().unwrap().code(), Some(130));
        assert!(runs.path().join("latest/report.json").exists());
    });
}

#[test]
fn wrong_input_is_refused_in_a_line() {
    alone(|| {
        let _service = service(7828, 0.1);
        for (arguments, exit, says) in [
            (&["--port", "7829"][..], 96, "nobody listens at port 7829 in this network: start the service first"),
            (
                &["--port", "7828", "--addr", "127.0.0.9"],
                96,
                "nobody listens at 127.0.0.9:7828 in this network (but at",
            ),
            (&["--port", "0"], 2, "0 is not in 1..=65535"),
            (&[], 2, "--port"),
            (&["--port", "7828", "--stays-open", "--closes-within", "1s"], 2, "cannot be used with"),
            (&["--port", "7828", "--tolerance", "1s"], 2, "--reopens-after"),
            (&["--port", "7828", "--closes-within", "soon"], 2, "write 500ms, 1s, 2m"),
            (&["--port", "7828", "--closes-within", "0s"], 2, "longer than nothing"),
            (&["--port", "7828", "--runs", "/proc/nowhere"], 96, "/proc/nowhere"),
        ] {
            say(&[&["window"], arguments].concat()).exits_with(exit).says(says);
        }
    });
}

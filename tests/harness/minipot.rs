//! Handlers and reports, from outside: the minipot suite on its reference, each hole in the evidence, bad input.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Output;

use portwitness::handlers::Dialogue;

use crate::support::{Ran, read, suites};

/// Runs the minipot suite with `--json` and these arguments.
fn run(arguments: &[&str]) -> Ran {
    let runs = tempfile::tempdir().unwrap();
    let mut command = suites(&["run", "minipot", "--json", "--runs"]);
    let output = command.arg(runs.path()).args(arguments).output().unwrap();
    read(&output, runs)
}

/// On the reference's profile with something in it replaced.
fn run_changed(from: &str, to: &str, arguments: &[&str]) -> Ran {
    let whole = include_str!("../minipot/profiles/reference.toml");
    assert!(whole.contains(from), "{from}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.toml");
    std::fs::write(&path, whole.replacen(from, to, 1)).unwrap();
    run(&[&["--sut", path.to_str().unwrap()], arguments].concat())
}

#[test]
fn the_correct_reference_passes_and_its_reports_are_kept() {
    let ran = run(&["--case", "1.1-1.3", "--case", "2.1"]);
    ran.exits_with(0);
    assert_eq!(ran.with("pass"), ["1.1", "1.2", "1.3", "2.1"]);
    let lines = |kind: &str| {
        let path = ran.place().join(format!("reports/minipot-ftp-1.2.{kind}.jsonl"));
        std::fs::read_to_string(path).unwrap().lines().count()
    };
    // The welcome came, too.
    assert_eq!((lines("expected"), lines("received")), (101, 102));
    let judged = suites(&["judge"]).arg(ran.place()).output().unwrap();
    assert_eq!(judged.status.code(), Some(0), "{}", String::from_utf8_lossy(&judged.stderr));
}

#[test]
fn faults_are_found_by_the_check_that_is_theirs() {
    for (fault, case, part) in [
        ("loses-report", "1.2", "it never came"),
        ("duplicates-report", "1.1", "it came again"),
        ("wrong-field", "1.1", "`data.password` is"),
        ("bin-for-str", "1.1", "is bin, not str"),
        ("wrong-key-order", "1.1", "keys stand in the order ts, type, action, ip, data"),
        ("wrong-ts", "1.1", "the `ts` of"),
        ("second-welcome", "1.1", "one welcome with the topic"),
        ("delays-report", "1.2", "ms of the reply"),
        ("wrong-domain", "2.1", "`data.our_domain` is"),
        ("wrong-code", "1.1", "530 Login incorrect."),
        ("reports-after-reply", "1.1", " before ftp invalid from"),
    ] {
        let ran = run(&["--case", case, "--set", &format!("fault={fault}")]);
        ran.exits_with(100);
        assert!(ran.finding(case).contains(part), "{fault}: {}", ran.finding(case));
    }
}

#[test]
fn a_system_that_never_connects_is_told() {
    let ran = run_changed("\"${reports}\"", "\"ipc:///nowhere/proxy.sock\"", &["--case", "1.1"]);
    ran.exits_with(100);
    assert!(ran.finding("1.1").contains("it never came; no report came at all"), "{}", ran.finding("1.1"));
    ran.says("nobody ever connected to ipc://");
}

#[test]
fn a_socket_that_cannot_be_bound_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taken.sock");
    let _taken = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let with = |bind: &str| run_changed("[reports]", &format!("[reports]\nbind = \"{bind}\""), &["--case", "1.1"]);
    with(&format!("ipc://{}", path.display())).exits_with(96).says("is in use: another process takes reports there");
    with(&format!("ipc:///tmp/{}", "x".repeat(120))).exits_with(96).says("bytes and may have 107");
    with("ipc:///nowhere/x.sock").exits_with(96).says("could not bind ipc:///nowhere/x.sock");
    let without = run_changed("[reports]\ntopic = \"sentinel/collect/minipot\"\n", "", &["--case", "1.1"]);
    without.exits_with(96).says("template variable `reports`");
}

#[test]
fn every_dialogue_file_and_the_example_can_be_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("minipot");
    let described = std::fs::read_to_string(folder.join("DIALOGUES.md")).unwrap();
    let example = described.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    Dialogue::parse(Path::new("DIALOGUES.md"), example).unwrap();
    let mut folders: Vec<PathBuf> = vec![folder.join("dialogues")];
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                Dialogue::load(&path).unwrap_or_else(|error| panic!("{error}"));
                read += 1;
            }
        }
    }
    assert!(read >= 3, "{read} dialogues");
}

#[test]
fn a_dialogue_is_tried_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let server = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"220 hello\r\n").unwrap();
            let _ = stream.read(&mut [0; 16]);
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.toml");
    let tried = |text: &str| -> (i32, String) {
        std::fs::write(&path, text).unwrap();
        let Output { status, stdout, stderr } =
            suites(&["handler", "try", "--port", &port, "--source", "127.0.0.9"]).arg(&path).output().unwrap();
        (status.code().unwrap(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
    };
    let good = "minipot = 'ftp'\n[[step]]\nexpect_line = '220 hello'\n";
    let (exit, said) = tried(good);
    assert!(exit == 0 && said.contains("report    ftp connect from 127.0.0.9") && said.contains("PASS"), "{said}");
    let (exit, said) = tried(&good.replace("220", "221"));
    assert!(exit == 100 && said.contains("d.toml:3:1: expected the line \"221 hello\""), "{said}");
    let (exit, said) = tried(&good.replace("expect_line", "await"));
    assert!(exit == 2 && said.contains("d.toml:3:1: unknown verb `await`"), "{said}");
    server.join().unwrap();
}

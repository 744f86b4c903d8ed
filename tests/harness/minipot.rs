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
fn the_correct_reference_passes_every_case_and_its_reports_are_kept() {
    let ran = run(&[]);
    ran.exits_with(0);
    assert_eq!(ran.with("pass").len(), ran.cases.len(), "{}", ran.stderr);
    assert!(ran.cases.len() >= 233, "{} cases", ran.cases.len());
    let lines = |kind: &str| {
        let path = ran.place().join(format!("reports/minipot-ftp-1.21.{kind}.jsonl"));
        // What came holds the welcome too.
        std::fs::read_to_string(path).unwrap().lines().filter(|line| line.contains("\"action\"")).count()
    };
    // The connect and the login of the case, on both sides.
    assert_eq!((lines("expected"), lines("received")), (2, 2));
    let judged = suites(&["judge"]).arg(ran.place()).output().unwrap();
    assert_eq!(judged.status.code(), Some(0), "{}", String::from_utf8_lossy(&judged.stderr));
}

#[test]
fn a_conversation_that_goes_wrong_names_dialogue_file_and_line() {
    let ran = run(&["--case", "1.21", "--set", "fault=wrong-code"]);
    ran.exits_with(100);
    let finding = ran.finding("1.21");
    assert!(finding.contains("530 Login incorrect.") && finding.contains("PASS after USER is reported"), "{finding}");
    let place = finding.split("ftp/027-login.toml:").nth(1).unwrap_or_else(|| panic!("no file: {finding}"));
    assert!(place.starts_with(|digit: char| digit.is_ascii_digit()), "no line: {finding}");
}

#[test]
fn a_system_that_never_connects_is_told() {
    let ran = run_changed("\"${reports}\"", "\"ipc:///nowhere/proxy.sock\"", &["--case", "1.21"]);
    ran.exits_with(100);
    assert!(ran.finding("1.21").contains("it never came; no report came at all"), "{}", ran.finding("1.21"));
    ran.says("nobody ever connected to ipc://");
}

#[test]
fn a_socket_that_cannot_be_bound_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taken.sock");
    let _taken = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let with = |bind: &str| run_changed("[reports]", &format!("[reports]\nbind = \"{bind}\""), &["--case", "1.21"]);
    with(&format!("ipc://{}", path.display())).exits_with(96).says("is in use: another process takes reports there");
    with(&format!("ipc:///tmp/{}", "x".repeat(120))).exits_with(96).says("bytes and may have 107");
    with("ipc:///nowhere/x.sock").exits_with(96).says("could not bind ipc:///nowhere/x.sock");
    let without = run_changed("[reports]\ntopic = \"sentinel/collect/minipot\"\n", "", &["--case", "1.21"]);
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

/// A table of all cases as the suite lists them: number, what it is about, and where the facts have it.
fn table() -> String {
    let listed = suites(&["list", "minipot", "--json"]).output().unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let mut text = String::from(
        "# The cases, and the facts that they are about\n\n\
         A test compares this with the suite; with `UPDATE_CASES=1`, `the_table_of_cases_is_what_the_suite_has` writes it.\n\
         The numbers before a title are those of the files in `dialogues/`.\n",
    );
    let mut last = String::new();
    for line in String::from_utf8(listed.stdout).unwrap().lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let part = |key: &str| case[key].as_str().unwrap().replace('|', "\\|");
        if part("suite") != last {
            last = part("suite");
            text.push_str(&format!("\n## {last}\n\n| case | what | facts |\n|---|---|---|\n"));
        }
        text.push_str(&format!("| {} | {} | {} |\n", part("number"), part("title"), part("spec")));
    }
    text
}

#[test]
fn the_table_of_cases_is_what_the_suite_has() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("minipot/CASES.md");
    let table = table();
    if std::env::var_os("UPDATE_CASES").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap();
    let differs = stored.lines().zip(table.lines()).find(|(stored, listed)| stored != listed);
    assert!(stored == table, "CASES.md is out of date, first at {differs:?}: UPDATE_CASES=1 writes it");
}

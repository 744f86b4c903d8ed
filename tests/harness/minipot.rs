//! Handlers and reports, from outside: the minipot suite on its reference, each hole in the evidence, bad input.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Output;

use portwitness::handlers::Dialogue;

use crate::support::{Ran, eventually, read, suites};

/// Runs the minipot suite with `--json` and these arguments.
pub(crate) fn run(arguments: &[&str]) -> Ran {
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
    // Where not even root can write.
    with("ipc:///proc/x.sock").exits_with(96).says("could not bind ipc:///proc/x.sock");
    let without = run_changed("[reports]\ntopic = \"sentinel/collect/minipot\"\n", "", &["--case", "1.21"]);
    without.exits_with(96).says("template variable `reports`");
}

#[test]
fn a_port_of_a_minipot_that_is_in_use_is_named() {
    let own = include_str!("../minipot/profiles/reference.toml")
        .replace("127.0.0.1", "127.0.78.1")
        .replace("\"private\"", "\"host\"")
        .replace("8080", "18087");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host.toml");
    std::fs::write(&path, own).unwrap();
    let _taken = TcpListener::bind("127.0.78.1:18087").unwrap();
    let ran = run(&["--sut", path.to_str().unwrap(), "--case", "3.1"]);
    ran.exits_with(96).says("127.0.78.1:18087").says("is in use by");
}

#[test]
fn garbage_and_frames_of_100_mb_are_findings_and_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.sock");
    let endpoint = format!("ipc://{}", path.display());
    let stranger = {
        let endpoint = endpoint.clone();
        std::thread::spawn(move || {
            eventually("the socket is bound", || path.exists());
            let socket = zmq::Context::new().socket(zmq::PUSH).unwrap();
            socket.set_linger(10_000).unwrap();
            socket.connect(&endpoint).unwrap();
            let topic = || b"sentinel/collect/minipot".to_vec();
            socket.send_multipart([topic(), b"garbage".to_vec()], 0).unwrap();
            socket.send_multipart(vec![vec![0xff]; 50], 0).unwrap();
            socket.send_multipart([topic(), vec![7; 100 << 20]], 0).unwrap();
        })
    };
    // It takes a few seconds, so that all of it has come by then.
    let ran =
        run_changed("[reports]", &format!("[reports]\nbind = \"{endpoint}\""), &["--case", "1.55", "--case", "2.3"]);
    stranger.join().unwrap();
    ran.exits_with(100);
    let finding = ran.finding("1.55");
    assert!(finding.contains("it has 50 frames, not a topic and a report"), "{finding}");
    assert!(finding.contains("its second frame is no MessagePack map"), "{finding}");
    assert!(finding.contains("its second frame has 104857600 bytes"), "{finding}");
    let kept = std::fs::read_to_string(ran.place().join("reports/minipot-ftp-1.55.received.jsonl")).unwrap();
    assert_eq!(kept.lines().filter(|line| line.contains("undecodable")).count(), 3, "{kept}");
    assert!(kept.contains("\"length\":104857600"), "{kept}");
    assert_eq!(ran.with("pass"), ["2.3"], "the run goes on: {}", ran.stderr);
}

/// What a random conversation sends, and what it expects to be reported, without the address that it comes from.
fn said(ran: &Ran, case: &str) -> Vec<String> {
    let history = std::fs::read_to_string(ran.place().join("history.jsonl")).unwrap();
    let records = history.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let of_case = |record: &serde_json::Value| record["case"].as_str().is_some_and(|text| text.ends_with(case));
    let from = records.skip_while(|record| !(record["event"] == "case_begin" && of_case(record)));
    let own = from.take_while(|record| !(record["event"] == "case_end" && of_case(record)));
    let mut said: Vec<(u64, String)> = Vec::new();
    for record in own.filter(|record| record["event"] == "handler") {
        let what = match record["step"].as_str() {
            Some("sent") => format!("{} {}", record["bytes"], record["head"]),
            Some("expects") => format!("{} {}", record["report"]["action"], record["report"]["data"]),
            Some("start") => record["marker"].to_string(),
            _ => continue,
        };
        said.push((record["handler"].as_u64().unwrap(), what));
    }
    // Handlers talk at the same time; each says what it says in its own order.
    said.sort_by_key(|(handler, _)| *handler);
    assert!(said.len() > 30, "{} steps", said.len());
    said.into_iter().map(|(_, what)| what).collect()
}

#[test]
fn a_random_conversation_can_be_had_again_whatever_else_is_run() {
    for case in ["5.8", "5.9", "5.10"] {
        let alone = said(&run(&["--seed", "7", "--case", case]), case);
        let after_others = said(&run(&["--seed", "7", "--case", "1.24", "--case", "5.6", "--case", case]), case);
        assert_eq!(alone, after_others, "{case}");
        let other = said(&run(&["--seed", "8", "--case", case]), case);
        assert_ne!(alone, other, "{case}: the seed says nothing");
    }
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

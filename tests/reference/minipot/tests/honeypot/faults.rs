//! Each fault from outside: its own effect shows, and what it leaves alone still works.

mod connections;
mod content;
mod processes;
mod reports;
mod words;

use std::process::Command;

use crate::{FTP_GREETING, client::Client, proxy::Proxy, system::System};

/// The correct reports of a connection to FTP with one login.
const CONNECT: &str = "ftp 127.0.0.1 connect";
const LOGIN: &str = "ftp 127.0.0.1 login username=me password=secret";

/// A system with the fault, and a connection to its FTP that has been greeted.
fn ftp(fault: &str) -> (System, Proxy, Client) {
    let (system, proxy) = System::with_fault(fault);
    let mut client = system.connect(system.ftp);
    client.expect(FTP_GREETING);
    (system, proxy, client)
}

/// Logs in by SMTP as `me@here@cz`, with `secret`; returns our host name.
fn smtp_login(client: &mut Client) -> String {
    let host = client.line().split(' ').nth(1).unwrap().to_owned();
    client.ask("HELO x", &format!("250 {host}"));
    client.ask("AUTH PLAIN AG1lQGhlcmVAY3oAc2VjcmV0", "535 5.7.8 Error: authentication failed:");
    host
}

#[test]
fn each_has_its_test() {
    let asked = Command::new(env!("CARGO_BIN_EXE_reference-minipot")).args(["--fault", "?"]).output().unwrap();
    let said = String::from_utf8(asked.stderr).unwrap();
    let (_, list) = said.split_once("possible values: ").unwrap();
    let names: Vec<String> =
        list.split(']').next().unwrap().split(',').map(|name| name.split_whitespace().collect()).collect();
    assert!(names.len() > 50 && names[0] == "none", "{names:?}");
    let tests = [
        include_str!("faults/connections.rs"),
        include_str!("faults/content.rs"),
        include_str!("faults/processes.rs"),
        include_str!("faults/reports.rs"),
        include_str!("faults/words.rs"),
    ]
    .concat();
    for name in &names[1..] {
        assert!(tests.contains(&format!("\"{name}\"")), "no test starts a system with {name}");
    }
}

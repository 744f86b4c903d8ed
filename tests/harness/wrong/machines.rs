//! Machines that lack something, or where something is in the way.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;

use super::{Setting, Table};
use crate::support::suites;

const REFERENCE: &str = include_str!("../../tunnel/profiles/reference.toml");

/// The reference's profile in the host's network, at addresses of a test's own.
fn in_the_hosts_network(third: u8) -> String {
    REFERENCE.replace("127.0.0.", &format!("127.0.{third}.")).replace("\"private\"", "\"host\"")
}

#[test]
fn machines_that_lack_something() {
    let mut table = Table::new();
    let run = ["run", "tunnel", "--sut", "reference", "--case", "1.1", "--runs", "runs", "--seed", "1"];
    let with = |more: &[&'static str]| [&run, more].concat();
    let unprivileged = Setting { unprivileged: true, ..Setting::default() };
    let no_btf = Setting { env: Some(("PORTWITNESS_BTF", "/nowhere/vmlinux")), ..Setting::default() };
    let no_object = Setting { env: Some(("PORTWITNESS_NO_EBPF", "1")), ..Setting::default() };
    table.file("not-btf", "not BTF at all");
    let wrong_btf = Setting { env: Some(("PORTWITNESS_BTF", "not-btf")), ..Setting::default() };
    table.row_with("not root", &run, unprivileged);
    table.row_with(
        "not root, another network",
        &with(&["--observer", "sock-diag", "--network", "private"]),
        unprivileged,
    );
    table.row_with("not root, runs of root", &with(&["--observer", "sock-diag"]), unprivileged);
    table.row_with("without BTF", &with(&["--observer", "tp-btf"]), no_btf);
    table.row_with("BTF that is none", &with(&["--observer", "raw-tp"]), wrong_btf);
    table.row_with("built without the eBPF object", &run, no_object);
    table.check("machines");
}

#[test]
fn ports_that_are_taken() {
    let mut table = Table::new();
    table.file("p.toml", in_the_hosts_network(78));
    let run = ["run", "tunnel", "--sut", "p.toml", "--case", "1.1", "--runs", "runs", "--seed", "1"];
    let taken = TcpListener::bind("127.0.78.11:38001").unwrap();
    table.row("port of the system in use", &run);
    table.row_with(
        "port in use, as the observer without privileges sees it",
        &[&run[..], &["--observer", "sock-diag"]].concat(),
        Setting::default(),
    );
    drop(taken);
    let taken = TcpListener::bind("127.0.78.14:39001").unwrap();
    table.row("port of a backend in use", &run);
    drop(taken);
    let wildcard = in_the_hosts_network(78).replace("127.0.78.11:38001", "0.0.0.0:37801");
    table.file("p.toml", wildcard);
    let _taken = TcpListener::bind("127.0.78.99:37801").unwrap();
    table.row("address in use where the system wants all", &run);
    table.check("taken_ports");
}

#[test]
fn doctor_names_what_is_taken_even_when_it_may_not_see_by_whom() {
    let table = Table::new();
    let _taken = TcpListener::bind("127.0.79.11:38001").unwrap();
    table.file("p.toml", in_the_hosts_network(79));
    let doctor = |unprivileged| {
        let mut command = suites(&["doctor", "tunnel", "--sut", "p.toml", "--json"]);
        command.current_dir(table.path());
        if unprivileged {
            command.uid(65534).gid(65534);
        }
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    for (unprivileged, who) in [(false, "harness"), (true, "a process that this user may not see")] {
        let (code, stdout) = doctor(unprivileged);
        let port = stdout.lines().find(|line| line.contains("port server_to_client_tun1_listen")).unwrap();
        assert!(port.contains("127.0.79.11:38001 is in use by ") && port.contains(who), "{port}");
        assert!(port.contains("\"ok\":false") && code == Some(96), "{code:?} {port}");
    }
}

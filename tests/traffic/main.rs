//! A small program that makes a known list of system calls, each in its outcomes, and says on standard output what it did,
//! with which result and between which moments: the truth with which a stream of sinsp events is compared.
#![allow(clippy::unwrap_used, reason = "a traffic program that cannot go on has failed")]

mod address;
mod connects;
mod processes;
mod script;
mod sockets;
mod storm;
mod transfers;

use std::process::ExitCode;

use address::Name;
use sockets::{NO_SOCKET, NOTHING, TCP, UDP, UNIX, V4, V6};

type Scenario = (&'static str, fn());

/// What it can play; the suite's cases name them.
const SCENARIOS: &[Scenario] = &[
    ("socket-tcp4", || sockets::made(V4, TCP)),
    ("socket-tcp6", || sockets::made(V6, TCP)),
    ("socket-udp4", || sockets::made(V4, UDP)),
    ("socket-udp6", || sockets::made(V6, UDP)),
    ("socket-unix", || sockets::made(UNIX, TCP)),
    ("socket-unix-dgram", || sockets::made(UNIX, UDP)),
    ("socket-flags", sockets::made_with_flags),
    ("socket-afnosupport", sockets::no_family),
    ("socket-protonosupport", sockets::no_protocol),
    ("socket-inval", sockets::no_type),
    ("socket-mfile", sockets::no_room),
    ("socket-perm", sockets::no_permission),
    ("socketpair", || sockets::pair(UNIX, true)),
    ("socketpair-opnotsupp", || sockets::pair(V4, true)),
    ("socketpair-fault", || sockets::pair(UNIX, false)),
    ("bind-tcp4", || sockets::bound(V4, TCP, &Name::at("127.0.0.1:18011"))),
    ("bind-tcp6", || sockets::bound(V6, TCP, &Name::at("[::1]:18012"))),
    ("bind-udp4", || sockets::bound(V4, UDP, &Name::at("127.0.0.1:18013"))),
    ("bind-udp6", || sockets::bound(V6, UDP, &Name::at("[::]:18014"))),
    ("bind-unix", || sockets::bound(UNIX, TCP, &Name::unix("bound"))),
    ("bind-port-zero", || sockets::bound(V4, TCP, &Name::at("0.0.0.0:0"))),
    ("bind-addrinuse", || sockets::bound_in_use(V4, &Name::at("127.0.0.1:18015"))),
    ("bind-addrinuse6", || sockets::bound_in_use(V6, &Name::at("[::1]:18016"))),
    ("bind-addrinuse-unix", || sockets::bound_in_use(UNIX, &Name::unix("twice"))),
    ("bind-addrnotavail", || sockets::bound(V4, TCP, &Name::at("192.0.2.1:18017"))),
    ("bind-acces", sockets::bound_by_nobody),
    ("bind-badf", || ignore(script::bind(NOTHING, &Name::at("127.0.0.1:18018")))),
    ("bind-notsock", || ignore(script::bind(NO_SOCKET, &Name::at("127.0.0.1:18018")))),
    ("bind-inval", sockets::bound_twice),
    ("bind-short", || sockets::bound(V4, TCP, &Name::at("127.0.0.1:18018").shortened(4))),
    ("bind-fault", || sockets::bound(V4, TCP, &Name::nowhere())),
    ("bind-afnosupport", || sockets::bound(V4, TCP, &Name::of_no_family())),
    ("bind-noent", || sockets::bound(UNIX, TCP, &Name::unix("no/such/folder"))),
    ("listen-tcp4", || sockets::listening(V4, 16)),
    ("listen-tcp6", || sockets::listening(V6, 4096)),
    ("listen-unix", || sockets::listening(UNIX, 5)),
    ("listen-zero", || sockets::listening(V4, 0)),
    ("listen-negative", || sockets::listening(V4, -1)),
    ("listen-again", sockets::listening_again),
    ("listen-badf", || ignore(script::listen(NOTHING, 16))),
    ("listen-notsock", || ignore(script::listen(NO_SOCKET, 16))),
    ("listen-opnotsupp", sockets::listening_datagram),
    ("listen-addrinuse", sockets::listening_in_use),
    ("listen-inval", sockets::listening_connected),
    ("connect-tcp4", || connects::plain(V4)),
    ("connect-tcp6", || connects::plain(V6)),
    ("connect-unix", || connects::plain(UNIX)),
    ("connect-mapped", connects::mapped),
    ("connect-udp4", || connects::datagram(V4)),
    ("connect-udp6", || connects::datagram(V6)),
    ("connect-inprogress", connects::in_progress),
    ("connect-refused4", || connects::refused(V4)),
    ("connect-refused6", || connects::refused(V6)),
    ("connect-refused-unix", || connects::refused(UNIX)),
    ("connect-noent", || connects::one(UNIX, TCP, &Name::unix("nobody"))),
    ("connect-isconn", connects::already_connected),
    ("connect-already", connects::already_connecting),
    ("connect-timedout", connects::timed_out),
    ("connect-intr", connects::interrupted),
    ("connect-netunreach", || connects::one(V4, TCP, &Name::at("192.0.2.1:18044"))),
    ("connect-acces", || connects::one(V4, UDP, &Name::at("127.255.255.255:18045"))),
    ("connect-badf", connects::nothing_to_connect),
    ("connect-notsock", connects::no_socket_to_connect),
    ("connect-fault", || connects::one(V4, TCP, &Name::nowhere())),
    ("connect-afnosupport", || connects::one(V4, TCP, &Name::of_no_family())),
    ("connect-inval", || connects::one(V4, TCP, &Name::at("127.0.0.1:18046").shortened(4))),
    ("connect-prototype", connects::other_kind),
    ("connect-dissolved", connects::dissolved),
    ("accept-tcp4", || connects::accepted(V4, None)),
    ("accept-tcp6", || connects::accepted(V6, None)),
    ("accept-unix", || connects::accepted(UNIX, None)),
    ("accept-mapped", connects::accepted_mapped),
    ("accept-queue", connects::accepted_from_queue),
    ("accept4-tcp4", || connects::accepted(V4, Some(libc::SOCK_CLOEXEC))),
    ("accept4-tcp6", || connects::accepted(V6, Some(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC))),
    ("accept4-unix", || connects::accepted(UNIX, Some(0))),
    ("accept-again", connects::nobody_waits),
    ("accept-inval", || connects::not_listening(TCP)),
    ("accept-opnotsupp", || connects::not_listening(UDP)),
    ("accept4-inval", connects::wrong_flags),
    ("accept-intr", connects::accept_interrupted),
    ("accept-mfile", connects::no_room_to_accept),
    ("accept-badf-notsock", connects::accept_nothing),
    ("shutdown-read", || transfers::shut(V4, libc::SHUT_RD)),
    ("shutdown-write", || transfers::shut(V6, libc::SHUT_WR)),
    ("shutdown-both", || transfers::shut(UNIX, libc::SHUT_RDWR)),
    ("shutdown-notconn", transfers::shut_unconnected),
    ("shutdown-inval", || transfers::shut(V4, 9)),
    ("shutdown-badf", || ignore(script::shutdown(NOTHING, libc::SHUT_WR))),
    ("shutdown-notsock", || ignore(script::shutdown(NO_SOCKET, libc::SHUT_WR))),
    ("close-badf", || ignore(script::close(NOTHING))),
    ("transfer-tcp4", || transfers::stream(V4)),
    ("transfer-tcp6", || transfers::stream(V6)),
    ("transfer-unix", || transfers::stream(UNIX)),
    ("transfer-udp4", transfers::datagram),
    ("receive-again", transfers::nothing_came),
    ("transfer-notconn", transfers::unconnected),
    ("transfer-reset", transfers::after_reset),
    ("send-msgsize", transfers::too_long),
    ("dup", transfers::replaced),
    ("threads", processes::threads),
    ("across-threads", processes::across_threads),
    ("fork", processes::forked),
    ("fork-twice", processes::forked_twice),
    ("exit-without-close", processes::exit_without_close),
    ("killed", processes::killed),
    ("exec", processes::executed),
    ("exec-twice", processes::executed_twice),
    ("exec-noent", processes::no_program),
    ("exec-acces", processes::no_permission_to_execute),
    ("exec-noexec", processes::no_format),
    ("one-of-each", processes::one_of_each),
];

/// What it returned is stated already.
fn ignore(_: i64) {}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => SCENARIOS.iter().for_each(|(name, _)| println!("{name}")),
        ["play", name] => {
            let Some((_, play)) = SCENARIOS.iter().find(|(known, _)| known == name) else {
                eprintln!("no scenario `{name}`; `traffic list` names them");
                return ExitCode::from(2);
            };
            processes::prepare();
            script::begin();
            play();
            script::end();
        }
        ["continue", step, fd] => processes::continued(step, fd.parse().unwrap()),
        ["hold"] => processes::hold(),
        ["storm", times] => storm::storm(times.parse().unwrap()),
        _ => {
            eprintln!("traffic list | traffic play SCENARIO | traffic hold | traffic storm TIMES");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

//! Records in, meanings and lines out.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::*;
use crate::clock::{RealtimeOffset, Timestamp};
use crate::endpoint::{Endpoint, SocketId, Tgid};
use crate::history::{Event, Listening, Process, Record, SocketState, Source, TcpState};

const MS: u64 = 1_000_000;

fn process(comm: &str) -> Process {
    Process { tgid: Tgid(7), tid: 7, comm: comm.into() }
}

fn record(ms: u64, event: Event) -> Record {
    Record { at: Timestamp(ms * MS), uncertainty_ns: 0, source: Source::Ebpf, event }
}

fn change(ms: u64, socket: u64, ends: (&str, Option<&str>), states: (TcpState, TcpState), comm: &str) -> Record {
    let (from, to) = states;
    let at = |text: &str| text.parse::<Endpoint>().unwrap();
    let event = Event::SocketState(SocketState {
        socket: SocketId(socket),
        netns: 1,
        local: at(ends.0),
        remote: ends.1.map(at),
        from,
        to,
        ipv6_only: false,
        refused: false,
        process: process(comm),
    });
    record(ms, event)
}

fn opens(ms: u64, socket: u64, local: &str) -> Record {
    change(ms, socket, (local, None), (TcpState::Close, TcpState::Listen), "server")
}

fn closes(ms: u64, socket: u64, local: &str) -> Record {
    change(ms, socket, (local, None), (TcpState::Listen, TcpState::Close), "server")
}

fn seed(ms: u64, local: &str) -> Record {
    let process = Some(process("server"));
    record(ms, Event::Listening(Listening { local: local.parse().unwrap(), netns: 1, ipv6_only: false, process }))
}

fn lines(records: &[Record]) -> Vec<String> {
    let mut lives = Lives::new(Timestamp(0), 1);
    let realtime = RealtimeOffset { at: Timestamp(0), offset_ns: 0, uncertainty_ns: 0 };
    let clock = Clock::new(TimeStyle::Relative, Timestamp(0), realtime);
    let told = |record| {
        let sighting = lives.take(record);
        line(&sighting, &lives, &clock)
    };
    let lines = records.iter().filter_map(told);
    lines.map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn ports_have_ages() {
    let at = "127.0.0.1:80";
    let told = lines(&[
        seed(1, at),
        closes(12_301, 1, at),
        opens(14_801, 2, at),
        opens(14_802, 3, at),
        closes(14_803, 2, at),
        closes(15_801, 3, at),
    ]);
    let expected = [
        "listening 127.0.0.1:80 server[7] since before the watch",
        "closed 127.0.0.1:80 server[7] after listening for 12.3 s or more (since before the watch)",
        "reopened 127.0.0.1:80 server[7] after 2.5 s closed",
        "joined 127.0.0.1:80 server[7] 2 sockets listen there now",
        "left 127.0.0.1:80 server[7] 1 still listen there",
        "closed 127.0.0.1:80 server[7] after listening for 1.0 s",
    ];
    assert_eq!(told, expected);
}

#[test]
fn connections_belong_to_who_made_or_accepts_them() {
    let (here, there) = (("0.0.0.0:80", "127.0.0.1:80"), "127.0.0.1:5000");
    let incoming = |ms, from, to| change(ms, 2, (here.1, Some(there)), (from, to), "swapper");
    let outgoing = |ms, from, to, comm| change(ms, 3, (there, Some(here.1)), (from, to), comm);
    let told = lines(&[
        opens(1, 1, here.0),
        outgoing(2, TcpState::Close, TcpState::SynSent, "client"),
        incoming(3, TcpState::Listen, TcpState::SynRecv),
        incoming(3, TcpState::SynRecv, TcpState::Established),
        outgoing(4, TcpState::SynSent, TcpState::Established, "swapper"),
        outgoing(9, TcpState::Established, TcpState::FinWait1, "client"),
        incoming(1003, TcpState::LastAck, TcpState::Close),
        // It began before the watch: nobody knows whose it is, and how old.
        change(1004, 9, (here.1, Some(there)), (TcpState::LastAck, TcpState::Close), "swapper"),
        outgoing(1005, TcpState::Close, TcpState::SynSent, "client"),
        outgoing(1006, TcpState::SynSent, TcpState::Close, "swapper"),
    ]);
    let expected = [
        "opened 0.0.0.0:80 server[7]",
        "SYN_SENT 127.0.0.1:5000 -> 127.0.0.1:80 client[7] from CLOSE",
        "SYN_RECV 127.0.0.1:80 <- 127.0.0.1:5000 server[7] from LISTEN",
        "accepted 127.0.0.1:80 <- 127.0.0.1:5000 server[7]",
        "connected 127.0.0.1:5000 -> 127.0.0.1:80 client[7] in 2.0 ms",
        "FIN_WAIT1 127.0.0.1:5000 -> 127.0.0.1:80 client[7] from ESTABLISHED",
        "ended 127.0.0.1:80 <- 127.0.0.1:5000 server[7] after 1.0 s",
        "CLOSE 127.0.0.1:80 -> 127.0.0.1:5000 from LAST_ACK",
        "SYN_SENT 127.0.0.1:5000 -> 127.0.0.1:80 client[7] from CLOSE",
        "failed 127.0.0.1:5000 -> 127.0.0.1:80 client[7] after 1.0 ms",
    ];
    assert_eq!(told, expected);
}

#[test]
fn filters_pick_by_state_address_and_command() {
    let shown = |filter: &Filter, record: &Record| {
        let mut lives = Lives::new(Timestamp(0), 1);
        filter.takes(&lives.take(record), false)
    };
    let records = [
        seed(1, "0.0.0.0:80"),
        opens(1, 1, "127.0.0.1:81"),
        change(1, 2, ("127.0.0.1:5", Some("10.0.0.1:6")), (TcpState::Close, TcpState::SynSent), "curl"),
        record(1, Event::Loss { probe: "p".into(), count: 1, since: Timestamp(0) }),
    ];
    let picked = |filter: Filter| records.iter().map(|record| shown(&filter, record)).collect::<Vec<_>>();
    assert_eq!(picked(Filter::default()), [true, true, false, true], "steps only when asked for");
    let states = |states: &[StateFilter]| Filter { states: states.to_vec(), ..Filter::default() };
    assert_eq!(picked(states(&[StateFilter::Listen])), [true, true, false, true]);
    assert_eq!(picked(states(&[StateFilter::SynSent, StateFilter::Close])), [false, false, true, true]);
    let address = |text: &str| Filter { addresses: vec![text.parse().unwrap()], ..states(&[StateFilter::Listen]) };
    assert_eq!(picked(address("127.0.0.1")), [true, true, false, true]);
    assert_eq!(picked(address("127.0.0.1:81")), [false, true, false, true]);
    assert!("localhost".parse::<AddressFilter>().is_err());
    let comm = |comm: &str| Filter { comms: vec![comm.into()], ..states(&[StateFilter::SynSent]) };
    assert_eq!(picked(comm("curl")), [false, false, true, true]);
    assert_eq!(picked(comm("wget")), [false, false, false, true]);
}

#[test]
fn the_summary_counts_and_tells_of_losses() {
    let at = "127.0.0.1:80";
    let mut lives = Lives::new(Timestamp(0), 1);
    for record in [opens(0, 1, at), closes(1000, 1, at), opens(3000, 2, at)] {
        lives.take(&record);
    }
    let text = summary(&lives, Timestamp(4000 * MS), "ebpf");
    assert!(text.contains("watched 4.0 s by ebpf; ports: 1;") && text.contains("nothing was lost"), "{text}");
    let row: Vec<_> = text.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(row.join(" "), "127.0.0.1:80 listens (1) 2 1 2.0 s 2.0 s 0 server[7]");
    lives.take(&record(1, Event::Loss { probe: "socket_state".into(), count: 12, since: Timestamp(0) }));
    let text = summary(&lives, Timestamp(4000 * MS), "ebpf");
    assert!(text.contains("LOST: 12 records of socket_state") && !text.contains("nothing was lost"), "{text}");
}

#[test]
fn a_listen_that_is_refused_neither_opens_nor_closes() {
    let at = "127.0.0.1:80";
    let mut refused = closes(2001, 2, at);
    if let Event::SocketState(change) = &mut refused.event {
        change.refused = true;
    }
    let mut lives = Lives::new(Timestamp(0), 1);
    for record in [opens(0, 1, at), closes(1000, 1, at), opens(2000, 2, at)] {
        lives.take(&record);
    }
    assert_eq!(lives.take(&refused).meaning, Meaning::Refused);
    lives.take(&opens(3000, 3, at));
    let text = summary(&lives, Timestamp(4000 * MS), "ebpf");
    let row: Vec<_> = text.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(row.join(" "), "127.0.0.1:80 listens (1) 2 1 2.0 s 2.0 s 0 server[7]");
}

#[test]
fn times_are_for_people() {
    for (time, text) in [
        (Duration::from_micros(12), "12 us"),
        (Duration::from_micros(12_345), "12.3 ms"),
        (Duration::from_millis(2500), "2.5 s"),
        (Duration::from_secs(125), "2 min 5 s"),
        (Duration::from_secs(7500), "2 h 5 min"),
    ] {
        assert_eq!(human(time), text);
    }
}

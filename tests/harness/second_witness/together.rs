//! Both witnesses in this process, on connections of every kind: the ends that they tell are compared, one by one.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::IntoRawFd;

use portwitness::checks::{Slice, agreement};
use portwitness::history::{CaseId, Event, Recorder, Source, Syscall, SyscallPhase};
use portwitness::observers::Observer;
use portwitness::observers::ebpf::{EbpfObserver, EbpfSettings};
use portwitness::observers::scap::{ScapObserver, ScapSettings};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use crate::observers::stage::{self, Actor};

const PORT: u16 = 7401;

/// IPv4 to a socket of IPv6, IPv6, to a wildcard, without waiting, refused in both families; then what was accepted is closed
/// in one go.
fn conversations() {
    let listener = TcpListener::bind(("::", PORT)).unwrap();
    let mut accepted = Vec::new();
    for target in ["127.0.0.1", "::1", "0.0.0.0"] {
        let client = TcpStream::connect((target, PORT)).unwrap();
        accepted.push(listener.accept().unwrap().0.into_raw_fd());
        drop(client);
    }
    let patient = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::NONBLOCK, None).unwrap();
    let _ = connect(&patient, &SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)));
    accepted.push(listener.accept().unwrap().0.into_raw_fd());
    for target in ["127.0.0.1", "::1"] {
        assert!(TcpStream::connect((target, 1)).is_err());
    }
    let (first, last) = (accepted.iter().min().unwrap(), accepted.iter().max().unwrap());
    // What the client holds may lie between, and goes as well.
    std::mem::forget(patient);
    // SAFETY: of these descriptors nobody makes use any more.
    assert_eq!(unsafe { libc::syscall(libc::SYS_close_range, *first, *last, 0) }, 0);
}

/// Those exits of accept and connect of a witness that tell both ends.
fn with_ends(recorder: &Recorder, source: Source) -> Vec<Syscall> {
    let calls = recorder.history().records.into_iter().filter(|record| record.source == source);
    let calls = calls.filter_map(|record| if let Event::Syscall(call) = record.event { Some(call) } else { None });
    calls.filter(|call| call.tuple.is_some() && call.phase != SyscallPhase::Enter).collect()
}

#[test]
#[ignore = "needs the scap module"]
fn both_ends_of_every_kind_of_connection_are_told_alike() {
    // A thread of its own, since it does not leave the namespace again.
    std::thread::spawn(compare_both_ends).join().unwrap();
}

fn compare_both_ends() {
    stage::enter_namespace();
    let scope = stage::scope();
    let recorder = scope.recorder.clone();
    let mut first = Box::new(EbpfObserver::start(scope.clone(), EbpfSettings::default()).unwrap());
    let mut second = Box::new(ScapObserver::start(scope, ScapSettings::default()).unwrap());
    let case = CaseId { suite: "second_witness".into(), number: "1".into() };
    recorder.record(Source::Runner, Event::CaseBegin { case: case.clone(), checks: Vec::new() });
    let actor = Actor::fork(|_| conversations());
    assert_eq!(actor.ended(), Some(0));
    first.fence().unwrap();
    second.fence().unwrap();
    recorder.record(Source::Runner, Event::CaseEnd { case: case.clone(), error: None });
    let history = recorder.history();
    let agreed = agreement::compare(&Slice::of(&history, &case).unwrap()).unwrap();
    println!("{agreed:?}");
    // Four that connect and four that accept; of what is refused eBPF tells no ends.
    let ours = with_ends(&recorder, Source::Ebpf);
    assert_eq!(ours.len(), 8, "{ours:#?}");
    assert_eq!((agreed.ends, agreed.alone), (8, 1), "{:#?}", with_ends(&recorder, Source::Scap));
    second.stop().unwrap();
    first.stop().unwrap();
}

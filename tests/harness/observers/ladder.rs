//! The capability ladder: every rung tells when a port opened and closed, within the bounds that it states.

use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use portwitness::clock::Timestamp;
use portwitness::endpoint::Endpoint;
use portwitness::history::{Event, ObserverChange, Recorder, TcpState};
use portwitness::observers::ebpf::{EbpfObserver, EbpfSettings, Rung};
use portwitness::observers::sock_diag::{SockDiagObserver, SockDiagSettings};
use portwitness::observers::{Observer, ObserverError};
use portwitness::preflight;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use super::stage::{Actor, Turn, alone, alone_with, edges, enter_namespace, scope};

const PORT: u16 = 7401;

fn start(rung: Option<Rung>) -> (Recorder, Box<dyn Observer>) {
    let scope = scope();
    let recorder = scope.recorder.clone();
    let observer: Box<dyn Observer> = match rung {
        Some(_) => Box::new(EbpfObserver::start(scope, EbpfSettings { rung, ..EbpfSettings::default() }).unwrap()),
        None => Box::new(SockDiagObserver::start(scope, SockDiagSettings::default()).unwrap()),
    };
    (recorder, observer)
}

/// Opens and closes a port ten times, and compares what was recorded with what the clock said around it.
fn bounds_hold(rung: Option<Rung>, name: &str) {
    let (recorder, mut observer) = start(rung);
    assert!(observer.describe().contains(name), "{}", observer.describe());
    let mut done = Vec::new();
    for _ in 0..10 {
        let before = Timestamp::now();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).unwrap();
        done.push((TcpState::Listen, before, Timestamp::now()));
        observer.fence().unwrap();
        let before = Timestamp::now();
        drop(listener);
        done.push((TcpState::Close, before, Timestamp::now()));
        observer.fence().unwrap();
    }
    observer.stop().unwrap();
    let history = recorder.history();
    let seen: Vec<_> = history
        .records
        .iter()
        .filter_map(|record| match &record.event {
            Event::SocketState(it) if it.local == Endpoint::new(Ipv4Addr::LOCALHOST.into(), PORT) => {
                Some((it.to, record.at, Duration::from_nanos(record.uncertainty_ns)))
            }
            _ => None,
        })
        .collect();
    assert_eq!(seen.len(), done.len(), "{seen:?}");
    for ((to, at, uncertainty), (expected, before, after)) in seen.into_iter().zip(done) {
        assert_eq!(to, expected);
        // It happened between `before` and `after`, and by the record between `at - uncertainty` and `at`.
        assert!(at >= before && at - uncertainty <= after, "{before} {at} +-{uncertainty:?} {after}");
    }
    let changes: Vec<_> = history
        .records
        .iter()
        .filter_map(|record| if let Event::Observer(change) = &record.event { Some(change) } else { None })
        .collect();
    assert!(matches!(changes[..], [ObserverChange::Started { rung, .. }, ObserverChange::Stopped] if rung == name));
}

#[test]
fn tp_btf() {
    alone(|| bounds_hold(Some(Rung::TpBtf), "tp_btf"));
}

#[test]
fn raw_tp() {
    alone(|| bounds_hold(Some(Rung::RawTp), "raw_tp"));
}

#[test]
fn tracepoint() {
    alone(|| bounds_hold(Some(Rung::Tracepoint), "tracepoint"));
}

#[test]
fn sock_diag() {
    alone(|| bounds_hold(None, "sock_diag"));
}

#[test]
fn without_btf_the_classic_tracepoint_takes_over() {
    alone_with(&[("PORTWITNESS_BTF", "/no/such/btf")], || {
        let scope = scope();
        let recorder = scope.recorder.clone();
        let mut observer = EbpfObserver::start(scope, EbpfSettings::default()).unwrap();
        assert_eq!(observer.rung(), Rung::Tracepoint);
        let actor = Actor::fork(|_| drop(TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).unwrap()));
        let tgid = actor.tgid();
        assert_eq!(actor.ended(), Some(0));
        observer.fence().unwrap();
        let of_actor: Vec<_> = recorder
            .history()
            .records
            .into_iter()
            .filter_map(|record| match record.event {
                Event::SocketState(it) if it.process.tgid == tgid => Some((it.to, it.local.port(), it.netns)),
                _ => None,
            })
            .collect();
        // The namespace is 0 for unknown.
        assert_eq!(of_actor, [(TcpState::Listen, PORT, 0), (TcpState::Close, PORT, 0)]);
    });
}

#[test]
fn without_btf_a_stranger_s_listener_is_not_taken_for_one_of_the_run() {
    alone_with(&[("PORTWITNESS_BTF", "/no/such/btf")], || {
        let listen = |port| move || TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        let elsewhere = |turn: &mut Turn, listen: &dyn Fn() -> TcpListener| {
            enter_namespace();
            turn.pause();
            let listener = listen();
            turn.pause();
            drop(listener);
        };
        // Born before the observer: a stranger to it, in another namespace.
        let mut stranger = Actor::fork(|turn| elsewhere(turn, &listen(PORT)));
        // Another stranger keeps what a tracked process opens, and closes it.
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        let mut heir = Actor::fork(|turn| {
            let inherited = receive(&theirs);
            turn.pause();
            drop(inherited);
        });
        let scope = scope();
        let (recorder, netns) = (scope.recorder.clone(), scope.netns);
        let mut observer = EbpfObserver::start(scope, EbpfSettings::default()).unwrap();
        let mut tracked = Actor::fork(|turn| elsewhere(turn, &listen(PORT + 1)));
        for actor in [&mut stranger, &mut tracked] {
            actor.reached();
            actor.go();
            actor.reached();
        }
        let giver = Actor::fork(|_| send(&ours, &listen(PORT + 2)()));
        assert_eq!(giver.ended(), Some(0));
        heir.reached();
        // The harness's own listeners belong to the run.
        let own = listen(PORT + 3)();
        observer.fence().unwrap();
        let open = |port| {
            let target = Endpoint::new(Ipv4Addr::LOCALHOST.into(), port);
            recorder.listeners(|listeners| listeners.count(target, netns))
        };
        assert_eq!([0, 1, 2, 3].map(|offset| open(PORT + offset)), [0, 1, 1, 1]);
        drop(own);
        for actor in [&mut stranger, &mut tracked, &mut heir] {
            actor.go();
        }
        for actor in [stranger, tracked, heir] {
            assert_eq!(actor.ended(), Some(0));
        }
        observer.fence().unwrap();
        assert_eq!([0, 1, 2, 3].map(|offset| open(PORT + offset)), [0; 4]);
        let edges = edges(&recorder);
        assert_eq!(edges.iter().filter(|(_, it)| it.local.port() == PORT).count(), 0, "{edges:?}");
    });
}

/// Hands a listener over.
fn send(to: &OwnedFd, listener: &TcpListener) {
    let descriptors = [listener.as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
    sendmsg(to, &[std::io::IoSlice::new(b"x")], &mut ancillary, SendFlags::empty()).unwrap();
}

/// Takes over what was sent.
fn receive(from: &OwnedFd) -> OwnedFd {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(from, &mut [std::io::IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::empty()).unwrap();
    let received = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    received.unwrap()
}

#[test]
fn without_btf_a_rung_that_needs_it_says_so() {
    alone_with(&[("PORTWITNESS_BTF", "/no/such/btf")], || {
        for rung in [Rung::TpBtf, Rung::RawTp] {
            let refused = EbpfObserver::start(scope(), EbpfSettings { rung: Some(rung), ..EbpfSettings::default() });
            let Err(error @ ObserverError::Lacking { .. }) = refused else { panic!("{rung} started without BTF") };
            assert!(error.to_string().contains("/no/such/btf"), "{error}");
        }
        let findings = preflight::capabilities();
        assert_eq!(preflight::best_rung(&findings), Some("tracepoint"));
        let btf = findings.iter().find(|finding| finding.name == "kernel BTF").unwrap();
        assert!(!btf.ok && btf.detail.contains("/no/such/btf") && btf.way_out.is_some(), "{btf:?}");
    });
}

#[test]
fn without_privileges_the_way_out_is_named() {
    alone(|| {
        // The capabilities of this thread alone.
        let none = rustix::thread::CapabilitySets {
            effective: rustix::thread::CapabilitySet::empty(),
            permitted: rustix::thread::CapabilitySet::empty(),
            inheritable: rustix::thread::CapabilitySet::empty(),
        };
        rustix::thread::set_capabilities(None, none).unwrap();
        let Err(error) = EbpfObserver::start(scope(), EbpfSettings::default()) else { panic!("it started") };
        let text = error.to_string();
        assert!(text.contains("CAP_BPF and CAP_PERFMON") && text.contains("sock-diag"), "{text}");
        // The unprivileged observer works.
        bounds_hold(None, "sock_diag");
    });
}

#[test]
fn a_pid_namespace_of_its_own_is_refused() {
    alone(|| {
        // SAFETY: only the children of this thread are concerned; no thread is started hereafter.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWPID) }, 0);
        let inside = Actor::fork(|_| {
            assert_eq!(std::process::id(), 1);
            let refused = EbpfObserver::start(scope(), EbpfSettings::default());
            let Err(error @ ObserverError::Lacking { .. }) = refused else { panic!("it started") };
            let text = error.to_string();
            assert!(text.contains("a pid namespace of its own") && text.contains("--pid=host"), "{text}");
            let findings = preflight::capabilities();
            let finding = findings.iter().find(|finding| finding.name == "pid namespace").unwrap();
            assert!(!finding.ok && finding.way_out.as_ref().unwrap().contains("--pid=host"), "{finding:?}");
            assert_eq!(preflight::best_rung(&findings), Some("sock_diag"));
        });
        assert_eq!(inside.ended(), Some(0));
    });
}

#[test]
fn a_ring_of_a_wrong_size_is_refused() {
    alone(|| {
        for ring_bytes in [0, 32 << 10, 100_000] {
            let refused = EbpfObserver::start(scope(), EbpfSettings { ring_bytes, ..EbpfSettings::default() });
            let Err(error) = refused else { panic!("a ring of {ring_bytes} bytes was taken") };
            assert!(error.to_string().contains("ring_bytes"), "{error}");
        }
    });
}

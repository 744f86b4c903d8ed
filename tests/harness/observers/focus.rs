//! What an observer follows: a run, a process that is there already, ports whoever owns them, a whole namespace.

use std::net::{Ipv4Addr, TcpListener, TcpStream};

use portwitness::endpoint::Endpoint;
use portwitness::history::{Event, Recorder, SocketState, TcpState};
use portwitness::observers::ebpf::{EbpfObserver, EbpfSettings, Rung};
use portwitness::observers::sock_diag::{SockDiagObserver, SockDiagSettings};
use portwitness::observers::{Focus, Observer, ObserverError, Scope};

use crate::support::eventually;

use super::stage::{Actor, Turn, alone, alone_with, enter_namespace, learns_the_peer_later, scope};

fn listen(port: u16) -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap()
}

fn start(focus: Focus, rung: Option<Rung>) -> Result<(Recorder, EbpfObserver), ObserverError> {
    let scope = Scope { focus, ..scope() };
    let recorder = scope.recorder.clone();
    let settings = EbpfSettings { rung, causes: false, ..EbpfSettings::default() };
    Ok((recorder, EbpfObserver::start(scope, settings)?))
}

fn changes(recorder: &Recorder) -> Vec<SocketState> {
    let change = |event| if let Event::SocketState(it) = event { Some(it) } else { None };
    recorder.history().records.into_iter().filter_map(|record| change(record.event)).collect()
}

/// What happened to listeners, in order: the port, and whether it opened.
fn edges(recorder: &Recorder) -> Vec<(u16, bool)> {
    let edge = |it: &SocketState| match (it.from, it.to) {
        (TcpState::Close, TcpState::Listen) => Some((it.local.port(), true)),
        (TcpState::Listen, TcpState::Close) => Some((it.local.port(), false)),
        _ => None,
    };
    changes(recorder).iter().filter_map(edge).collect()
}

fn seeds(recorder: &Recorder) -> Vec<u16> {
    let seed = |event| if let Event::Listening(it) = event { Some(it.local.port()) } else { None };
    recorder.history().records.into_iter().filter_map(|record| seed(record.event)).collect()
}

/// The states that connections to a port of 127.0.0.1 went to, at either end.
fn connection(recorder: &Recorder, port: u16) -> Vec<TcpState> {
    let target = Endpoint::new(Ipv4Addr::LOCALHOST.into(), port);
    let is_connection =
        |it: &SocketState| it.remote.is_some() || (it.to == TcpState::SynRecv && learns_the_peer_later());
    let of_port = |it: &SocketState| (it.local == target && is_connection(it)) || it.remote == Some(target);
    changes(recorder).into_iter().filter(of_port).map(|it| it.to).collect()
}

/// A service with a child that was there before the observer: both listen, and do so anew when told.
fn service(turn: &mut Turn, port: u16) {
    let own = listen(port);
    let mut child = Actor::fork(|turn| {
        turn.pause();
        let _later = listen(port + 2);
        turn.pause();
    });
    child.reached();
    let listener = own.try_clone().unwrap();
    turn.pause();
    std::thread::spawn(move || listener.accept().unwrap()).join().unwrap();
    std::thread::spawn(move || drop(listen(port + 1))).join().unwrap();
    child.go();
    child.reached();
    turn.pause();
}

fn a_process_is_followed(rung: Option<Rung>, port: u16) {
    let mut stranger = Actor::fork(|turn| {
        let _old = listen(port + 5);
        turn.pause();
        drop(listen(port + 6));
        turn.pause();
    });
    let mut actor = Actor::fork(|turn| service(turn, port));
    for actor in [&mut stranger, &mut actor] {
        actor.reached();
    }
    let (recorder, mut observer) = start(Focus::Processes(vec![actor.tgid().0]), rung).unwrap();
    assert_eq!(seeds(&recorder), [port], "{rung:?}");
    stranger.go();
    stranger.reached();
    actor.go();
    let connected = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    actor.reached();
    drop(connected);
    // The last segments may be received by a thread of the kernel that waits for its turn.
    eventually("the connection is over", || {
        observer.fence().unwrap();
        connection(&recorder, port).last() == Some(&TcpState::Close)
    });
    assert_eq!(edges(&recorder), [(port + 1, true), (port + 1, false), (port + 2, true)], "{rung:?}");
    assert_eq!(connection(&recorder, port)[..2], [TcpState::SynRecv, TcpState::Established], "{rung:?}");
    // Nobody closes what a killed process leaves, and it is no longer tracked when the kernel does.
    actor.kill();
    eventually("the service's ports are closed, with its child's, which ends without it", || {
        observer.fence().unwrap();
        let edges = edges(&recorder);
        edges.len() == 5 && edges[3..].contains(&(port, false)) && edges[3..].contains(&(port + 2, false))
    });
    stranger.go();
    assert_eq!(stranger.ended(), Some(0));
}

#[test]
fn a_process_that_is_there_is_followed_with_its_threads_and_descendants() {
    alone(|| {
        Rung::ALL.into_iter().zip([7601, 7611, 7621]).for_each(|(rung, port)| a_process_is_followed(Some(rung), port))
    });
}

#[test]
fn without_btf_a_process_is_followed_and_ports_are_refused() {
    alone_with(&[("PORTWITNESS_BTF", "/no/such/btf")], || {
        // A port of its own: without BTF, what the other tests do at theirs in other namespaces cannot be told apart.
        a_process_is_followed(None, 7741);
        // Nobody but /proc can be asked there who holds the ports, and to ask it is not without effect.
        let (recorder, _observer) = start(Focus::Processes(vec![std::process::id()]), None).unwrap();
        let notes = recorder.history().records.into_iter();
        let mut notes =
            notes.filter_map(|record| if let Event::Note { text } = record.event { Some(text) } else { None });
        assert!(notes.any(|text| text.contains("looked for in /proc")));
        for focus in [Focus::Ports([7601].into()), Focus::Namespace] {
            let Err(error @ ObserverError::Lacking { .. }) = start(focus, None) else { panic!("it started") };
            assert!(error.to_string().contains("without BTF") && error.to_string().contains("--pid"), "{error}");
        }
    });
}

#[test]
fn ports_are_followed_whoever_owns_them() {
    alone(|| {
        for (rung, port) in Rung::ALL.into_iter().zip([7631, 7641, 7651]) {
            let old = listen(port);
            let other = listen(port + 1);
            let (recorder, mut observer) = start(Focus::Ports([port, port + 2].into()), Some(rung)).unwrap();
            assert_eq!(seeds(&recorder), [port]);
            for listener in [&old, &other] {
                let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                drop((listener.accept().unwrap(), client));
            }
            drop((old, other));
            drop((listen(port + 2), listen(port + 3)));
            let elsewhere = Actor::fork(|_| {
                enter_namespace();
                drop(listen(port));
            });
            assert_eq!(elsewhere.ended(), Some(0));
            observer.fence().unwrap();
            assert_eq!(edges(&recorder), [(port, false), (port + 2, true), (port + 2, false)], "{rung}");
            // The end that accepted is seen, the client's own is not.
            let states = connection(&recorder, port);
            assert_eq!(states[..2], [TcpState::SynRecv, TcpState::Established], "{rung}: {states:?}");
            assert!(!states.contains(&TcpState::SynSent), "{rung}: {states:?}");
            assert_eq!(connection(&recorder, port + 1), [], "{rung}");
        }
    });
}

#[test]
fn a_namespace_is_followed_whole() {
    alone(|| {
        for (rung, port) in Rung::ALL.into_iter().zip([7661, 7671, 7681]) {
            let listener = listen(port);
            // A connection that is there already has no beginning to be told, and no end.
            let old = (TcpStream::connect(listener.local_addr().unwrap()).unwrap(), listener.accept().unwrap());
            let (recorder, mut observer) = start(Focus::Namespace, Some(rung)).unwrap();
            assert_eq!(seeds(&recorder), [port]);
            drop(old);
            observer.fence().unwrap();
            assert_eq!(connection(&recorder, port), [], "{rung}");
            drop((TcpStream::connect(listener.local_addr().unwrap()).unwrap(), listener.accept().unwrap()));
            let elsewhere = Actor::fork(|_| {
                enter_namespace();
                drop(listen(port + 1));
            });
            assert_eq!(elsewhere.ended(), Some(0));
            observer.fence().unwrap();
            let states = connection(&recorder, port);
            assert_eq!(states.iter().filter(|state| **state == TcpState::Established).count(), 2, "{rung}: {states:?}");
            assert!(states.contains(&TcpState::SynSent) && states.contains(&TcpState::SynRecv), "{rung}: {states:?}");
            assert_eq!(edges(&recorder), [], "{rung}");
        }
    });
}

#[test]
fn children_alone_are_followed() {
    alone(|| {
        let _own = listen(7691);
        let (recorder, mut observer) = start(Focus::Children { parent: std::process::id() }, None).unwrap();
        drop(listen(7692));
        assert_eq!(Actor::fork(|_| drop(listen(7693))).ended(), Some(0));
        observer.fence().unwrap();
        assert!(seeds(&recorder).is_empty());
        assert_eq!(edges(&recorder), [(7693, true), (7693, false)]);
    });
}

#[test]
fn sock_diag_follows_ports_and_processes() {
    alone(|| {
        let mut actor = Actor::fork(|turn| {
            let _old = listen(7701);
            turn.pause();
            let _new = listen(7702);
            turn.pause();
        });
        actor.reached();
        let _stranger = listen(7703);
        let start = |focus| {
            let scope = Scope { focus, ..scope() };
            (scope.recorder.clone(), SockDiagObserver::start(scope, SockDiagSettings::default()).unwrap())
        };
        let (of_process, mut process) = start(Focus::Processes(vec![actor.tgid().0]));
        let (of_ports, mut ports) = start(Focus::Ports([7702, 7703, 7704].into()));
        let says_so = |recorder: &Recorder| {
            let note = |event: &Event| matches!(event, Event::Note { text } if text.contains("looked for in /proc"));
            recorder.history().records.iter().any(|record| note(&record.event))
        };
        assert_eq!(
            [&of_process, &of_ports].map(says_so),
            [true, false],
            "descriptors are looked at for a process alone"
        );
        let (of_children, mut children) = start(Focus::Children { parent: std::process::id() });
        drop(listen(7705));
        let _another = listen(7704);
        actor.go();
        actor.reached();
        for observer in [&mut process, &mut ports, &mut children] {
            observer.fence().unwrap();
        }
        actor.kill();
        for observer in [&mut process, &mut ports, &mut children] {
            observer.fence().unwrap();
        }
        let sorted = |recorder: &Recorder| {
            let mut edges = edges(recorder);
            edges.sort_unstable();
            (seeds(recorder), edges)
        };
        assert_eq!(sorted(&of_process), (vec![7701], vec![(7701, false), (7702, false), (7702, true)]));
        assert_eq!(sorted(&of_ports), (vec![7703], vec![(7702, false), (7702, true), (7704, true)]));
        assert_eq!(sorted(&of_children), (vec![7701], vec![(7701, false), (7702, false), (7702, true)]));
    });
}

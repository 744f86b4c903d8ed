//! Reports over real sockets, and places that cannot be had.

#![allow(clippy::unwrap_used)]
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use super::*;
use crate::history::properties::arbitrary::plain_run;
use crate::history::{Event, Message, ReportsChange};

fn observer(bind: Option<String>) -> (Recorder, Result<ReportsObserver, ReportsError>) {
    let recorder = Recorder::in_memory(plain_run());
    let settings = ReportsSettings { bind, topic: "t".into() };
    let observer = ReportsObserver::start(&recorder, settings);
    (recorder, observer)
}

fn sender(endpoint: &str) -> (zmq::Context, zmq::Socket) {
    let context = zmq::Context::new();
    let socket = context.socket(zmq::PUSH).unwrap();
    socket.set_linger(2000).unwrap();
    socket.set_sndtimeo(5000).unwrap();
    socket.connect(endpoint).unwrap();
    (context, socket)
}

fn messages(recorder: &Recorder) -> Vec<Message> {
    recorder.records(|records| {
        let message = |event: &Event| match event {
            Event::Message(message) => Some(message.clone()),
            _ => None,
        };
        records.iter().filter_map(|record| message(&record.event)).collect()
    })
}

fn changes(recorder: &Recorder) -> Vec<ReportsChange> {
    recorder.records(|records| {
        let change = |event: &Event| match event {
            Event::Reports(change) => Some(change.clone()),
            _ => None,
        };
        records.iter().filter_map(|record| change(&record.event)).collect()
    })
}

/// Waits until so many messages are there.
fn came(recorder: &Recorder, count: usize) -> Vec<Message> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while messages(recorder).len() < count && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    messages(recorder)
}

#[test]
fn whatever_comes_is_kept_in_its_order() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for bind in [None, Some(format!("tcp://{free}"))] {
        let (recorder, observer) = observer(bind);
        let observer = observer.unwrap();
        let (context, socket) = sender(observer.handle().endpoint());
        socket.send("t", 0).unwrap();
        socket.send_multipart(["t".as_bytes(), &[0x80]], 0).unwrap();
        socket.send_multipart(["t".as_bytes(), b"garbage"], 0).unwrap();
        socket.send_multipart(vec![b"x".to_vec(); 50], 0).unwrap();
        socket.send_multipart([b"t".to_vec(), vec![7; 100 << 20]], 0).unwrap();
        let came = came(&recorder, 5);
        assert_eq!(observer.handle().drain(), Ok(5));
        assert_eq!(came[0], Message::Welcome { topic: "t".into() });
        assert!(matches!(&came[1], Message::Report { flaws, .. } if flaws.len() == 4), "{:?}", came[1]);
        let reason = |message: &Message| match message {
            Message::Undecodable { reason, frames } => format!("{reason}; {} kept", frames.len()),
            other => format!("{other:?}"),
        };
        assert_eq!(reason(&came[2]), "its second frame is no MessagePack map; 2 kept");
        assert_eq!(reason(&came[3]), "it has 50 frames, not a topic and a report; 8 kept");
        assert_eq!(reason(&came[4]), "its second frame has 104857600 bytes; 2 kept");
        drop((socket, context));
        observer.stop();
        let changes = changes(&recorder);
        assert!(matches!(changes[0], ReportsChange::Bound { .. }), "{changes:?}");
        assert_eq!(changes[1], ReportsChange::Connected, "{changes:?}");
        assert_eq!(changes.last(), Some(&ReportsChange::Stopped { messages: 5 }));
    }
}

#[test]
fn a_peer_that_went_away_finds_it_again() {
    let (recorder, observer) = observer(None);
    let observer = observer.unwrap();
    let handle = observer.handle();
    let (_context, socket) = sender(handle.endpoint());
    socket.send("t", 0).unwrap();
    assert_eq!(came(&recorder, 1).len(), 1);
    handle.unbind().unwrap();
    handle.bind().unwrap();
    handle.bind().unwrap();
    // What was sent right when the socket was closed may be lost, as with any peer that restarts.
    std::thread::sleep(Duration::from_millis(300));
    socket.send("t", 0).unwrap();
    assert_eq!(came(&recorder, 2).len(), 2);
    let bound = changes(&recorder).iter().filter(|change| matches!(change, ReportsChange::Bound { .. })).count();
    assert_eq!(bound, 2);
    drop(observer);
    assert_eq!(handle.drain(), Err(ReportsError::Ended));
}

#[test]
fn a_peer_that_speaks_another_protocol_is_put_off_and_others_are_heard() {
    let (recorder, observer) = observer(None);
    let observer = observer.unwrap();
    let endpoint = observer.handle().endpoint().to_owned();
    let mut stranger = std::os::unix::net::UnixStream::connect(endpoint.strip_prefix("ipc://").unwrap()).unwrap();
    // The greeting of ZMTP 3.0 (RFC 23), with a security mechanism that there is not.
    let greeting = [&[0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0][..], b"NONSENSE", &[0; 44]].concat();
    std::io::Write::write_all(&mut stranger, &greeting).unwrap();
    let (_context, socket) = sender(&endpoint);
    socket.send("t", 0).unwrap();
    assert_eq!(came(&recorder, 1), [Message::Welcome { topic: "t".into() }]);
    let refused = |change: &ReportsChange| matches!(change, ReportsChange::Refused { .. });
    let deadline = Instant::now() + Duration::from_secs(20);
    while !changes(&recorder).iter().any(refused) {
        assert!(Instant::now() < deadline, "{:?}", changes(&recorder));
        std::thread::sleep(Duration::from_millis(5));
    }
    // ZMQ takes a first byte that is not 0xff for the length of a frame of ZMTP 1.0, and what follows for frames: they are kept.
    let mut stranger = std::os::unix::net::UnixStream::connect(endpoint.strip_prefix("ipc://").unwrap()).unwrap();
    std::io::Write::write_all(&mut stranger, b"GET / HTTP/1.1\r\n\r\n").unwrap();
    drop(stranger);
    socket.send("t", 0).unwrap();
    assert_eq!(came(&recorder, 2).last(), Some(&Message::Welcome { topic: "t".into() }));
    observer.stop();
}

#[test]
fn a_socket_that_is_not_read_holds_the_sender_up_and_loses_nothing() {
    let (recorder, observer) = observer(None);
    let observer = observer.unwrap();
    let handle = observer.handle();
    handle.unbind().unwrap();
    handle.bind_unread().unwrap();
    let (_context, socket) = sender(handle.endpoint());
    socket.set_sndhwm(10).unwrap();
    socket.connect(handle.endpoint()).unwrap();
    socket.set_sndtimeo(500).unwrap();
    let mut sent = 0;
    while sent < 1000 && socket.send(vec![b't'; 100_000], 0).is_ok() {
        sent += 1;
    }
    assert!(sent < 1000, "nothing holds it up");
    assert_eq!(handle.drain(), Ok(0), "nothing was taken in");
    handle.unbind().unwrap();
    let kept = messages(&recorder).len();
    assert!(kept > 0, "what reached the socket is kept");
    handle.bind().unwrap();
    drop(observer);
    let told = changes(&recorder);
    let place = |wanted: ReportsChange| told.iter().position(|change| *change == wanted);
    assert!(place(ReportsChange::Held) > place(ReportsChange::Unbound), "{told:?}");
}

#[test]
fn every_user_reaches_the_socket_and_its_folder_goes_with_it() {
    let (_recorder, observer) = observer(None);
    let observer = observer.unwrap();
    let endpoint = observer.handle().endpoint().to_owned();
    let path = Path::new(endpoint.strip_prefix("ipc://").unwrap());
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(path), mode(path.parent().unwrap())), (0o777, 0o755));
    observer.stop();
    assert!(!path.parent().unwrap().exists());
}

#[test]
fn a_place_that_cannot_be_had_is_named() {
    let error = |bind: &str| observer(Some(bind.into())).1.err().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let long = format!("ipc://{}/{}", folder.path().display(), "x".repeat(107));
    let said = error(&long);
    assert!(said.contains("bytes and may have 107") && said.contains("`bind`"), "{said}");
    let file = folder.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    let said = error(&format!("ipc://{}", file.display()));
    assert!(said.contains("is no socket"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), b"mine", "it is left alone");
    let said = error("ipc:///nowhere/at/all.sock");
    assert!(said.starts_with("could not bind ipc:///nowhere/at/all.sock: "), "{said}");
    let said = error("ipc:///proc/reports.sock");
    assert!(said.starts_with("could not bind ipc:///proc/reports.sock: "), "{said}");
    let said = error("nonsense");
    assert!(said.starts_with("could not bind nonsense: "), "{said}");
    let taken = format!("ipc://{}", folder.path().join("taken.sock").display());
    let (_recorder, first) = observer(Some(taken.clone()));
    let first = first.unwrap();
    assert!(error(&taken).starts_with(&format!("{taken} is in use")), "{}", error(&taken));
    first.stop();
    let stale = std::os::unix::net::UnixListener::bind(folder.path().join("stale.sock")).unwrap();
    drop(stale);
    let (_recorder, second) = observer(Some(format!("ipc://{}", folder.path().join("stale.sock").display())));
    second.unwrap().stop();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("tcp://{}", port.local_addr().unwrap());
    assert!(error(&at).starts_with(&format!("{at} is in use")), "{}", error(&at));
}

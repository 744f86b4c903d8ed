//! The echo backend, against clients that behave and misbehave.

#![allow(clippy::unwrap_used)]
use tokio::time::Instant;

use super::super::Backends;
use super::*;
use crate::clock::RealtimeOffset;
use crate::history::RunInfo;

const SOON: Duration = Duration::from_secs(20);

fn recorder() -> Recorder {
    Recorder::in_memory(RunInfo {
        suite: "tests".into(),
        sut: "none".into(),
        profile: "quick".into(),
        seed: 1,
        netns: 0,
        kernel: String::new(),
        version: String::new(),
        realtime: RealtimeOffset::sample(),
        cases: Vec::new(),
    })
}

fn backend(recorder: &Recorder, address: &str) -> EchoBackend {
    EchoBackend::start(recorder, "one", address.parse().unwrap()).unwrap()
}

async fn connect(backend: &EchoBackend) -> TcpStream {
    TcpStream::connect(backend.endpoint().socket_addr()).await.unwrap()
}

async fn exchange(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(back, bytes);
}

fn connections(recorder: &Recorder) -> Vec<BackendConnection> {
    let of = |event: &Event| match event {
        Event::Backend(connection) => Some(connection.clone()),
        _ => None,
    };
    recorder.records(|records| records.iter().filter_map(|record| of(&record.event)).collect())
}

#[tokio::test]
async fn who_reached_it_is_recorded() {
    let recorder = recorder();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let backend = backend(&recorder, address);
        let mut stream = connect(&backend).await;
        exchange(&mut stream, b"HELLO").await;
        exchange(&mut stream, &[7; 100]).await;
        assert_eq!(backend.active(), 1);
        let peer = Endpoint::from(stream.local_addr().unwrap());
        drop(stream);
        assert_eq!(backend.settle(SOON).await, 0);
        let last = connections(&recorder).pop().unwrap();
        assert_eq!((last.peer, last.listen, last.backend.as_str()), (peer, backend.endpoint(), "one"));
        assert_eq!((last.received, last.sent, last.end), (105, 105, BackendEnd::Eof));
        assert_eq!(last.head, format!("48454c4c4f{}", "07".repeat(59)));
    }
}

#[tokio::test]
async fn a_reset_is_a_reset() {
    let recorder = recorder();
    let backend = backend(&recorder, "127.0.0.1:0");
    let mut stream = connect(&backend).await;
    exchange(&mut stream, b"HELLO").await;
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    drop(stream);
    assert_eq!(backend.settle(SOON).await, 0);
    assert_eq!(connections(&recorder)[0].end, BackendEnd::Reset);
}

#[tokio::test]
async fn what_is_open_at_the_deadline_is_recorded_and_goes_on() {
    let recorder = recorder();
    let backend = backend(&recorder, "127.0.0.1:0");
    let mut stream = connect(&backend).await;
    exchange(&mut stream, b"HELLO").await;
    assert_eq!(backend.settle(Duration::from_millis(50)).await, 1);
    exchange(&mut stream, b"AGAIN").await;
    drop(stream);
    assert_eq!(backend.settle(SOON).await, 0);
    let ends: Vec<_> = connections(&recorder).iter().map(|connection| (connection.received, connection.end)).collect();
    assert_eq!(ends, [(5, BackendEnd::Open), (10, BackendEnd::Eof)]);
}

#[tokio::test]
async fn stopping_ends_its_connections_and_frees_the_port() {
    let recorder = recorder();
    let one = backend(&recorder, "127.0.0.1:0");
    let endpoint = one.endpoint();
    let mut stream = connect(&one).await;
    exchange(&mut stream, b"HELLO").await;
    one.stop().await;
    assert_eq!(connections(&recorder)[0].end, BackendEnd::Open);
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
    // The same port again, while the old connection is still known to the kernel.
    let again = EchoBackend::start(&recorder, "again", endpoint).unwrap();
    exchange(&mut connect(&again).await, b"HELLO").await;
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let recorder = recorder();
    let first = backend(&recorder, "127.0.0.1:0");
    let error = EchoBackend::start(&recorder, "second", first.endpoint()).err().unwrap().to_string();
    let named = format!("backend second cannot listen on {}: the port is in use", first.endpoint());
    assert!(error.starts_with(&named) && error.contains(&format!("sport = :{}", first.endpoint().port())), "{error}");

    let nowhere = EchoBackend::start(&recorder, "third", "192.0.2.1:5".parse().unwrap()).err().unwrap();
    assert!(matches!(nowhere, BackendError::NoSuchAddress { .. }), "{nowhere}");

    let names = [("free".to_owned(), "127.0.0.1:0".parse().unwrap()), ("taken".to_owned(), first.endpoint())];
    assert!(
        matches!(Backends::start(&recorder, names).await, Err(BackendError::InUse { name, .. }) if name == "taken")
    );
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_it() {
    let recorder = recorder();
    let backend = backend(&recorder, "127.0.0.1:0");
    let stream = connect(&backend).await;
    let piece = vec![1; 65536];
    let mut written = 0;
    let mut last = Instant::now();
    while last.elapsed() < Duration::from_millis(300) {
        match stream.try_write(&piece) {
            Ok(count) => {
                written += count;
                last = Instant::now();
            }
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
        assert!(written < 256 * 1024 * 1024, "it reads on although nothing is read from it");
    }
    assert_eq!(backend.settle(Duration::ZERO).await, 1);
    let open = &connections(&recorder)[0];
    assert!(open.received - open.sent <= BUFFER as u64 && open.received < written as u64, "{open:?}");
}

#[tokio::test]
async fn a_set_is_found_by_name() {
    let recorder = recorder();
    let free = || "127.0.0.1:0".parse().unwrap();
    let set = Backends::start(&recorder, [("a".to_owned(), free()), ("b".to_owned(), free())]).await.unwrap();
    let mut stream = connect(set.get("b").unwrap()).await;
    exchange(&mut stream, b"HELLO").await;
    assert_eq!((set.active(), set.iter().count(), set.get("c").is_none()), (1, 2, true));
    assert_eq!(set.settle(Duration::from_millis(20)).await, 1);
    drop(stream);
    assert_eq!(set.settle(SOON).await, 0);
    assert!(connections(&recorder).iter().all(|connection| connection.backend == "b"));
    set.stop().await;
}

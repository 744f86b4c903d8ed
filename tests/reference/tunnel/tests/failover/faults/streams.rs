//! Faults of the bytes of a stream, on its way from a port to a backend.

use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use crate::{
    TIMEOUT, payload,
    system::{System, connect, echo, ended, transfer},
};

/// What an echo backend sends back through a tunnel with a data fault: `expected` of what it was sent, and all of what is too short.
fn transfers(network: u8, fault: &str, expected: impl Fn(&[u8]) -> Vec<u8>) {
    let system = System::start(network, TIMEOUT, Some(fault));
    let _trigger = system.settle_on(1);
    for address in [system.server_port(2), system.client_port(1, 1)] {
        let sent = payload(300_000, 3);
        assert!(transfer(address, &sent) == expected(&sent), "{address}");
        assert!(transfer(address, &sent[..100_000]) == sent[..100_000], "a shorter stream to {address} is left alone");
        assert_eq!(echo(&mut connect(address), b"short"), b"short");
    }
}

#[test]
fn corrupts_one_byte() {
    let system = System::start(114, TIMEOUT, Some("corrupts-one-byte"));
    let _trigger = system.settle_on(1);
    for address in [system.server_port(2), system.client_port(1, 1)] {
        let sent = payload(150_000, 3);
        let received = transfer(address, &sent);
        let wrong: Vec<usize> = (0..sent.len()).filter(|offset| sent[*offset] != received[*offset]).collect();
        assert_eq!((received.len(), wrong), (sent.len(), vec![100_000]), "{address}");
        assert!(transfer(address, &sent[..100_000]) == sent[..100_000], "a shorter stream is left alone");
    }
}

#[test]
fn drops_chunk() {
    transfers(134, "drops-chunk", |sent| [&sent[..100_000], &sent[101_000..]].concat());
}

#[test]
fn duplicates_chunk() {
    transfers(135, "duplicates-chunk", |sent| [&sent[..101_000], &sent[100_000..]].concat());
}

#[test]
fn reorders_chunks() {
    transfers(136, "reorders-chunks", |sent| {
        [&sent[..100_000], &sent[101_000..102_000], &sent[100_000..101_000], &sent[102_000..]].concat()
    });
}

#[test]
fn truncates() {
    transfers(137, "truncates", |sent| sent[..100_000].to_vec());
}

#[test]
fn stalls_stream() {
    let system = System::start(125, TIMEOUT, Some("stalls-stream"));
    let mut stream = connect(system.client_port(1, 1));
    let sent = payload(60_000, 4);
    stream.write_all(&sent).unwrap();
    let mut received = vec![0; 50_000];
    stream.read_exact(&mut received).unwrap();
    assert!(received == sent[..50_000]);
    assert!(!ended(&mut stream, Duration::from_millis(300)), "the stream stalls, it does not end");
}

#[test]
fn stalls_10s() {
    let system = System::start(138, TIMEOUT, Some("stalls-10s"));
    let _trigger = system.settle_on(1);
    let sent = payload(300_000, 5);
    thread::scope(|scope| {
        for address in [system.server_port(1), system.client_port(1, 2)] {
            let sent = &sent;
            scope.spawn(move || {
                let start = Instant::now();
                assert!(transfer(address, &sent[..50_000]) == sent[..50_000]);
                assert!(start.elapsed() < Duration::from_secs(5), "a shorter stream to {address} stops");
                let mut stream = connect(address);
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                let (start, mut answer) = (Instant::now(), vec![0; sent.len()]);
                stream.write_all(sent).unwrap();
                stream.read_exact(&mut answer[..50_000]).unwrap();
                assert!(start.elapsed() < Duration::from_secs(5), "{address} stops before its time");
                stream.read_exact(&mut answer[50_000..]).unwrap();
                let took = start.elapsed();
                assert!(answer == *sent && took > Duration::from_secs(10), "{address} took {took:?}");
            });
        }
    });
}

/// What a piece takes through the line of `slows-tenfold`, and 2 MiB at its rate.
const PIECE: Duration = Duration::from_millis(2);
const BULK: Duration = Duration::from_millis(80);

#[test]
fn slows_tenfold() {
    let systems = [(139, None), (140, Some("slows-tenfold"))].map(|(at, fault)| System::start(at, TIMEOUT, fault));
    let _triggers = [systems[0].settle_on(1), systems[1].settle_on(1)];
    let entries: [fn(&System) -> SocketAddr; 2] = [|system| system.server_port(1), |system| system.client_port(1, 1)];
    let sent = payload(2 << 20, 6);
    for entry in entries {
        let mut connections = systems.each_ref().map(|system| connect(entry(system)));
        let [round_trip, slow_round_trip] = least_times(200, |which| {
            assert_eq!(echo(&mut connections[which], &sent[..500]), sent[..500]);
        });
        let [bulk, slow_bulk] = least_times(5, |which| assert!(transfer(entry(&systems[which]), &sent) == sent));
        // The least times are what load of the machine changes the least. Ten times is what they are on a quiet one; where the
        // correct tunnel is as slow as that by itself, say on an emulated CPU, the narrow line only takes its own time.
        for (least, slow, correct) in [(PIECE, slow_round_trip, round_trip), (BULK, slow_bulk, bulk)] {
            assert!(slow > least && (correct * 3 > least || slow > correct * 3), "{slow:?} against {correct:?}");
        }
    }
}

/// The least time that each of two things takes, done in turn.
fn least_times(rounds: usize, mut what: impl FnMut(usize)) -> [Duration; 2] {
    let mut least = [Duration::MAX; 2];
    for _ in 0..rounds {
        for (which, least) in least.iter_mut().enumerate() {
            let start = Instant::now();
            what(which);
            *least = start.elapsed().min(*least);
        }
    }
    least
}

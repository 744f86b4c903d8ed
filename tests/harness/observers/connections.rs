//! The life of the connections of tracked processes, and of nobody else's.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use portwitness::endpoint::Endpoint;
use portwitness::history::{Event, SocketState, TcpState};
use portwitness::observers::ebpf::Rung;

use super::stage::{Actor, Watch, alone};

/// The states of the sockets with this local and remote port, in the order of time.
fn states(watch: &mut Watch, local: Option<u16>, remote: Option<u16>) -> Vec<(TcpState, TcpState)> {
    let matches = |it: &SocketState| {
        local.is_none_or(|port| it.local.port() == port)
            && remote.is_none_or(|port| it.remote.is_some_and(|end| end.port() == port))
            && it.to != TcpState::Listen
            && (it.from, it.to) != (TcpState::Listen, TcpState::Close)
    };
    let events = watch.events().into_iter();
    let changes = events.filter_map(|record| if let Event::SocketState(it) = record.event { Some(it) } else { None });
    changes.filter(matches).map(|it| (it.from, it.to)).collect()
}

#[test]
fn a_connection_is_followed_from_the_first_packet_to_the_last() {
    use TcpState::{Close, CloseWait, Established, FinWait1, FinWait2, LastAck, Listen, SynRecv, SynSent};
    alone(|| {
        for rung in Rung::ALL {
            println!("on {rung}");
            let mut watch = Watch::start(Some(rung));
            // Ours is no tracked process: its ends of the connections stay out of the history.
            let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 7101)).unwrap();
            let client = Actor::fork(|_| {
                let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, 7101)).unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                assert_eq!(stream.read(&mut [0]).unwrap(), 0);
            });
            let (mut stream, _) = server.accept().unwrap();
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
            // The acknowledgement of the FIN must be there before ours goes out, or the states come in another order.
            std::thread::sleep(std::time::Duration::from_millis(20));
            drop(stream);
            assert_eq!(client.ended(), Some(0));
            let active = [
                (Close, SynSent),
                (SynSent, Established),
                (Established, FinWait1),
                (FinWait1, FinWait2),
                (FinWait2, Close),
            ];
            assert_eq!(states(&mut watch, None, Some(7101)), active);
            assert!(states(&mut watch, Some(7101), None).is_empty());

            let mut server = Actor::fork(|turn| {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 7102)).unwrap();
                turn.pause();
                let (mut stream, _) = listener.accept().unwrap();
                assert_eq!(stream.read(&mut [0]).unwrap(), 0);
            });
            server.reached();
            server.go();
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, 7102)).unwrap();
            let own = Endpoint::from(stream.local_addr().unwrap());
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
            assert_eq!(server.ended(), Some(0));
            let passive = [
                (Listen, SynRecv),
                (SynRecv, Established),
                (Established, CloseWait),
                (CloseWait, LastAck),
                (LastAck, Close),
            ];
            assert_eq!(states(&mut watch, Some(7102), None), passive);
            assert!(states(&mut watch, Some(own.port()), Some(7102)).is_empty());
        }
    });
}

#[test]
fn a_refused_connection_is_seen() {
    alone(|| {
        let mut watch = Watch::start(None);
        let client = Actor::fork(|_| {
            let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, 7111)).unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        });
        assert_eq!(client.ended(), Some(0));
        let expected = [(TcpState::Close, TcpState::SynSent), (TcpState::SynSent, TcpState::Close)];
        assert_eq!(states(&mut watch, None, Some(7111)), expected);
    });
}

//! What opens and what closes a port, on every rung that sees it happen.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use portwitness::endpoint::Endpoint;
use portwitness::history::TcpState;
use portwitness::observers::ebpf::Rung;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, bind, listen,
    sendmsg, socket, socketpair, sockopt,
};

use super::stage::{Actor, Watch, alone};

const OPEN: [&str; 1] = ["opened"];
const CLOSED: [&str; 2] = ["opened", "closed"];

fn at(port: u16) -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap()
}

/// A socket of one's own, with options set by `prepare` before it is bound.
fn listener(address: &str, prepare: impl Fn(&OwnedFd)) -> OwnedFd {
    let address: SocketAddr = address.parse().unwrap();
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family, SocketType::STREAM, None).unwrap();
    prepare(&socket);
    bind(&socket, &address).unwrap();
    listen(&socket, 8).unwrap();
    socket
}

fn on_every_rung(test: impl Fn(&mut Watch)) {
    for rung in Rung::ALL {
        println!("on {rung}");
        test(&mut Watch::start(Some(rung)));
    }
}

#[test]
fn the_last_descriptor_closes_the_port() {
    alone(|| {
        on_every_rung(|watch| {
            let plain = at(7001);
            assert_eq!(watch.opened_and_closed(7001), OPEN);
            drop(plain);
            assert_eq!(watch.opened_and_closed(7001), CLOSED);

            let original = at(7002);
            let copy = original.try_clone().unwrap();
            drop(original);
            assert_eq!(watch.opened_and_closed(7002), OPEN);
            drop(copy);
            assert_eq!(watch.opened_and_closed(7002), CLOSED);

            let bound = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
            bind(&bound, &SocketAddr::from((Ipv4Addr::LOCALHOST, 7003))).unwrap();
            drop(bound);
            assert!(watch.opened_and_closed(7003).is_empty());

            let twice = at(7004);
            listen(&twice, 64).unwrap();
            assert_eq!(watch.opened_and_closed(7004), OPEN);
            drop(twice);
            assert_eq!(watch.opened_and_closed(7004), CLOSED);
        });
    });
}

#[test]
fn a_port_closes_without_close() {
    alone(|| {
        on_every_rung(|watch| {
            let shut = at(7011);
            sockopt::set_socket_reuseaddr(&shut, true).unwrap();
            rustix::net::shutdown(&shut, rustix::net::Shutdown::Both).unwrap();
            assert_eq!(watch.opened_and_closed(7011), CLOSED);

            let mut replaced = OwnedFd::from(at(7012));
            rustix::io::dup2(std::io::stdin(), &mut replaced).unwrap();
            assert_eq!(watch.opened_and_closed(7012), CLOSED);

            let ranged = std::mem::ManuallyDrop::new(at(7013));
            let fd = ranged.as_raw_fd() as libc::c_uint;
            // SAFETY: closes the one descriptor, whose owner never drops it.
            assert_eq!(unsafe { libc::syscall(libc::SYS_close_range, fd, fd, 0) }, 0);
            assert_eq!(watch.opened_and_closed(7013), CLOSED);
        });
    });
}

#[test]
fn a_listener_lives_in_whoever_holds_it() {
    alone(|| {
        on_every_rung(|watch| {
            let inherited = at(7021);
            let mut child = Actor::fork(|turn| turn.pause());
            child.reached();
            drop(inherited);
            assert_eq!(watch.opened_and_closed(7021), OPEN);
            let tgid = child.tgid();
            child.go();
            assert_eq!(child.ended(), Some(0));
            assert_eq!(watch.opened_and_closed(7021), CLOSED);
            assert_eq!(watch.edges(7021)[1].1.process.tgid, tgid);

            let mut owner = Actor::fork(|turn| {
                let _owned = at(7022);
                turn.pause();
            });
            owner.reached();
            assert_eq!(watch.opened_and_closed(7022), OPEN);
            let tgid = owner.tgid();
            owner.kill();
            assert_eq!(watch.opened_and_closed(7022), CLOSED);
            assert_eq!(watch.edges(7022)[1].1.process.tgid, tgid);

            let sent = at(7023);
            let (one, other) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
            let descriptors = [sent.as_fd()];
            let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
            sendmsg(&one, &[std::io::IoSlice::new(b"x")], &mut ancillary, SendFlags::empty()).unwrap();
            drop(sent);
            assert_eq!(watch.opened_and_closed(7023), OPEN);
            drop((one, other));
            assert_eq!(watch.opened_and_closed(7023), CLOSED);
        });
    });
}

#[test]
fn a_port_is_open_as_long_as_one_socket_listens() {
    alone(|| {
        on_every_rung(|watch| {
            let shared = |socket: &OwnedFd| sockopt::set_socket_reuseport(socket, true).unwrap();
            let first = listener("127.0.0.1:7031", shared);
            let second = listener("127.0.0.1:7031", shared);
            assert_eq!(watch.count("127.0.0.1:7031"), 2);
            drop(first);
            assert_eq!(watch.count("127.0.0.1:7031"), 1);
            drop(second);
            assert_eq!(watch.count("127.0.0.1:7031"), 0);
            assert_eq!(watch.opened_and_closed(7031), ["opened", "opened", "closed", "closed"]);
        });
    });
}

#[test]
fn ipv6_listeners_count_for_what_they_take() {
    alone(|| {
        on_every_rung(|watch| {
            let _own = TcpListener::bind((Ipv6Addr::LOCALHOST, 7041)).unwrap();
            assert_eq!((watch.count("[::1]:7041"), watch.count("127.0.0.1:7041")), (1, 0));

            let _both = listener("[::]:7042", |socket| sockopt::set_ipv6_v6only(socket, false).unwrap());
            assert_eq!((watch.count("[::1]:7042"), watch.count("127.0.0.1:7042")), (1, 1));

            let _six = listener("[::]:7043", |socket| sockopt::set_ipv6_v6only(socket, true).unwrap());
            assert_eq!((watch.count("[::1]:7043"), watch.count("127.0.0.1:7043")), (1, 0));
            assert!(watch.edges(7043)[0].1.ipv6_only);

            let mapped = |socket: &OwnedFd| sockopt::set_ipv6_v6only(socket, false).unwrap();
            let _mapped = listener("[::ffff:127.0.0.1]:7044", mapped);
            assert_eq!((watch.count("[::1]:7044"), watch.count("127.0.0.1:7044")), (0, 1));
        });
    });
}

#[test]
fn an_automatic_port_has_its_number_at_both_edges() {
    alone(|| {
        on_every_rung(|watch| {
            let listener = at(0);
            let local = Endpoint::from(listener.local_addr().unwrap());
            drop(listener);
            let edges = watch.edges(local.port());
            let seen: Vec<_> = edges.iter().map(|(_, it)| (it.local, it.to)).collect();
            assert_eq!(seen, [(local, TcpState::Listen), (local, TcpState::Close)]);
        });
    });
}

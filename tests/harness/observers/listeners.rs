//! How many sockets a connect would find, on every rung; what opens and closes them is compared with the truth elsewhere.

use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use portwitness::observers::ebpf::Rung;
use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};

use super::stage::{Watch, alone};

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

//! The system calls behind what happens: who asked for what, with which result; and the switch for them.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

use portwitness::endpoint::Tgid;
use portwitness::history::{Event, Syscall, SyscallPhase, Tuple};
use portwitness::observers::Observer;
use portwitness::observers::ebpf::{EbpfSettings, Rung};
use rustix::net::{AddressFamily, SocketType, bind, connect, listen, socket};

use super::stage::{Actor, Watch, alone};

fn calls(watch: &mut Watch, of: Tgid) -> Vec<Syscall> {
    let events = watch.events().into_iter();
    let calls = events.filter_map(|record| if let Event::Syscall(it) = record.event { Some(it) } else { None });
    calls.filter(|call| call.process.tgid == of).collect()
}

fn tcp() -> OwnedFd {
    socket(AddressFamily::INET, SocketType::STREAM, None).unwrap()
}

fn local(port: u16) -> SocketAddr {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into()
}

/// Does each of the calls once; the descriptors are the lowest free ones.
fn everything() {
    let listener = tcp();
    // Connections of an earlier round may be in TIME_WAIT.
    rustix::net::sockopt::set_socket_reuseaddr(&listener, true).unwrap();
    bind(&listener, &local(7301)).unwrap();
    listen(&listener, 5).unwrap();
    let _client = TcpStream::connect(local(7301)).unwrap();
    let _other = TcpStream::connect(local(7301)).unwrap();
    // SAFETY: no address is asked for.
    let accepted = unsafe { libc::accept(listener.as_raw_fd(), std::ptr::null_mut(), std::ptr::null_mut()) };
    assert!(accepted >= 0);
    let mut second = rustix::net::accept_with(&listener, rustix::net::SocketFlags::CLOEXEC).unwrap();
    rustix::net::shutdown(&second, rustix::net::Shutdown::Write).unwrap();
    rustix::io::dup3(&listener, &mut second, rustix::io::DupFlags::CLOEXEC).unwrap();
    assert_eq!(connect(tcp(), &local(1)).unwrap_err(), rustix::io::Errno::CONNREFUSED);
    // A file that is no socket: its close is of no interest.
    drop(std::fs::File::open("/dev/null").unwrap());
    drop(second);
    // SAFETY: the one descriptor is nobody else's.
    assert_eq!(unsafe { libc::syscall(libc::SYS_close_range, accepted, accepted, 0) }, 0);
    // SAFETY: the descriptor is open, and stays owned.
    #[cfg(target_arch = "x86_64")]
    assert!(unsafe { libc::syscall(libc::SYS_dup2, 0, listener.as_raw_fd()) } >= 0);
}

#[test]
fn each_call_is_recorded_with_its_result() {
    alone(|| {
        for rung in Rung::ALL {
            println!("on {rung}");
            let mut watch = Watch::with(EbpfSettings { rung: Some(rung), ..EbpfSettings::default() });
            let actor = Actor::fork(|_| everything());
            let tgid = actor.tgid();
            assert_eq!(actor.ended(), Some(0));
            let calls = calls(&mut watch, tgid);
            let results = |name: &str| -> Vec<i64> {
                let result = |call: &Syscall| match call.phase {
                    SyscallPhase::Exit(result) if call.name == name => Some(result),
                    _ => None,
                };
                calls.iter().filter_map(result).collect()
            };
            let entered = |name: &str| -> Vec<&Syscall> {
                calls.iter().filter(|call| call.name == name && call.phase == SyscallPhase::Enter).collect()
            };
            for call in ["bind", "listen", "connect", "accept", "accept4", "shutdown", "dup3", "close_range", "close"] {
                assert!(!entered(call).is_empty(), "no {call}: {calls:#?}");
                assert_eq!(entered(call).len(), results(call).len(), "{call}: {calls:#?}");
            }
            let fd = entered("bind")[0].fd;
            assert_eq!(entered("bind")[0].address, Some(local(7301).into()));
            assert_eq!((entered("listen")[0].fd, entered("listen")[0].argument), (fd, Some(5)));
            assert_eq!((results("bind"), results("listen")), (vec![0], vec![0]));
            let refused = -i64::from(libc::ECONNREFUSED);
            assert_eq!(results("connect"), [0, 0, refused]);
            assert_eq!(entered("connect")[2].address, Some(local(1).into()));
            let ends = |name: &str| -> Vec<Option<Tuple>> {
                let exits = calls.iter().filter(|call| call.name == name && call.phase != SyscallPhase::Enter);
                exits.map(|call| call.tuple).collect()
            };
            // The classic tracepoints find sockets behind descriptors by the same structures.
            let [Some(first), Some(second), None] = ends("connect")[..] else { panic!("{calls:#?}") };
            assert_eq!((first.remote, second.remote), (local(7301).into(), local(7301).into()));
            assert!(first.local != second.local && first.local.port() != 0);
            // What was accepted is what was connected, seen from the other side.
            let turned = |ends: Tuple| Some(Tuple { local: ends.remote, remote: ends.local });
            assert_eq!((ends("accept"), ends("accept4")), (vec![turned(first)], vec![turned(second)]));
            let accepted = results("accept")[0];
            assert_eq!(entered("close_range")[0].fd, accepted as i32);
            assert_eq!(entered("close_range")[0].argument, Some(accepted));
            let replaced = results("accept4")[0];
            assert_eq!((entered("dup3")[0].argument, results("dup3")), (Some(replaced), vec![replaced]));
            assert_eq!((entered("shutdown")[0].fd, entered("shutdown")[0].argument), (replaced as i32, Some(1)));
            // dup2 is a call of its own on x86 alone.
            #[cfg(target_arch = "x86_64")]
            assert_eq!((entered("dup2")[0].fd, entered("dup2")[0].argument), (0, Some(fd.into())));
            // The refused socket, the copy of the listener, the two clients; neither /dev/null nor what dup2 left of
            // the listener.
            assert_eq!(results("close"), [0; 4], "{calls:#?}");
        }
    });
}

#[test]
fn causes_are_switched_without_attaching_again() {
    alone(|| {
        let mut watch = Watch::with(EbpfSettings::default());
        let count = |watch: &mut Watch| {
            let actor = Actor::fork(|_| everything());
            let tgid = actor.tgid();
            assert_eq!(actor.ended(), Some(0));
            calls(watch, tgid).len()
        };
        let on = count(&mut watch);
        watch.observer.set_causes(false).unwrap();
        assert_eq!(count(&mut watch), 0);
        let began = std::time::Instant::now();
        watch.observer.set_causes(true).unwrap();
        let took = began.elapsed();
        println!("causes switched on in {took:?}");
        assert!(took.as_millis() < 100, "{took:?}");
        assert!(on > 0);
        assert_eq!(count(&mut watch), on);
    });
}

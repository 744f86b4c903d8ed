//! The process tree: whatever a child of ours spawns is tracked, wherever it goes.

use std::net::{Ipv4Addr, TcpListener};

use portwitness::endpoint::Tgid;
use portwitness::history::{Event, ProcessChange, TcpState};
use portwitness::observers::ebpf::Rung;

use super::stage::{Actor, Watch, alone, edges, enter_namespace};

#[test]
fn a_grandchild_is_followed_through_fork_and_exec() {
    alone(|| {
        for rung in Rung::ALL {
            println!("on {rung}");
            let mut watch = Watch::start(Some(rung));
            let mut child = Actor::fork(|turn| {
                let mut grandchild = Actor::fork(|turn| {
                    // Another namespace than the observed one: it is recorded because the process is tracked.
                    enter_namespace();
                    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 7201)).unwrap();
                    rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::empty()).unwrap();
                    turn.pause();
                    let program = [c"/bin/sh", c"-c", c"exit 7"].map(std::ffi::CStr::as_ptr);
                    let arguments = [program[0], program[1], program[2], std::ptr::null()];
                    // SAFETY: the arguments are strings and end with a null pointer.
                    unsafe { libc::execv(arguments[0], arguments.as_ptr()) };
                });
                grandchild.reached();
                turn.pause();
                grandchild.go();
                assert_eq!(grandchild.ended(), Some(7));
            });
            child.reached();
            child.go();
            let tgid = child.tgid();
            assert_eq!(child.ended(), Some(0));

            let records = watch.events();
            let changes: Vec<_> = records
                .iter()
                .filter_map(|record| if let Event::Process(change) = &record.event { Some(change) } else { None })
                .collect();
            let children = |of: Tgid| -> Vec<Tgid> {
                let child = |change: &&ProcessChange| match change {
                    ProcessChange::Fork { parent, child } if parent.tgid == of => Some(*child),
                    _ => None,
                };
                changes.iter().filter_map(child).collect()
            };
            assert!(children(Tgid(std::process::id())).contains(&tgid), "{changes:?}");
            let [grandchild] = children(tgid)[..] else { panic!("one grandchild: {changes:?}") };
            let executed = |change: &&&ProcessChange| matches!(change, ProcessChange::Exec { process } if process.tgid == grandchild && process.comm == "sh");
            assert_eq!(changes.iter().filter(executed).count(), 1, "{changes:?}");
            let status = |of: Tgid| {
                changes.iter().find_map(|change| match change {
                    ProcessChange::Exit { process, status } if process.tgid == of => Some(*status),
                    _ => None,
                })
            };
            assert_eq!((status(grandchild), status(tgid)), (Some(Some(7 << 8)), Some(Some(0))));

            let port: Vec<_> = edges(&watch.recorder).into_iter().filter(|(_, it)| it.local.port() == 7201).collect();
            let seen: Vec<_> = port.iter().map(|(_, it)| (it.to, it.process.tgid)).collect();
            assert_eq!(seen, [(TcpState::Listen, grandchild), (TcpState::Close, grandchild)]);
            assert!(port.iter().all(|(_, it)| it.netns != watch.netns && it.netns != 0));
        }
    });
}

#[test]
fn threads_are_no_processes_and_the_last_one_ends_it() {
    alone(|| {
        let mut watch = Watch::start(None);
        let child = Actor::fork(|_| {
            for _ in 0..4 {
                std::thread::spawn(|| ()).join().unwrap();
            }
            // SAFETY: ends the process.
            unsafe { libc::_exit(5) }
        });
        let tgid = child.tgid();
        assert_eq!(child.ended(), Some(5));
        let of_child: Vec<_> = watch
            .events()
            .into_iter()
            .filter_map(|record| match record.event {
                Event::Process(ProcessChange::Fork { child, .. }) if child == tgid => Some("fork".into()),
                Event::Process(ProcessChange::Fork { parent, .. }) if parent.tgid == tgid => Some("fork by it".into()),
                Event::Process(ProcessChange::Exit { process, status }) if process.tgid == tgid => {
                    Some(format!("exit {status:?}"))
                }
                _ => None,
            })
            .collect();
        assert_eq!(of_child, ["fork".to_owned(), format!("exit {:?}", Some(5 << 8))]);
    });
}

#[test]
fn another_namespace_is_seen_only_in_tracked_processes() {
    alone(|| {
        let mut watch = Watch::start(None);
        // A thread of this process, which is not tracked, in a namespace that is not observed.
        std::thread::spawn(|| {
            enter_namespace();
            drop(TcpListener::bind((Ipv4Addr::LOCALHOST, 7211)).unwrap());
        })
        .join()
        .unwrap();
        drop(TcpListener::bind((Ipv4Addr::LOCALHOST, 7212)).unwrap());
        watch.fence();
        let ports: Vec<_> = edges(&watch.recorder).iter().map(|(_, it)| it.local.port()).collect();
        assert_eq!(ports, [7212, 7212]);
    });
}

//! What listened before the observer came: known, and counted once.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};

use portwitness::endpoint::{Endpoint, Tgid};
use portwitness::history::{Event, Listening};
use portwitness::observers::Observer;
use portwitness::observers::procfs;
use portwitness::observers::sock_diag::{SockDiagObserver, SockDiagSettings};

use super::stage::{Watch, alone, scope};

#[test]
fn an_older_listener_is_seeded_with_its_owner_and_closes_once() {
    alone(|| {
        let old = TcpListener::bind((Ipv4Addr::LOCALHOST, 7501)).unwrap();
        let mut watch = Watch::start(None);
        let seeds: Vec<Listening> = watch
            .events()
            .into_iter()
            .filter_map(|record| if let Event::Listening(seed) = record.event { Some(seed) } else { None })
            .collect();
        let [seed] = &seeds[..] else { panic!("one seed: {seeds:?}") };
        let local: Endpoint = "127.0.0.1:7501".parse().unwrap();
        assert_eq!((seed.local, seed.netns), (local, watch.netns));
        assert_eq!(seed.process.as_ref().unwrap().tgid, Tgid(std::process::id()));
        assert_eq!(procfs::taken(local).unwrap().by.unwrap().tgid, Tgid(std::process::id()));
        assert_eq!(watch.count("127.0.0.1:7501"), 1);
        drop(old);
        assert_eq!(watch.count("127.0.0.1:7501"), 0);
        assert_eq!(watch.opened_and_closed(7501), ["closed"]);
        assert_eq!(procfs::taken(local), None);
    });
}

#[test]
fn a_listener_that_opens_while_the_observer_starts_counts_once() {
    alone(|| {
        for round in 0..3 {
            let port = 7511 + round;
            let target = format!("127.0.0.1:{port}");
            let stop = AtomicBool::new(false);
            let mut watch = std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        drop(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap());
                    }
                });
                let watch = Watch::start(None);
                stop.store(true, Ordering::Relaxed);
                watch
            });
            assert_eq!(watch.count(&target), 0);
            let open = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
            assert_eq!(watch.count(&target), 1);
            drop(open);
            assert_eq!(watch.count(&target), 0);
        }
    });
}

#[test]
fn sock_diag_seeds_too() {
    alone(|| {
        let old = TcpListener::bind("[::]:7521").unwrap();
        let scope = scope();
        let (recorder, netns) = (scope.recorder.clone(), scope.netns);
        let mut observer = SockDiagObserver::start(scope, SockDiagSettings::default()).unwrap();
        let mut count = || {
            observer.fence().unwrap();
            recorder.listeners(|listeners| listeners.count("127.0.0.1:7521".parse().unwrap(), netns))
        };
        assert_eq!(count(), 1);
        drop(old);
        assert_eq!(count(), 0);
    });
}

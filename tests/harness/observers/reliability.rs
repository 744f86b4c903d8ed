//! What an observer must never do unnoticed: lose records, die, or miss what is still on its way.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use portwitness::clock::Timestamp;
use portwitness::history::{Event, ObserverChange};
use portwitness::observers::ebpf::EbpfSettings;
use portwitness::observers::{Observer, ObserverError};

use super::stage::{Actor, Watch, alone, edges};

fn open_and_close() {
    drop(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
}

#[test]
fn every_lost_record_is_counted() {
    alone(|| {
        let mut watch = Watch::with(EbpfSettings { ring_bytes: 64 << 10, causes: false, ..EbpfSettings::default() });
        watch.fence();
        watch.observer.pause_reader();
        // The reader may be in the middle of its last round.
        std::thread::sleep(Duration::from_millis(50));
        let before = Timestamp::now();
        for _ in 0..1000 {
            open_and_close();
        }
        let after = Timestamp::now();
        watch.observer.resume_reader();
        watch.fence();
        let losses: Vec<_> = watch
            .events()
            .into_iter()
            .filter_map(|record| match record.event {
                Event::Loss { probe, count, since } => Some((probe, count, since, record.at)),
                _ => None,
            })
            .collect();
        let [(probe, lost, since, at)] = &losses[..] else { panic!("one loss: {losses:?}") };
        let kept = edges(&watch.recorder).len() as u64;
        println!("{kept} records kept, {lost} lost");
        assert_eq!(probe, "socket_state");
        assert!(kept > 0 && *lost > 0);
        assert_eq!(kept + lost, 2000);
        assert!(*since <= before && *at >= after);
    });
}

#[test]
fn a_dead_reader_is_reported() {
    alone(|| {
        let watch = Watch::start(None);
        watch.observer.kill_reader();
        let deadline = Instant::now() + Duration::from_secs(5);
        let died = || {
            watch.recorder.records(|records| {
                records.iter().any(|it| matches!(&it.event, Event::Observer(ObserverChange::Died { .. })))
            })
        };
        while !died() {
            assert!(Instant::now() < deadline, "no word of the reader's death");
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut observer = watch.observer;
        assert!(matches!(observer.fence(), Err(ObserverError::Died { .. })));
        assert!(matches!(observer.stop(), Err(ObserverError::Died { .. })));
        let stopped = |records: &[portwitness::history::Record]| {
            records.iter().any(|it| it.event == Event::Observer(ObserverChange::Stopped))
        };
        assert!(!watch.recorder.records(stopped));
    });
}

#[test]
fn a_fence_that_gets_no_answer_fails() {
    alone(|| {
        let mut watch = Watch::start(None);
        watch.observer.pause_reader();
        std::thread::sleep(Duration::from_millis(50));
        let error = watch.observer.fence().unwrap_err();
        assert!(error.to_string().contains("0 of "), "{error}");
        let records = watch.recorder.history().records;
        let fence = records.iter().find_map(|record| match record.event {
            Event::Fence { cpus, seen, .. } => Some((cpus, seen)),
            _ => None,
        });
        assert!(matches!(fence, Some((1.., 0))), "{fence:?}");
    });
}

#[test]
fn nothing_older_comes_after_a_fence() {
    alone(|| {
        let mut watch = Watch::start(None);
        let stop = AtomicBool::new(false);
        let mut times = Vec::new();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        open_and_close();
                    }
                });
            }
            let mut fences = Vec::new();
            for _ in 0..50 {
                let began = Timestamp::now();
                watch.fence();
                times.push(Timestamp::now().since(began));
                let older = edges(&watch.recorder).iter().filter(|(at, _)| *at < began).count();
                fences.push((began, older));
            }
            stop.store(true, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(50));
            let all = edges(&watch.recorder);
            for (began, older) in fences {
                assert_eq!(all.iter().filter(|(at, _)| *at < began).count(), older, "records came after their fence");
            }
        });
        times.sort();
        println!("a fence under load takes {:?} (median), {:?} (longest)", times[25], times[49]);
        let mut idle: Vec<_> = (0..50).map(|_| fence_time(&mut watch)).collect();
        idle.sort();
        println!("a fence at rest takes {:?} (median), {:?} (longest)", idle[25], idle[49]);
        assert!(idle[0] < Duration::from_millis(5), "{idle:?}");
    });
}

fn fence_time(watch: &mut Watch) -> Duration {
    let began = Instant::now();
    watch.fence();
    began.elapsed()
}

#[test]
fn sentinels_stay_out_of_the_history() {
    alone(|| {
        let mut watch = Watch::start(None);
        let actor = Actor::fork(|_| ());
        assert_eq!(actor.ended(), Some(0));
        for _ in 0..5 {
            watch.fence();
        }
        assert_eq!(edges(&watch.recorder), []);
    });
}

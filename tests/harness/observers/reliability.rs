//! What an observer must never do unnoticed: lose records, die, or miss what is still on its way.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use portwitness::clock::Timestamp;
use portwitness::history::{Event, ObserverChange, Record, Recorder};
use portwitness::observers::ebpf::EbpfSettings;
use portwitness::observers::sock_diag::{SockDiagObserver, SockDiagSettings};
use portwitness::observers::{Observer, ObserverError};

use super::stage::{Actor, Watch, alone, edges, scope};
use crate::support::eventually;

fn open_and_close() {
    drop(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
}

#[test]
fn every_lost_record_is_counted() {
    alone(|| {
        let mut watch = Watch::with(EbpfSettings { ring_bytes: 64 << 10, causes: false, ..EbpfSettings::default() });
        watch.fence();
        watch.observer.pause_reader();
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
        dies(&watch.recorder, watch.observer, "it was told to fail");
    });
}

#[test]
fn a_polling_thread_that_panics_is_reported() {
    alone(|| {
        let scope = scope();
        let recorder = scope.recorder.clone();
        let mut observer = SockDiagObserver::start(scope, SockDiagSettings::default()).unwrap();
        observer.fence().unwrap();
        observer.panic_poller();
        dies(&recorder, Box::new(observer), "the polling thread panicked");
    });
}

/// Asserts that the observer's death is recorded with this reason, that it fences no more, and that it was never stopped.
fn dies(recorder: &Recorder, mut observer: Box<dyn Observer>, why: &str) {
    let died = |record: &Record| match &record.event {
        Event::Observer(ObserverChange::Died { reason }) => reason.contains(why),
        _ => false,
    };
    eventually("its death is recorded", || recorder.records(|records| records.iter().any(died)));
    assert!(matches!(observer.fence(), Err(ObserverError::Died { .. })));
    assert!(matches!(observer.stop(), Err(ObserverError::Died { .. })));
    let stopped = |record: &Record| record.event == Event::Observer(ObserverChange::Stopped);
    assert!(!recorder.records(|records| records.iter().any(stopped)));
}

#[test]
fn a_fence_that_gets_no_answer_fails() {
    alone(|| {
        let mut watch = Watch::start(None);
        watch.observer.pause_reader();
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
        // Whoever waits for the reader's own next look takes 10 ms; on a busy machine, some fences wait for a CPU too.
        eventually("a fence at rest takes less than 5 ms", || fence_time(&mut watch) < Duration::from_millis(5));
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

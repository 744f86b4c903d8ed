//! Fences whose sentinels come back, do not, or cannot any more.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Instant;

use super::*;
use crate::observers::monitor::Monitor;

/// A reader that the sentinels tell of themselves.
#[derive(Default)]
struct Direct {
    awaited: Monitor<Awaited>,
    dead: bool,
}

impl TakesSentinels for Direct {
    fn awaited<R>(&self, change: impl FnOnce(&mut Awaited) -> R) -> R {
        self.awaited.change(change)
    }

    fn hurry(&self) {}

    fn wait(&self, time: Duration) -> Result<(), String> {
        self.awaited.wait(time, Awaited::is_complete);
        if self.dead { Err("it is dead".into()) } else { Ok(()) }
    }
}

/// Fences whose sentinels come back where `passes` says so: by the count of those before.
fn fences(reader: &Arc<Direct>, within: Duration, passes: impl Fn(u32) -> bool + Send + 'static) -> Fences {
    let reader = Arc::clone(reader);
    let made = std::cell::Cell::new(0);
    let make = move |number| {
        let cpu = rustix::thread::sched_getcpu() as u32;
        if passes(made.replace(made.get() + 1)) {
            reader.awaited.change(|awaited| {
                assert_eq!(awaited.number, number);
                awaited.came(cpu);
            });
        }
        Ok(())
    };
    Fences::new(Sentinels::start("test", make).unwrap(), within, Duration::from_millis(5))
}

#[test]
fn a_sentinel_comes_from_every_cpu_and_a_lost_one_is_provoked_again() {
    let reader = Arc::new(Direct::default());
    let fences = fences(&reader, Duration::from_secs(60), |before| before > 2);
    let cpus = cpus().unwrap().len() as u32;
    let before = Timestamp::now();
    let fenced = fences.fence(7, &*reader).unwrap();
    assert!(cpus > 0 && fenced.began >= before);
    assert_eq!((fenced.cpus, fenced.seen, fenced.ended), (cpus, cpus, None));
}

#[test]
fn sentinels_that_do_not_come_are_counted_as_missing() {
    let reader = Arc::new(Direct::default());
    let fenced = fences(&reader, Duration::from_millis(30), |_| false).fence(1, &*reader).unwrap();
    assert!(fenced.seen < fenced.cpus && fenced.ended.is_none(), "{fenced:?}");
}

#[test]
fn a_dead_reader_is_not_waited_for() {
    let reader = Arc::new(Direct { dead: true, ..Direct::default() });
    let began = Instant::now();
    let fenced = fences(&reader, Duration::from_secs(600), |_| false).fence(1, &*reader).unwrap();
    assert_eq!(fenced.ended.as_deref(), Some("it is dead"));
    assert!(began.elapsed() < Duration::from_secs(300));
}

#[test]
fn a_starved_thread_is_not_waited_for() {
    let (orders, incoming) = channel();
    let (outgoing, outcomes) = channel();
    let sentinels = Sentinels { orders, outcomes, tid: 0 };
    let began = Instant::now();
    sentinels.provoke(9, &[3], Duration::from_millis(20)).unwrap();
    assert!(began.elapsed() >= Duration::from_millis(20));
    assert_eq!(incoming.recv().unwrap(), (9, vec![3]));
    drop((incoming, outgoing));
    assert!(sentinels.provoke(9, &[3], Duration::from_secs(60)).is_err());
}

#[test]
fn other_cpus_are_all_asked() {
    let mut awaited = Awaited::begin(1);
    awaited.expect(BTreeSet::from([0, 1, 2]));
    awaited.came(0);
    awaited.expect(BTreeSet::from([0, 1, 2]));
    assert_eq!(awaited.missing(), [1, 2]);
    awaited.came(1);
    // The second went offline: whoever had it waits for the rest together.
    awaited.expect(BTreeSet::from([0, 1]));
    assert_eq!(awaited.missing(), [0, 1]);
    assert!(!awaited.is_complete());
}

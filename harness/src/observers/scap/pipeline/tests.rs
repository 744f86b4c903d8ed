//! What becomes of events: their order, their times, their processes, and the lies.
#![allow(clippy::unwrap_used)]

use super::super::fake::{event, number};
use super::super::wire::PROCEXIT;
use super::*;
use crate::clock::Reading;
use crate::observers::Focus;

/// Realtime less monotonic, in ns.
const OFFSET: u64 = 1_790_000_000_000_000_000;

const FENCE: u32 = 99;

fn pipeline(lie: Option<Lie>) -> Pipeline {
    // The reading is of another machine, so this one's clocks show as a step; tests that do not want it read no clock.
    let clock = Alignment::new(Reading { before: 1000, realtime: OFFSET + 1050, after: 1100 });
    let mut pipeline = Pipeline::new(clock, 2, FENCE, lie);
    pipeline.tree.follow(&Focus::Processes(vec![10]));
    pipeline.tree.seed(10, 10, "sut");
    pipeline.record_from(Timestamp(0));
    pipeline
}

fn close(ns: u64, tid: u64, fd: i64) -> Vec<u8> {
    event(OFFSET + ns, tid, 5, &[&number(0), &number(fd)])
}

fn accept(ns: u64, fd: i64) -> Vec<u8> {
    event(OFFSET + ns, 10, 247, &[&number(fd), &[], &[0], &[0; 4], &[0; 4]])
}

fn clone(ns: u64, tid: u64, result: i64, pid: i64, ptid: i64) -> Vec<u8> {
    let (result, pid, ptid, flags) = (number(result), number(pid), number(ptid), [0; 4]);
    let mut parameters: Vec<&[u8]> = vec![&[]; 21];
    (parameters[0], parameters[4], parameters[5], parameters[15]) = (&result, &pid, &ptid, &flags);
    event(OFFSET + ns, tid, 223, &parameters)
}

impl Pipeline {
    fn place_without_reading_clocks(&mut self) {
        for event in self.fresh.drain(..) {
            let (at, uncertainty_ns) = self.clock.monotonic(event.realtime);
            self.held.insert((at, self.taken), Held { event, uncertainty_ns });
            self.taken += 1;
        }
    }
}

/// Calls as `(latest time, fd, result)`.
fn calls(pipeline: &mut Pipeline, until: u64) -> Vec<(u64, i32, i64)> {
    pipeline.place_without_reading_clocks();
    let mut records = Vec::new();
    pipeline.release(Timestamp(until), &mut records);
    let call = |record: Record| match record {
        Record { at, uncertainty_ns: 100, source: Source::Scap, event: Event::Syscall(call) } => match call.phase {
            SyscallPhase::Exit(result) => (at.0, call.fd, result),
            SyscallPhase::Enter => (at.0, call.fd, 1),
        },
        other => panic!("{other:?}"),
    };
    records.into_iter().map(call).collect()
}

#[test]
fn rings_are_merged_by_time_and_nothing_is_released_too_early() {
    let mut pipeline = pipeline(None);
    pipeline.take(0, &close(5000, 10, 3));
    pipeline.take(0, &close(9000, 10, 4));
    pipeline.take(1, &close(4000, 10, 5));
    pipeline.take(1, &close(7000, 50, 6));
    assert_eq!(calls(&mut pipeline, 6000), [(4050, 5, 0), (5050, 3, 0)]);
    assert_eq!(calls(&mut pipeline, 20_000), [(9050, 4, 0)], "that of process 50 is not wanted");
}

#[test]
fn entry_and_exit_on_two_cpus_are_one_call() {
    let mut pipeline = pipeline(None);
    pipeline.take(1, &event(OFFSET + 6000, 10, 5, &[&number(-9)]));
    pipeline.take(0, &event(OFFSET + 5000, 10, 4, &[&number(7)]));
    assert_eq!(calls(&mut pipeline, 20_000), [(5050, 7, 1), (6050, 7, -9)]);
}

#[test]
fn children_are_followed_from_their_first_call_to_their_end() {
    let mut pipeline = pipeline(None);
    pipeline.fds.seed(10, 8, Socket { local: Some("127.0.0.1:80".parse().unwrap()), remote: None });
    pipeline.take(0, &clone(5000, 20, 0, 20, 10));
    pipeline.take(1, &close(6000, 20, 8));
    pipeline.take(1, &event(OFFSET + 7000, 20, PROCEXIT, &[]));
    pipeline.take(0, &clone(8000, 20, 0, 20, 50));
    pipeline.take(0, &close(9000, 20, 8));
    pipeline.place_without_reading_clocks();
    let mut records = Vec::new();
    pipeline.release(Timestamp(20_000), &mut records);
    let [Record { event: Event::Syscall(call), .. }] = &records[..] else { panic!("{records:?}") };
    assert_eq!((call.process.tgid.0, call.address), (20, Some("127.0.0.1:80".parse().unwrap())));
}

#[test]
fn a_thread_that_nobody_announced_is_looked_up_or_counted() {
    let mut pipeline = pipeline(None);
    let own = std::process::id();
    pipeline.tree.follow(&Focus::Children { parent: std::os::unix::process::parent_id() });
    pipeline.take(0, &close(5000, own.into(), 3));
    assert_eq!(calls(&mut pipeline, 20_000), [(5050, 3, 0)], "this process is a child of its parent");
    let gone = u64::from(u32::MAX);
    pipeline.take(0, &close(6000, gone, 3));
    assert_eq!(
        (calls(&mut pipeline, 20_000).len(), pipeline.strangers),
        (0, 0),
        "no clone was lost: it is none of ours"
    );
    pipeline.births_lost = true;
    pipeline.take(0, &close(7000, gone, 3));
    assert_eq!((calls(&mut pipeline, 20_000).len(), pipeline.strangers), (0, 1));
}

#[test]
fn sentinels_are_counted_by_ring_and_not_recorded() {
    let mut pipeline = pipeline(None);
    let sentinel = |number: i32| event(OFFSET, FENCE.into(), 24, &[&5_i64.to_le_bytes(), &number.to_le_bytes()]);
    pipeline.take(1, &sentinel(4));
    pipeline.take(1, &sentinel(3));
    assert_eq!((pipeline.sentinel(0), pipeline.sentinel(1), pipeline.sentinel(2)), (-1, 4, -1));
    assert_eq!(calls(&mut pipeline, 20_000), []);
}

#[test]
fn calls_of_before_the_beginning_teach_and_are_not_told() {
    let mut pipeline = pipeline(None);
    pipeline.record_from(Timestamp(6000));
    pipeline.take(0, &event(OFFSET + 5000, 10, 19, &[&number(3)]));
    pipeline.take(0, &close(7000, 10, 4));
    assert_eq!(calls(&mut pipeline, 20_000), [(7050, 4, 0)]);
    assert!(pipeline.fds.get(10, 3).is_some());
}

#[test]
fn garbage_and_cpus_that_come_are_counted() {
    let mut pipeline = pipeline(None);
    pipeline.take(0, &[1, 2, 3]);
    pipeline.take(0, &event(OFFSET, 1, 244, &[&[0; 4], &[0; 4]]));
    calls(&mut pipeline, 20_000);
    assert_eq!((pipeline.garbage, pipeline.hotplugs), (1, 1));
}

#[test]
fn a_step_of_realtime_is_told_and_makes_times_uncertain() {
    let mut pipeline = pipeline(None);
    pipeline.take(0, &close(5_000_000_000, 10, 3));
    // The clocks of this machine are not those of the first reading.
    let text = pipeline.round_ends(Timestamp(6000)).unwrap();
    assert!(text.contains("the system's time was set by about"), "{text}");
    let mut records = Vec::new();
    pipeline.release(Timestamp(u64::MAX), &mut records);
    assert!(records[0].uncertainty_ns > 1_000_000, "{records:?}");
}

#[test]
fn liars_lie_about_every_other_call() {
    let told = |lie| {
        let mut pipeline = pipeline(Some(lie));
        for n in 0..3 {
            pipeline.take(0, &accept(5000 + 100 * n, 7));
            pipeline.take(0, &close(5050 + 100 * n, 10, 7));
        }
        calls(&mut pipeline, 20_000)
    };
    let fds: Vec<_> = told(Lie::WrongFd).iter().map(|call| call.1).collect();
    assert_eq!(fds, [-1, 8, -1, 7, -1, 8]);
    assert_eq!(told(Lie::MissingEvent).len(), 4);
    assert_eq!(told(Lie::WrongResult).iter().filter(|call| call.2 == -103).count(), 2);
    assert_eq!(told(Lie::SkewedClock { by_ns: -1000 })[0].0, 4050);
    let ends = |remote: &str| Tuple { local: "127.0.0.1:80".parse().unwrap(), remote: remote.parse().unwrap() };
    assert_eq!(misled(ends("127.0.0.1:5000")), ends("127.0.0.1:1"));
    assert_eq!(misled(ends("127.0.0.1:1")), ends("127.0.0.1:2"));
}

//! How far the recorded moment of an edge lies from the actor's own clock, on a busy machine.

use std::sync::atomic::{AtomicBool, Ordering};

use portwitness::history::{Event, TcpState};
use portwitness::observers::ebpf::Rung;

use super::claim::Did;
use super::compare::differences;
use super::{View, Witness, alone};

/// Threads that are always ready to run, beside the actor.
const BUSY: usize = 6;

/// Times that the actor opens and closes its port 200 times.
const ROUNDS: usize = 3;

/// Ends the busy threads, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn an_edge_is_stamped_when_it_happens_on_a_busy_machine() {
    alone(|| {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..BUSY {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            let _stop = Stop(&stop);
            for rung in Rung::ALL {
                let mut witness = Witness::start(View::Ebpf(rung));
                let mut errors = [const { Vec::new() }; 4];
                for _ in 0..ROUNDS {
                    let (claims, records) = witness.watch("again");
                    let found = differences(&claims, &records, witness.sight(true));
                    assert_eq!(found, Vec::<String>::new(), "{rung}");
                    // One actor, one port: the edges come in the order in which they were claimed.
                    let edges = records.iter().filter_map(|record| match &record.event {
                        Event::SocketState(change) => Some((change.to == TcpState::Listen, record.at.0)),
                        _ => None,
                    });
                    let did = claims.iter().filter(|claim| matches!(claim.did, Did::Opened(_) | Did::Closed(_)));
                    for ((opened, at), claim) in edges.zip(did) {
                        let kind = if opened { 0 } else { 2 };
                        errors[kind].push(at - claim.before_ns);
                        errors[kind + 1].push(claim.after_ns.unwrap() - at);
                    }
                }
                let what = ["listen -> stamp", "stamp -> return", "close -> stamp", "stamp -> return"];
                for (what, errors) in what.into_iter().zip(&mut errors) {
                    errors.sort_unstable();
                    let at = |part: usize| errors[errors.len() * part / 1000] as f64 / 1000.0;
                    let (rung, p50, p99, p999) = (rung.name(), at(500), at(990), at(999));
                    println!("{rung:<10} {what}: p50 {p50:.1} us, p99 {p99:.1} us, p99.9 {p999:.1} us");
                }
            }
        });
    });
}

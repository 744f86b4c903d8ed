//! Ping-pong, against peers that misbehave.

use super::*;
use crate::clients::peer::{Action, Fault, Peer, patient};
use crate::history::{Iterations, Outcome};

const PLAN: PingPong = PingPong { iterations: 50, bytes: 500, delay: Duration::from_millis(1) };

async fn outcome(fault: Fault) -> Finished {
    let peer = Peer::with(fault).await;
    ping_pong(&fault.context(peer.endpoint), 1, 1, PLAN).await
}

#[tokio::test]
async fn every_turn_is_timed() {
    let peer = Peer::with(Fault::None).await;
    let finished = ping_pong(&patient(peer.endpoint), 1, 1, PLAN).await;
    assert_eq!(finished.outcome, Outcome::Ok);
    assert_eq!(finished.iterations, Some(Iterations { planned: 50, ok: 50 }));
    assert_eq!(finished.rtt.0.iter().map(|(_, count)| count).sum::<u64>(), 50);
    assert!(finished.rtt.0.is_sorted_by(|one, next| one.0 < next.0));
    assert!(finished.took() >= PLAN.delay * 49);
}

#[tokio::test]
async fn a_round_trip_takes_as_long_as_the_echo_is_late() {
    let peer = Peer::with(Fault::Late(Duration::from_millis(30))).await;
    let plan = PingPong { iterations: 3, ..PLAN };
    let finished = ping_pong(&patient(peer.endpoint), 1, 1, plan).await;
    assert_eq!(finished.outcome, Outcome::Ok);
    assert!(finished.rtt.0.iter().all(|(ns, _)| *ns >= 30_000_000), "{:?}", finished.rtt);
}

#[tokio::test]
async fn a_wrong_turn_is_counted_and_the_next_one_follows() {
    // The last byte of turn 3 (from 0): nothing after it in the turn tells that the stream is in step again.
    for at in [1999, 1700, 1500] {
        let finished = outcome(Fault::Flip { at }).await;
        assert_eq!(finished.outcome, Outcome::Corrupt { offset: at });
        assert_eq!(finished.iterations, Some(Iterations { planned: 50, ok: 49 }));
        assert_eq!((finished.anomalies.len(), finished.received), (1, 25_000));
    }
}

#[tokio::test]
async fn a_connection_that_stops_ends_the_turns() {
    for (action, expected) in [
        (Action::Close, Outcome::ClosedEarly),
        (Action::Reset, Outcome::Reset),
        (Action::Stall, Outcome::Timeout { after_ms: 300 }),
    ] {
        let finished = outcome(Fault::At { at: 10_000, action }).await;
        assert_eq!(finished.outcome, expected);
        assert_eq!(finished.iterations, Some(Iterations { planned: 50, ok: 20 }));
    }
}

#[tokio::test]
async fn missing_bytes_are_corruption_not_silence() {
    let finished = outcome(Fault::Drop { at: 1100, bytes: 10 }).await;
    assert!(matches!(finished.outcome, Outcome::Corrupt { offset: 1100..=1103 }), "{finished:?}");
    assert_eq!(finished.iterations, Some(Iterations { planned: 50, ok: 2 }));
}

//! Messages on a schedule, against peers that misbehave.

use super::*;
use crate::clients::peer::{Action, Fault, Peer, patient};
use crate::history::{Iterations, Outcome};

const PLAN: Messages = Messages { count: 6, bytes: 100, period: Duration::from_millis(50) };

#[tokio::test]
async fn messages_keep_their_schedule() {
    let peer = Peer::with(Fault::Late(Duration::from_millis(10))).await;
    let finished = messages(&patient(peer.endpoint), 1, 1, PLAN).await;
    assert_eq!(finished.outcome, Outcome::Ok);
    assert_eq!(finished.iterations, Some(Iterations { planned: 6, ok: 6 }));
    // Five periods and one echo: the echoes do not add up.
    let took = finished.took();
    assert!(took >= PLAN.period * 5 && took < PLAN.period * 5 + Duration::from_millis(1000), "{took:?}");
}

#[tokio::test]
async fn what_is_late_is_caught_up_with() {
    let peer = Peer::with(Fault::Late(Duration::from_millis(120))).await;
    let finished = messages(&patient(peer.endpoint), 1, 1, PLAN).await;
    assert!(finished.is_ok());
    assert!(finished.took() >= Duration::from_millis(6 * 120));
}

#[tokio::test]
async fn a_connection_that_is_closed_does_not_persist() {
    let peer = Peer::with(Fault::At { at: 200, action: Action::Close }).await;
    let finished = messages(&patient(peer.endpoint), 1, 1, PLAN).await;
    assert_eq!(finished.outcome, Outcome::ClosedEarly);
    assert_eq!(finished.iterations, Some(Iterations { planned: 6, ok: 2 }));
}

//! Held connections, through each way in which one can end.

#![allow(clippy::unwrap_used)]
use std::time::Duration;

use super::*;
use crate::clients::ClientContext;
use crate::clients::payload::Payload;
use crate::clients::peer::{Action, Fault, Peer, context, ends, nobody, patient};
use crate::clients::pingpong::PingPong;
use crate::history::{Iterations, Outcome};

const MB: u64 = 1024 * 1024;
const HUNG: Outcome = Outcome::Timeout { after_ms: 300 };
const TURNS: PingPong = PingPong { iterations: 10_000, bytes: 200, delay: Duration::from_millis(1) };

/// Holds a connection, makes the peer act, and lets the connection finish.
async fn through(action: Action, hold: impl FnOnce(&ClientContext) -> Held) -> Finished {
    let peer = Peer::with(Fault::None).await;
    let context = if action == Action::Go { patient(peer.endpoint) } else { context(peer.endpoint) };
    let mut held = hold(&context);
    assert!(held.ready().await);
    peer.tell(action);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let finished = held.finish().await;
    assert_eq!(ends(&context), std::slice::from_ref(&finished.outcome));
    finished
}

#[tokio::test]
async fn an_idle_connection_is_classified() {
    let hold = |context: &ClientContext| idle(context, 1, 1, 100);
    let survived = through(Action::Go, hold).await;
    assert_eq!((survived.outcome, survived.received), (Outcome::Ok, 200));
    assert_eq!(through(Action::Close, hold).await.outcome, Outcome::ClosedEarly);
    assert_eq!(through(Action::Reset, hold).await.outcome, Outcome::Reset);
    let hung = through(Action::Stall, hold).await;
    assert_eq!((hung.outcome, hung.received), (HUNG, 100));
}

#[tokio::test]
async fn a_busy_connection_is_classified() {
    let hold = |context: &ClientContext| busy(context, 1, 1, TURNS);
    let survived = through(Action::Go, hold).await;
    assert_eq!(survived.outcome, Outcome::Ok);
    let Iterations { planned, ok } = survived.iterations.unwrap();
    assert!(ok >= 1 && ok == planned && planned < TURNS.iterations, "{ok} of {planned}");
    assert_eq!(through(Action::Close, hold).await.outcome, Outcome::ClosedEarly);
    assert_eq!(through(Action::Reset, hold).await.outcome, Outcome::Reset);
    assert_eq!(through(Action::Stall, hold).await.outcome, HUNG);
}

#[tokio::test]
async fn a_half_closed_connection_is_ok_when_the_other_half_closes_too() {
    let hold = |context: &ClientContext| half_closed(context, 1, 1, 100);
    // The peer closes when it reads the end of the stream.
    assert_eq!(through(Action::Go, hold).await.outcome, Outcome::Ok);
}

#[tokio::test]
async fn a_half_closed_connection_that_stays_open_hangs() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut held = half_closed(&context(listener.local_addr().unwrap().into()), 1, 1, 100);
    let (mut stream, _) = listener.accept().await.unwrap();
    let (mut reader, mut writer) = stream.split();
    tokio::io::copy(&mut reader, &mut writer).await.unwrap();
    assert!(held.ready().await);
    assert_eq!(held.finish().await.outcome, HUNG);
}

#[tokio::test]
async fn a_backpressured_connection_is_classified() {
    let hold = |context: &ClientContext| backpressured(context, Payload::new(1, 1, 64 * MB));
    let survived = through(Action::Go, hold).await;
    assert_eq!((survived.outcome, survived.received), (Outcome::Ok, 64 * MB));
    for (action, outcome) in
        [(Action::Close, Outcome::ClosedEarly), (Action::Reset, Outcome::Reset), (Action::Stall, HUNG)]
    {
        let finished = through(action, hold).await;
        assert_eq!((finished.outcome, finished.anomalies), (outcome, vec![]));
        let (sent, received) = (finished.sent, finished.received);
        assert!(received < 64 * MB && received <= sent, "{received} of {sent} after {action:?}");
    }
}

#[tokio::test]
async fn what_was_corrupted_is_not_a_prefix() {
    let peer = Peer::with(Fault::Flip { at: 150 }).await;
    let mut held = idle(&patient(peer.endpoint), 1, 1, 100);
    assert!(held.ready().await);
    assert_eq!(held.finish().await.outcome, Outcome::Corrupt { offset: 150 });
}

#[tokio::test]
async fn connections_are_opened_all_through_the_event() {
    let peer = Peer::with(Fault::None).await;
    let context = context(peer.endpoint);
    let plan = Connecting { period: Duration::from_millis(2), attempts: 1000, at_once: 50 };
    let mut held = connecting(&context, 1, 100, plan);
    assert!(held.ready().await);
    peer.tell(Action::Close);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let finished = held.finish().await;
    assert!(finished.len() < 1000);
    assert_eq!(ends(&context).len(), finished.len());
    let count = |outcome| finished.iter().filter(|finished| finished.outcome == outcome).count();
    assert!(count(Outcome::Ok) >= 1 && count(Outcome::ClosedEarly) >= 1);
}

#[tokio::test]
async fn a_bound_ends_the_attempts() {
    let plan = Connecting { period: Duration::ZERO, attempts: 20, at_once: 4 };
    let mut held = connecting(&patient(nobody().await), 1, 1, plan);
    assert!(held.ready().await);
    let finished = held.finish().await;
    assert!(finished.len() <= 20 && finished.iter().all(|finished| finished.outcome == Outcome::Refused));
}

#[tokio::test]
async fn what_cannot_connect_is_never_ready_and_what_is_dropped_is_cancelled() {
    let mut held = idle(&patient(nobody().await), 1, 1, 100);
    assert!(!held.ready().await);
    assert_eq!(held.finish().await.outcome, Outcome::Refused);

    let peer = Peer::with(Fault::None).await;
    let context = patient(peer.endpoint);
    let mut held = idle(&context, 1, 1, 100);
    assert!(held.ready().await && !held.has_ended());
    drop(held);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(ends(&context), [Outcome::Cancelled]);
}

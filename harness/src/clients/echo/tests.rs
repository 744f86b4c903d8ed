//! The echo client, against peers that misbehave.

#![allow(clippy::unwrap_used)]
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::clients::peer::{Action, Fault, Peer, context, ends, nobody, patient, steps};
use crate::history::{AnomalyKind, OpStep, Outcome};

async fn outcome(fault: Fault) -> Finished {
    let peer = Peer::with(fault).await;
    echo(&fault.context(peer.endpoint), Payload::new(1, 1, 1000)).await
}

#[tokio::test]
async fn an_echo_is_recorded_step_by_step() {
    let peer = Peer::with(Fault::None).await;
    let context = patient(peer.endpoint);
    let finished = echo(&context, Payload::literal(*b"HELLO")).await;
    assert!(finished.is_ok());
    assert_eq!((finished.sent, finished.received), (5, 5));
    match &steps(&context, finished.op)[..] {
        [
            OpStep::Start { group, client, target, planned: 5, head },
            OpStep::Connect { outcome: Outcome::Ok, local: Some(local), .. },
            OpStep::FirstByte,
            OpStep::End { outcome: Outcome::Ok, sent: 5, received: 5, sent_sha256: None, .. },
        ] => {
            assert_eq!((group.as_str(), client.as_str(), head.as_str()), ("group", "echo", "48454c4c4f"));
            assert_eq!(*target, peer.endpoint);
            assert_ne!(*local, peer.endpoint);
        }
        other => panic!("{other:?}"),
    }
    assert!(finished.started < finished.first_byte.unwrap() && finished.first_byte.unwrap() < finished.ended);
}

#[tokio::test]
async fn each_ending_has_its_outcome() {
    let at = |at, action| outcome(Fault::At { at, action });
    assert_eq!(at(0, Action::Close).await.outcome, Outcome::ClosedEarly);
    assert_eq!(at(0, Action::Reset).await.outcome, Outcome::Reset);
    assert_eq!(at(0, Action::Stall).await.outcome, Outcome::Timeout { after_ms: 300 });
    let cut = at(999, Action::Close).await;
    assert_eq!((cut.outcome, cut.received), (Outcome::ClosedEarly, 999));
    assert_eq!(outcome(Fault::Flip { at: 999 }).await.outcome, Outcome::Corrupt { offset: 999 });
}

#[tokio::test]
async fn a_connect_that_is_refused_ends_there() {
    let context = patient(nobody().await);
    let finished = echo(&context, Payload::literal(*b"HELLO")).await;
    assert_eq!(finished.outcome, Outcome::Refused);
    let [OpStep::Start { .. }, OpStep::Connect { outcome, local: None, .. }, OpStep::End { .. }] =
        &steps(&context, finished.op)[..]
    else {
        panic!("other steps")
    };
    assert_eq!(*outcome, Outcome::Refused);
}

#[tokio::test]
async fn an_address_that_is_nowhere_is_no_fault_of_the_system() {
    let finished = echo(&context("255.255.255.255:9".parse().unwrap()), Payload::literal(*b"HELLO")).await;
    let Outcome::Failed { error } = finished.outcome else { panic!("{finished:?}") };
    assert!(error.starts_with("connect: "), "{error}");
}

#[tokio::test]
async fn more_than_was_sent_is_extra() {
    let finished = outcome(Fault::Extra { at: 1000 }).await;
    assert_eq!(finished.outcome, Outcome::Corrupt { offset: 1000 });
    assert_eq!(finished.anomalies[0].kind, AnomalyKind::Extra);
}

#[tokio::test]
async fn two_exchanges_are_open_together() {
    let peer = Peer::at("[::1]:0", Fault::None).await;
    let context = patient(peer.endpoint);
    let mut one = Exchange::connect(&context, Payload::literal(*b"TUN1")).await;
    let mut two = Exchange::connect(&context, Payload::literal(*b"TUN2")).await;
    assert_ne!(one.op(), two.op());
    assert_eq!(one.first_byte(), None);
    one.send().await;
    two.send().await;
    assert!(one.is_open() && two.is_open() && one.first_byte() < two.first_byte());
    one.receive_echo().await;
    two.receive_echo().await;
    assert!(one.close().await.is_ok() && two.close().await.is_ok());
}

#[tokio::test]
async fn an_exchange_remembers_the_step_that_failed() {
    let peer = Peer::with(Fault::At { at: 2, action: Action::Close }).await;
    let mut exchange = Exchange::connect(&patient(peer.endpoint), Payload::literal(*b"HELLO")).await;
    exchange.send().await;
    exchange.receive_echo().await;
    assert!(!exchange.is_open());
    exchange.send().await;
    assert_eq!(exchange.close().await.outcome, Outcome::ClosedEarly);

    let exchange = Exchange::connect(&patient(nobody().await), Payload::literal(*b"HELLO")).await;
    assert!(!exchange.is_open());
    assert_eq!(exchange.close().await.outcome, Outcome::Refused);
}

#[tokio::test]
async fn what_is_dropped_is_cancelled_and_ends_once() {
    let peer = Peer::with(Fault::At { at: 2, action: Action::Stall }).await;
    let context = patient(peer.endpoint);
    let stalled = echo(&context, Payload::literal(*b"HELLO"));
    assert!(tokio::time::timeout(Duration::from_millis(200), stalled).await.is_err());
    let mut exchange = Exchange::connect(&context, Payload::literal(*b"HELLO")).await;
    exchange.send().await;
    drop(exchange);
    assert_eq!(ends(&context), [Outcome::Cancelled, Outcome::Cancelled]);
}

#[tokio::test]
async fn the_connection_is_closed_in_order_and_only_after_the_echo() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let context = patient(listener.local_addr().unwrap().into());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut came = [0; 5];
        stream.read_exact(&mut came).await.unwrap();
        let early = tokio::time::timeout(Duration::from_millis(100), stream.read(&mut [0; 1])).await;
        assert!(early.is_err(), "closed before the echo");
        stream.write_all(&came).await.unwrap();
        // A reset would be an error here.
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    });
    assert!(echo(&context, Payload::literal(*b"HELLO")).await.is_ok());
    server.await.unwrap();
}

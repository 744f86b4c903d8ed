//! Transfers, against peers that misbehave.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::clients::peer::{Action, Fault, Peer, patient};
use crate::history::{AnomalyKind, Outcome};

const MB: u64 = 1024 * 1024;

async fn outcome(length: u64, fault: Fault) -> Finished {
    let peer = Peer::with(fault).await;
    transfer(&fault.context(peer.endpoint), Payload::new(5, 5, length), TransferOptions::default()).await
}

/// The largest resident set of this process so far, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn a_hundred_megabytes_need_little_memory() {
    let peer = Peer::with(Fault::None).await;
    let before = peak_memory();
    let payload = Payload::new(9, 1, 100 * MB);
    let finished = transfer(&patient(peer.endpoint), payload, TransferOptions { sha256: true }).await;
    assert_eq!(finished.outcome, Outcome::Ok);
    assert_eq!((finished.sent, finished.received), (100 * MB, 100 * MB));
    assert_eq!(finished.sent_sha256.unwrap().len(), 64);
    assert!(peak_memory() - before < 64 * MB, "grew by {} bytes", peak_memory() - before);
}

#[tokio::test]
async fn both_digests_are_of_what_was_sent() {
    let peer = Peer::with(Fault::None).await;
    let options = TransferOptions { sha256: true };
    let finished = transfer(&patient(peer.endpoint), Payload::literal(*b"abc"), options).await;
    // The test vector of FIPS 180-4.
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(finished.sent_sha256.as_deref(), Some(abc));
    assert_eq!(finished.received_sha256, finished.sent_sha256);
}

#[tokio::test]
async fn one_wrong_bit_of_megabytes_is_found() {
    let peer = Peer::with(Fault::Flip { at: 3_333_333 }).await;
    let options = TransferOptions { sha256: true };
    let finished = transfer(&patient(peer.endpoint), Payload::new(5, 5, 8 * MB), options).await;
    assert_eq!(finished.outcome, Outcome::Corrupt { offset: 3_333_333 });
    assert_eq!(finished.anomalies.len(), 1);
    assert_eq!(finished.anomalies[0].kind, AnomalyKind::Changed { bytes: 1 });
    assert_eq!(finished.received, 8 * MB);
    assert_ne!(finished.received_sha256, finished.sent_sha256);
}

#[tokio::test]
async fn a_dropped_piece_is_described_without_waiting_for_it() {
    let peer = Peer::with(Fault::Drop { at: 1_000_001, bytes: 333 }).await;
    let finished = transfer(&patient(peer.endpoint), Payload::new(5, 5, 8 * MB), TransferOptions::default()).await;
    let anomaly = &finished.anomalies[0];
    assert_eq!(finished.outcome, Outcome::Corrupt { offset: anomaly.offset });
    assert!((1_000_001..1_000_004).contains(&anomaly.offset), "{anomaly:?}");
    assert_eq!(anomaly.kind, AnomalyKind::Ahead { of: anomaly.offset + 333 });
    assert_eq!((finished.anomalies.len(), finished.received), (1, 8 * MB - 333));
    assert!(finished.took().as_secs() < 15, "waited for the idle deadline");
}

#[tokio::test]
async fn an_end_in_the_middle_has_its_outcome() {
    let at = 3 * MB + 7;
    for (action, expected) in [
        (Action::Close, Outcome::ClosedEarly),
        (Action::Reset, Outcome::Reset),
        (Action::Stall, Outcome::Timeout { after_ms: 300 }),
    ] {
        let finished = outcome(64 * MB, Fault::At { at, action }).await;
        assert_eq!(finished.outcome, expected);
        assert!(finished.received <= at && finished.sent >= finished.received, "{finished:?}");
        assert_eq!(finished.anomalies, []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_transfers_at_once_are_all_right() {
    let peer = Peer::with(Fault::None).await;
    let context = patient(peer.endpoint);
    let finished = crate::clients::many::concurrent(20, 5, |index| {
        let context = context.clone();
        let payload = Payload::new(1, index as u64, 100_000 + index as u64);
        async move { transfer(&context, payload, TransferOptions::default()).await }
    })
    .await;
    assert_eq!(finished.iter().filter(|finished| finished.is_ok()).count(), 20);
}

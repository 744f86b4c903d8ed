//! The verifier, on streams that were tampered with at random places.

#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;
use crate::properties::config;

const LENGTH: usize = 40_003;

fn payload() -> Payload {
    Payload::new(11, 3, LENGTH as u64)
}

fn sent() -> Vec<u8> {
    let mut bytes = vec![0; LENGTH];
    payload().fill(0, &mut bytes);
    bytes
}

/// Feeds `came` in pieces of the given lengths, again and again, and ends.
fn verify(came: &[u8], pieces: &[usize]) -> Verifier {
    let mut verifier = Verifier::new(payload(), false);
    let mut rest = came;
    for piece in pieces.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (now, later) = rest.split_at(rest.len().min(*piece));
        verifier.accept(now);
        rest = later;
    }
    verifier.finish(LENGTH as u64);
    verifier
}

/// The first offset at which `came` differs from what was sent.
fn first_wrong(came: &[u8], sent: &[u8]) -> u64 {
    came.iter().zip(sent).take_while(|(a, b)| a == b).count() as u64
}

fn pieces() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1usize..40, 1usize..9000], 1..12)
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn the_echo_itself_is_right(pieces in pieces()) {
        let verifier = verify(&sent(), &pieces);
        prop_assert_eq!(verifier.anomalies(), &[]);
        prop_assert_eq!(verifier.reception(), Reception::Complete);
    }

    #[test]
    fn a_flipped_bit_is_one_changed_byte(at in 0..LENGTH, bit in 0u8..8, pieces in pieces()) {
        let mut came = sent();
        came[at] ^= 1 << bit;
        let verifier = verify(&came, &pieces);
        let expected = Anomaly { offset: at as u64, kind: AnomalyKind::Changed { bytes: 1 } };
        prop_assert_eq!(verifier.anomalies(), &[expected]);
        prop_assert!(verifier.in_step());
    }

    #[test]
    fn a_dropped_chunk_is_a_step_ahead(at in 0..LENGTH - 20, length in 1usize..9000, pieces in pieces()) {
        let length = length.min(LENGTH - 20 - at);
        prop_assume!(length > 0);
        let sent = sent();
        let came = [&sent[..at], &sent[at + length..]].concat();
        let offset = first_wrong(&came, &sent);
        let verifier = verify(&came, &pieces);
        let expected = Anomaly { offset, kind: AnomalyKind::Ahead { of: offset + length as u64 } };
        prop_assert_eq!(verifier.anomalies(), &[expected]);
        prop_assert_eq!(verifier.reception(), Reception::Settling);
    }

    #[test]
    fn a_duplicated_chunk_is_a_step_back(at in 0..LENGTH - 20, length in 1usize..9000, pieces in pieces()) {
        let end = (at + length).min(LENGTH - 20).max(at + 1);
        let sent = sent();
        let came = [&sent[..end], &sent[at..]].concat();
        let offset = first_wrong(&came, &sent);
        let verifier = verify(&came, &pieces);
        let expected = Anomaly { offset, kind: AnomalyKind::Back { of: offset - (end - at) as u64 } };
        prop_assert_eq!(verifier.anomalies(), &[expected]);
    }

    #[test]
    fn swapped_chunks_go_ahead_and_back_and_ahead(
        at in 0..LENGTH / 2, first in 24usize..5000, second in 24usize..5000, pieces in pieces()
    ) {
        let sent = sent();
        let (middle, end) = (at + first, at + first + second);
        let came = [&sent[..at], &sent[middle..end], &sent[at..middle], &sent[end..]].concat();
        let verifier = verify(&came, &pieces);
        // Bytes that are equal by accident move an edge, and the place in the stream with it.
        let found: Vec<i64> = verifier.anomalies().iter().map(|anomaly| match anomaly.kind {
            AnomalyKind::Ahead { of } | AnomalyKind::Back { of } => of as i64 - anomaly.offset as i64,
            _ => 0,
        }).collect();
        prop_assert_eq!(found, vec![first as i64, -(second as i64), 0]);
        prop_assert_eq!(verifier.anomalies()[0].offset, first_wrong(&came, &sent));
        prop_assert_eq!(verifier.reception(), Reception::Complete);
    }

    #[test]
    fn a_cut_stream_is_short_and_right(at in 0..LENGTH, pieces in pieces()) {
        let verifier = verify(&sent()[..at], &pieces);
        prop_assert_eq!(verifier.anomalies(), &[]);
        prop_assert_eq!(verifier.received(), at as u64);
        prop_assert_eq!(verifier.reception(), Reception::More);
    }

    #[test]
    fn what_comes_after_the_end_is_extra(extra in prop::collection::vec(any::<u8>(), 1..40_000), pieces in pieces()) {
        let verifier = verify(&[sent(), extra].concat(), &pieces);
        prop_assert_eq!(verifier.anomalies(), &[Anomaly { offset: LENGTH as u64, kind: AnomalyKind::Extra }]);
    }

    #[test]
    fn overwritten_bytes_are_changed_bytes(at in 0..LENGTH - 9000, length in 1usize..9000, pieces in pieces()) {
        let mut came = sent();
        came[at..at + length].iter_mut().for_each(|byte| *byte = !*byte);
        let verifier = verify(&came, &pieces);
        let expected = Anomaly { offset: at as u64, kind: AnomalyKind::Changed { bytes: length as u64 } };
        prop_assert_eq!(verifier.anomalies(), &[expected]);
    }
}

/// What a bad system may do to a stream.
#[derive(Clone, Debug)]
enum Edit {
    Change { at: usize, with: Vec<u8> },
    Drop { at: usize, length: usize },
    Double { at: usize, length: usize, to: usize },
    Swap { at: usize, first: usize, second: usize },
    Insert { at: usize, what: Vec<u8> },
    Cut { at: usize },
}

fn edit() -> impl Strategy<Value = Edit> {
    let (at, length) = (0..LENGTH, prop_oneof![1usize..20, 1usize..20_000]);
    let bytes = prop::collection::vec(any::<u8>(), 1..40);
    prop_oneof![
        (at.clone(), bytes.clone()).prop_map(|(at, with)| Edit::Change { at, with }),
        (at.clone(), length.clone()).prop_map(|(at, length)| Edit::Drop { at, length }),
        (at.clone(), length.clone(), at.clone()).prop_map(|(at, length, to)| Edit::Double { at, length, to }),
        (at.clone(), length.clone(), length).prop_map(|(at, first, second)| Edit::Swap { at, first, second }),
        (at.clone(), bytes).prop_map(|(at, what)| Edit::Insert { at, what }),
        at.prop_map(|at| Edit::Cut { at }),
    ]
}

fn apply(edit: Edit, to: &mut Vec<u8>) {
    let length = to.len();
    let end = |at: usize, more: usize| (at + more).min(length);
    match edit {
        Edit::Change { at, with } => to.iter_mut().skip(at).zip(with).for_each(|(to, with)| *to = with),
        Edit::Drop { at, length } => drop(to.drain(end(at, 0)..end(at, length))),
        Edit::Double { at, length, to: place } => {
            let copy = to[end(at, 0)..end(at, length)].to_vec();
            to.splice(end(place, 0)..end(place, 0), copy);
        }
        Edit::Swap { at, first, second } => {
            let (start, middle, stop) = (end(at, 0), end(at, first), end(at, first + second));
            to[start..stop].rotate_left(middle - start);
        }
        Edit::Insert { at, what } => drop(to.splice(end(at, 0)..end(at, 0), what)),
        Edit::Cut { at } => to.truncate(at),
    }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn whatever_happens_to_a_stream_is_found_however_it_is_cut(
        edits in prop::collection::vec(edit(), 0..5), one in pieces(), other in pieces()
    ) {
        let sent = sent();
        let mut came = sent.clone();
        edits.into_iter().for_each(|edit| apply(edit, &mut came));
        let verifier = verify(&came, &one);
        let first = first_wrong(&came, &sent);
        let is_prefix = first as usize == came.len();
        // What came is a part of what was sent, or the first place where it is not is told.
        prop_assert_eq!(verifier.anomalies().first().map(|anomaly| anomaly.offset), (!is_prefix).then_some(first));
        prop_assert_eq!(verifier.anomaly_count() == 0, is_prefix);
        prop_assert_eq!(verifier.received(), came.len() as u64);
        prop_assert!(verifier.anomalies().len() <= DESCRIBED);
        let again = verify(&came, &other);
        prop_assert_eq!(verifier.anomalies(), again.anomalies());
        prop_assert_eq!(verifier.anomaly_count(), again.anomaly_count());
        prop_assert_eq!(verifier.reception(), again.reception());
    }
}

#[test]
fn another_stream_is_foreign_and_ours_is_found_again() {
    let sent = sent();
    let mut other = vec![0; 20_000];
    Payload::new(11, 4, 20_000).fill(0, &mut other);
    let verifier = verify(&[&sent[..100], &other, &sent[100..]].concat(), &[1000]);
    let kinds: Vec<_> = verifier.anomalies().iter().map(|anomaly| (anomaly.offset, anomaly.kind)).collect();
    assert_eq!(kinds, [(100, AnomalyKind::Foreign), (20_100, AnomalyKind::Back { of: 100 })]);
}

#[test]
fn only_the_first_eight_are_described() {
    let mut came = sent();
    (0..100).for_each(|at| came[at * 300] ^= 1);
    let verifier = verify(&came, &[7777]);
    assert_eq!((verifier.anomalies().len(), verifier.anomaly_count()), (8, 100));
}

#[test]
fn a_literal_that_changed_or_lacks_its_middle() {
    let judge = |came: &[u8]| {
        let mut verifier = Verifier::new(Payload::literal(*b"HELLO WORLD"), false);
        verifier.accept(came);
        verifier.finish(11);
        verifier.anomalies().to_vec()
    };
    assert_eq!(judge(b"HELLO WORLD"), []);
    assert_eq!(judge(b"HELXX WORLD"), [Anomaly { offset: 3, kind: AnomalyKind::Changed { bytes: 2 } }]);
    assert_eq!(judge(b"HELWORLD"), [Anomaly { offset: 3, kind: AnomalyKind::Ahead { of: 6 } }]);
    assert_eq!(judge(b"HELLO WORLD!"), [Anomaly { offset: 11, kind: AnomalyKind::Extra }]);
}

#[test]
fn both_digests_agree() {
    let bytes = sent();
    let mut verifier = Verifier::new(payload(), true);
    bytes.chunks(999).for_each(|chunk| verifier.accept(chunk));
    assert_eq!(verifier.sha256().unwrap(), hex::encode(Sha256::digest(&bytes)));
}

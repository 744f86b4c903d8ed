//! Each data fault changes just its bytes, however the stream comes in.

use clap::ValueEnum as _;

use super::*;

/// What became of a stream.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    received: Vec<u8>,
    /// Its end was a fault's.
    ended: bool,
    /// How often it was to wait, and for how long in all.
    waits: usize,
    waited: Duration,
}

/// A stream of `length` bytes that comes in `cut` bytes at a time.
fn passed(fault: Option<Fault>, length: usize, cut: usize) -> Outcome {
    let sent = stream(length);
    let mut tamper = Tampering::new(Faults::new(fault)).stream();
    let mut outcome = Outcome { received: Vec::new(), ended: false, waits: 0, waited: Duration::ZERO };
    let mut position = 0;
    while position < sent.len() && tamper.room() > 0 {
        let length = cut.min(tamper.room()).min(sent.len() - position);
        let mut payload = BytesMut::from(&sent[position..position + length]);
        position += length;
        let flow = tamper.pass(&mut payload);
        outcome.received.extend_from_slice(&payload);
        match flow {
            Flow::On => {}
            Flow::After(pause) => {
                outcome.waits += 1;
                outcome.waited += pause;
            }
            Flow::End => {
                outcome.ended = true;
                return outcome;
            }
        }
    }
    outcome.received.extend_from_slice(&tamper.rest());
    outcome
}

/// Bytes whose order can be told.
fn stream(length: usize) -> Vec<u8> {
    (0..length).map(|offset| (offset % 251) as u8 ^ (offset / 251) as u8).collect()
}

/// What a fault makes of a stream.
fn expected(fault: Fault, sent: &[u8]) -> Vec<u8> {
    let at = |offset: usize| offset.min(sent.len());
    let (head, first) = (&sent[..at(100_000)], &sent[at(100_000)..at(101_000)]);
    let (second, tail) = (&sent[at(101_000)..at(102_000)], &sent[at(102_000)..]);
    match fault {
        Fault::CorruptsOneByte => {
            let mut bytes = sent.to_vec();
            bytes.iter_mut().skip(100_000).take(1).for_each(|byte| *byte ^= 1);
            bytes
        }
        Fault::DropsChunk => [head, second, tail].concat(),
        Fault::DuplicatesChunk => [head, first, first, second, tail].concat(),
        Fault::ReordersChunks => [head, second, first, tail].concat(),
        Fault::Truncates => head.to_vec(),
        Fault::StallsStream => sent[..at(50_000)].to_vec(),
        _ => sent.to_vec(),
    }
}

#[test]
fn every_fault_changes_just_its_bytes_however_the_stream_is_cut() {
    for fault in Fault::value_variants() {
        for cut in [333, 1000, 4096, 65_536, 100_001, 200_000] {
            for length in [20_000, 100_000, 100_001, 100_500, 101_000, 101_500, 200_000] {
                let outcome = passed(Some(*fault), length, cut);
                let expected = expected(*fault, &stream(length));
                assert!(outcome.received == expected, "{fault:?}, {length} bytes, {cut} at a time");
                assert_eq!(outcome.ended, *fault == Fault::Truncates && length > 100_000, "{fault:?}");
            }
        }
    }
}

#[test]
fn only_the_faults_of_time_take_time() {
    for fault in Fault::value_variants() {
        for cut in [4096, 65_536] {
            let Outcome { waits, waited, .. } = passed(Some(*fault), 200_000, cut);
            match fault {
                Fault::Stalls10s => assert_eq!((waits, waited), (1, PAUSE)),
                Fault::SlowsTenfold => assert!(waits == 200_000_usize.div_ceil(cut) && waited > Duration::ZERO),
                _ => assert_eq!(waits, 0, "{fault:?}"),
            }
        }
    }
    assert_eq!(passed(Some(Fault::Stalls10s), 50_000, 4096).waits, 0, "there is nothing to stop");
}

#[test]
fn without_a_fault_there_is_room_for_all() {
    assert_eq!(Tampering::default().stream().room(), usize::MAX);
}

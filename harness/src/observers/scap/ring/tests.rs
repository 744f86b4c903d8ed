//! The ring against a fake one in files: wrapped around, full, torn, and with lengths that make no sense.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::super::fake::{Fake, event, number};
use super::*;
use crate::properties::config;

/// Bytes of a ring that is filled soon.
const SIZE: usize = 8 << 10;

fn read(ring: &mut Ring) -> (Vec<Vec<u8>>, Tally) {
    let mut events = Vec::new();
    let tally = ring.read(|event| events.push(event.to_vec())).unwrap();
    (events, tally)
}

fn close(n: u64) -> Vec<u8> {
    event(n, 7, 5, &[&number(0), &number(n as i64)])
}

#[test]
fn what_is_written_is_read_once_around_the_end_of_the_ring_too() {
    let mut fake = Fake::new(SIZE);
    let mut ring = fake.ring();
    assert_eq!(read(&mut ring), (Vec::new(), Tally::default()));
    for round in 0..50 {
        let written: Vec<_> = (0..10).map(|n| close(10 * round + n)).collect();
        written.iter().for_each(|event| assert!(fake.write(event)));
        assert_eq!(read(&mut ring), (written, Tally { events: 10, garbage: 0 }));
    }
    assert_eq!(fake.u32(4), fake.u32(0), "all of the ring is given back");
    assert!(50 * 10 * close(0).len() > 2 * SIZE, "it went around");
}

#[test]
fn a_full_ring_loses_what_is_new_and_counts_it() {
    let mut fake = Fake::new(SIZE);
    let mut ring = fake.ring();
    let fit = (0..1000).filter(|n| fake.write(&close(*n))).count() as u64;
    let counted = Counters { events: 1000, full: 1000 - fit, faults: 0, preempted: 0 };
    assert_eq!(ring.counters(), counted);
    let (events, tally) = read(&mut ring);
    assert_eq!((events[0].clone(), tally.events), (close(0), fit));
    assert_eq!(tally.events + counted.full, counted.events, "what was read and what was lost is what there was");
    assert!(fake.write(&close(1001)), "there is room again");
}

#[test]
fn other_counters_are_where_the_layout_says() {
    let fake = Fake::new(SIZE);
    fake.count(24);
    fake.count(32);
    fake.count(32);
    assert_eq!(fake.ring().counters(), Counters { events: 0, full: 0, faults: 1, preempted: 2 });
}

#[test]
fn a_length_that_makes_no_sense_costs_what_lies_behind_it_and_nothing_later() {
    let mut fake = Fake::new(SIZE);
    let mut ring = fake.ring();
    for length in [0_u32, 25, 4000, u32::MAX] {
        fake.write(&close(1));
        let mut torn = close(2);
        torn[16..20].copy_from_slice(&length.to_le_bytes());
        fake.write(&torn);
        fake.write(&close(3));
        assert_eq!(read(&mut ring), (vec![close(1)], Tally { events: 1, garbage: 1 }), "{length}");
        fake.write(&close(4));
        assert_eq!(read(&mut ring), (vec![close(4)], Tally { events: 1, garbage: 0 }));
    }
}

#[test]
fn a_head_in_the_middle_of_an_event_is_garbage() {
    let mut fake = Fake::new(SIZE);
    let mut ring = fake.ring();
    fake.write(&close(1));
    let whole = close(1).len();
    for torn in [1, 25, 30] {
        fake.write(&close(2));
        let head = fake.u32(0) as usize;
        fake.set_head((head + SIZE - whole + torn) % SIZE);
        let (_, tally) = read(&mut ring);
        assert_eq!(tally.garbage, 1, "{torn}");
    }
}

#[test]
fn a_head_or_tail_outside_of_the_ring_is_an_error() {
    let mut fake = Fake::new(SIZE);
    let mut ring = fake.ring();
    fake.set_head(SIZE);
    let error = ring.read(|_| panic!("nothing is there")).unwrap_err();
    assert!(error.to_string().contains("lies outside of the ring's 8192 bytes"), "{error}");
}

#[test]
fn events_longer_than_a_copy_s_rest_are_read_whole() {
    let mut fake = Fake::new(2 << 20);
    let mut ring = fake.ring();
    let long = vec![1; 60_000];
    let events: Vec<_> = (0..30).map(|n| event(n, 7, 293, &[&long])).collect();
    events.iter().for_each(|event| assert!(fake.write(event)));
    assert_eq!(read(&mut ring), (events, Tally { events: 30, garbage: 0 }));
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn any_bytes_are_events_or_garbage(
        chunks in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..80),
                (any::<u16>(), prop::collection::vec(any::<u8>(), 0..40))
                    .prop_map(|(code, value)| event(1, 7, code, &[&value])),
            ],
            0..12,
        ),
        start in 0usize..SIZE,
    ) {
        let mut fake = Fake::new(SIZE);
        fake.set_head(start);
        let mut ring = fake.ring();
        // The tail follows the head to where the ring begins.
        let _ = ring.read(|_| ());
        chunks.iter().for_each(|chunk| {
            fake.write(chunk);
        });
        let mut read = 0;
        let tally = ring.read(|event| read += event.len()).unwrap();
        let written: usize = chunks.iter().map(Vec::len).sum();
        prop_assert!(read <= written && (read == written || tally.garbage > 0));
        prop_assert_eq!(fake.u32(4), fake.u32(0));
    }
}

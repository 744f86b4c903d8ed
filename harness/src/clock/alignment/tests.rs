//! Clocks of other machines and of this one, and realtime that is set.

use proptest::prelude::*;

use super::*;
use crate::properties::config;

const YEAR_2026: i64 = 1_790_000_000_000_000_000;

fn reading(before: u64, until: u64, after: u64, offset: i64) -> Reading {
    Reading { before, realtime: until.wrapping_add_signed(offset), after }
}

#[test]
fn readings_narrow_the_difference_down() {
    let mut alignment = Alignment::new(reading(1000, 1500, 3000, YEAR_2026));
    assert_eq!(alignment.uncertainty_ns(), 2000);
    assert_eq!(alignment.take(reading(5000, 5010, 5030, YEAR_2026)), None);
    let (at, uncertainty_ns) = alignment.monotonic(YEAR_2026 as u64 + 9000);
    assert_eq!((at, uncertainty_ns), (Timestamp(9020), 30));
}

#[test]
fn a_step_is_told_and_widens_what_may_be_from_before_it() {
    let mut alignment = Alignment::new(reading(1000, 1010, 1020, YEAR_2026));
    assert_eq!(alignment.take(reading(2000, 2010, 2020, YEAR_2026 - 5000)), Some(Step { by_ns: -5000 }));
    let (at, uncertainty_ns) = alignment.monotonic(YEAR_2026 as u64 + 1500);
    assert!(at >= Timestamp(6500) && at.0 - uncertainty_ns <= 1500, "{at:?} {uncertainty_ns}");
    alignment.forget_steps();
    assert_eq!(alignment.uncertainty_ns(), 20);
}

#[test]
fn this_machine_s_clocks_are_aligned_to_a_microsecond() {
    let (alignment, step) = Alignment::measure(2000);
    assert!(alignment.uncertainty_ns() < 100_000, "{alignment:?}");
    assert_eq!(step, None);
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn the_true_moment_is_never_left_out(
        offsets in prop::collection::vec((0u64..1_000_000, 0u64..500, 0u64..500, -3i64..3), 1..40),
        at in 0u64..10_000_000,
    ) {
        let readings = offsets.iter().map(|(start, to, from, jitter)| {
            let (before, true_offset) = (20_000_000 + start, YEAR_2026 + jitter);
            reading(before, before + to, before + to + from, true_offset)
        });
        let mut readings = readings;
        let mut alignment = Alignment::new(readings.next().expect("there is one"));
        for reading in readings {
            prop_assert_eq!(alignment.take(reading), None);
        }
        let (latest, uncertainty_ns) = alignment.monotonic(YEAR_2026 as u64 + at);
        prop_assert!(latest.0 + 10 >= at && latest.0 - uncertainty_ns <= at + 10);
    }
}

//! How fast the system is, and whether it stands still.

use super::*;
use crate::checks::{Pace, Silence};
use crate::history::YARDSTICK;

fn pace() -> Check {
    Check::Pace(Pace { group: "g".into(), yardstick: YARDSTICK.into(), at_most: 5.0 })
}

/// Round trips of the system and of the yardstick: how long in ns, and how many.
fn turns(ours: &[(u64, u64)], theirs: &[(u64, u64)]) -> Verdict {
    let mut story = Story::new();
    for (op, group, buckets) in [(1, "g", ours), (2, YARDSTICK, theirs)] {
        story.operation(op, group, 1100);
        let mut end = ended(Outcome::Ok, 8, 8);
        if let OpStep::End { rtt, .. } = &mut end {
            *rtt = RttHistogram(buckets.to_vec());
        }
        story.step(op, 2000, end);
    }
    story.judge(&pace())
}

#[test]
fn round_trips_are_compared_with_the_yardsticks() {
    assert_eq!(turns(&[(500_000, 100)], &[(100_000, 100)]), Verdict::Pass);
    says(&turns(&[(600_000, 100)], &[(100_000, 100)]), "fail", "6.0 times as long: 0.600 ms, the relay's 0.100 ms");
    // A machine that is busy slows both; that some of the round trips were held up says nothing of the system.
    assert_eq!(turns(&[(50_000_000, 100)], &[(20_000_000, 100)]), Verdict::Pass);
    assert_eq!(turns(&[(300_000, 10), (90_000_000, 90)], &[(100_000, 100)]), Verdict::Pass);
    says(&turns(&[(300_000, 9), (90_000_000, 91)], &[(100_000, 100)]), "fail", "900.0 times");
}

#[test]
fn without_enough_round_trips_pace_is_unknown() {
    says(&turns(&[(1, 49)], &[(1, 100)]), "unknown", "49 round trips of `g` are too few");
    says(&turns(&[(1, 100)], &[]), "unknown", "0 round trips of `yardstick` are too few");
}

#[test]
fn a_connection_may_stand_still_for_so_long() {
    let check = Check::Silence(Silence { group: "g".into(), at_most_ms: 2000 });
    let silent = |lasted_ms: Option<u64>| {
        let mut story = Story::new();
        story.operation(1, "g", 1100);
        lasted_ms.into_iter().for_each(|lasted_ms| story.step(1, 4000, OpStep::Silence { lasted_ms }));
        story.end(1, 5000, Outcome::Ok);
        story.judge(&check)
    };
    assert_eq!(silent(None), Verdict::Pass);
    assert_eq!(silent(Some(2000)), Verdict::Pass);
    says(
        &silent(Some(2500)),
        "fail",
        "operation 1 to 127.0.0.1:9000 stood still for 2500 ms and went on 2900 ms after",
    );
    says(&Story::new().judge(&check), "unknown", "no operation of `g` began");
    let mut endless = Story::new();
    endless.operation(1, "g", 1100);
    says(&endless.judge(&check), "unknown", "never ended");
}

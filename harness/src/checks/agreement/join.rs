//! Finds for each call of a thread the other witness's account of it.

use super::SLACK_NS;
use super::calls::{Call, Thread};

/// The calls of a thread, joined.
#[derive(Debug, Default)]
pub(super) struct Joined<'a> {
    /// Of which both tell, at times that can be those of one call: eBPF's account first.
    pub(super) pairs: Vec<(Call<'a>, Call<'a>)>,
    /// Of which both seem to tell, at times that cannot.
    pub(super) apart: Vec<(Call<'a>, Call<'a>)>,
    /// Of which eBPF alone tells.
    pub(super) only_ours: Vec<Call<'a>>,
    /// Of which scap alone tells.
    pub(super) only_theirs: Vec<Call<'a>>,
}

/// Accounts that are further apart than this are of two calls.
const FAR_NS: u128 = 10_000_000_000;

/// Joins what the two tell of a thread, in the order of its calls.
pub(super) fn join<'a>(thread: &Thread<'a>) -> Joined<'a> {
    let (ours, theirs) = (&thread.ours, &thread.theirs);
    let mut joined = Joined::default();
    let (mut i, mut j) = (0, 0);
    while let (Some(one), Some(other)) = (ours.get(i), theirs.get(j)) {
        let fits = one.class == other.class && thread.can_be_one(one, other);
        // Another descriptor or result is a difference, unless one of the two has a better match.
        let mut better_theirs = theirs[j + 1..].iter().take_while(|it| thread.can_be_one(one, it));
        let mut better_ours = ours[i + 1..].iter().take_while(|it| thread.can_be_one(it, other));
        let skips_theirs = match fits {
            true if one.is_same(other) => None,
            true if better_theirs.any(|it| one.is_same(it)) => Some(true),
            true if better_ours.any(|it| it.is_same(other)) => Some(false),
            true => None,
            false => Some(one.exit > other.exit),
        };
        match skips_theirs {
            None => {
                joined.pairs.push((*one, *other));
                (i, j) = (i + 1, j + 1);
            }
            Some(true) => {
                joined.only_theirs.push(*other);
                j += 1;
            }
            Some(false) => {
                joined.only_ours.push(*one);
                i += 1;
            }
        }
    }
    joined.only_ours.extend(&ours[i..]);
    joined.only_theirs.extend(&theirs[j..]);
    joined.reunite();
    joined
}

impl Joined<'_> {
    /// What each alone tells of may be the same call, at a time that cannot be.
    fn reunite(&mut self) {
        let theirs = &mut self.only_theirs;
        let apart = &mut self.apart;
        self.only_ours.retain(|one| {
            let same = |other: &Call<'_>| {
                let gap = other.exit.ns_after(one.exit).unsigned_abs();
                one.is_same(other) && gap <= FAR_NS
            };
            let Some(at) = theirs.iter().position(same) else { return true };
            apart.push((*one, theirs.remove(at)));
            false
        });
    }
}

impl Thread<'_> {
    /// Whether the times of two accounts can be those of one call: each one's entry comes before the other's exit, and the
    /// thread's next call after both.
    fn can_be_one(&self, ours: &Call<'_>, theirs: &Call<'_>) -> bool {
        // Theirs was between `exit` less its uncertainty and `exit`.
        let earliest = |latest: u64| latest.saturating_sub(theirs.uncertainty_ns + SLACK_NS);
        let after_entry = ours.enter.is_none_or(|enter| theirs.exit.0 + SLACK_NS >= enter.0);
        let before_exit = theirs.enter.is_none_or(|enter| earliest(enter.0) <= ours.exit.0);
        let before_next = self.next_enter(ours.exit).is_none_or(|next| earliest(theirs.exit.0) <= next.0);
        after_entry && before_exit && before_next
    }
}

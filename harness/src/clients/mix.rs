//! The mix of transfer sizes for maximum punishment: 100 KB to 250 MB, weighted towards the smaller. KB and MB are 1024-based.

use super::payload::mix;

const KB: u64 = 1024;
const MB: u64 = 1024 * KB;

/// The classes: percent of all transfers, then the smallest and the largest size in bytes.
const CLASSES: [(u64, u64, u64); 5] = [
    (40, 100 * KB, 500 * KB),
    (25, 500 * KB + 1, MB),
    (20, MB + 1, 5 * MB),
    (10, 5 * MB + 1, 20 * MB),
    (5, 20 * MB + 1, 250 * MB),
];

/// Transfers up to this size get a SHA-256 digest.
const HASHED: u64 = 5 * MB;

/// One transfer of a mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MixedTransfer {
    /// In bytes.
    pub bytes: u64,
    /// Whether it gets a SHA-256 digest: up to 5 MB, before the size was divided.
    pub sha256: bool,
}

/// `count` transfers in an order that follows from the seed. The classes have their exact shares (for 100 transfers 40, 25,
/// 20, 10 and 5; of what does not divide, the smaller classes get more); inside its class a size is uniform. Each size is
/// divided by `scale_divisor` (1: the specification's own sizes).
pub fn punishment(seed: u64, count: usize, scale_divisor: u64) -> Vec<MixedTransfer> {
    let mut random = Random(seed);
    let mut transfers: Vec<MixedTransfer> = classes(count)
        .map(|(smallest, largest)| {
            let bytes = smallest + random.below(largest - smallest + 1);
            MixedTransfer { bytes: (bytes / scale_divisor.max(1)).max(1), sha256: bytes <= HASHED }
        })
        .collect();
    for end in (1..transfers.len()).rev() {
        transfers.swap(end, random.below(end as u64 + 1) as usize);
    }
    transfers
}

/// The bounds of each transfer's class, ascending.
fn classes(count: usize) -> impl Iterator<Item = (u64, u64)> {
    (0..count).map(move |index| {
        let percent = index as u64 * 100 / count as u64;
        let mut upper = 0;
        let class = CLASSES.iter().find(|(share, ..)| {
            upper += share;
            percent < upper
        });
        class.map_or((MB, MB), |(_, smallest, largest)| (*smallest, *largest))
    })
}

/// SplitMix64.
struct Random(u64);

impl Random {
    /// Uniform below `bound`, save for a bias of less than `bound` in 2^64.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        ((u128::from(mix(self.0)) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(transfers: &[MixedTransfer], divisor: u64) -> [usize; 5] {
        CLASSES.map(|(_, smallest, largest)| {
            let bounds = smallest / divisor..=largest / divisor;
            transfers.iter().filter(|transfer| bounds.contains(&transfer.bytes)).count()
        })
    }

    #[test]
    fn a_hundred_transfers_have_the_exact_shares() {
        for seed in 0..50 {
            let transfers = punishment(seed, 100, 1);
            assert_eq!(counts(&transfers, 1), [40, 25, 20, 10, 5]);
            assert_eq!(transfers.iter().filter(|transfer| transfer.sha256).count(), 85);
        }
    }

    #[test]
    fn a_divisor_divides_each_size() {
        let (whole, tenth) = (punishment(3, 100, 1), punishment(3, 100, 10));
        for (whole, tenth) in whole.iter().zip(&tenth) {
            assert_eq!((whole.bytes / 10, whole.sha256), (tenth.bytes, tenth.sha256));
        }
    }

    #[test]
    fn the_seed_decides_sizes_and_order() {
        assert_eq!(punishment(1, 100, 1), punishment(1, 100, 1));
        assert_ne!(punishment(1, 100, 1), punishment(2, 100, 1));
        let shuffled = punishment(1, 100, 1);
        assert!(!shuffled.is_sorted_by_key(|transfer| transfer.bytes));
    }

    #[test]
    fn small_mixes_have_every_class_that_they_can() {
        assert_eq!(counts(&punishment(5, 20, 1), 1), [8, 5, 4, 2, 1]);
        assert_eq!(punishment(5, 1, 1).len(), 1);
        assert_eq!(punishment(5, 0, 1), []);
    }
}

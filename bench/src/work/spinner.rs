//! Keeps a CPU busy, so that others have to wait for theirs.

use super::Turn;

/// Computes until the input ends.
pub(crate) fn spin() -> anyhow::Result<()> {
    std::thread::spawn(|| {
        let mut sum = 1_u64;
        loop {
            sum = std::hint::black_box(sum.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(7));
        }
    });
    Turn::new().wait().map(drop)
}

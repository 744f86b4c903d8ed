//! How much is measured: the whole, a tenth of it, or next to nothing in a test.

/// Against the whole benchmark.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Size {
    factor: f64,
    peers: bool,
}

impl Size {
    /// `factor` of the whole: above 0, and 1 at the most; with the peers or, for they take long to start, without.
    pub(crate) fn new(factor: f64, peers: bool) -> Self {
        Self { factor: factor.clamp(1e-6, 1.0), peers }
    }

    /// Whether peers are compared with.
    pub(crate) fn peers(self) -> bool {
        self.peers
    }

    /// This share of `whole`, `least` at the least.
    pub(crate) fn of(self, whole: u64, least: u64) -> u64 {
        ((whole as f64 * self.factor).round() as u64).max(least)
    }

    /// Rounds of a comparison. A tenth of the size has a third of the rounds, for few rounds say little; there is always one.
    pub(crate) fn rounds(self, whole: usize) -> usize {
        ((whole as f64 * self.factor.sqrt()).round() as usize).max(1)
    }

    /// The share itself.
    pub(crate) fn factor(self) -> f64 {
        self.factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_has_a_floor() {
        assert_eq!(Size::new(1.0, true).of(1000, 10), 1000);
        assert_eq!(Size::new(0.2, true).of(1000, 10), 200);
        assert_eq!(Size::new(0.001, true).of(1000, 10), 10);
        assert_eq!(Size::new(0.001, true).rounds(9), 1);
        assert_eq!(Size::new(0.1, true).rounds(9), 3);
        assert_eq!(Size::new(7.0, true), Size::new(1.0, true));
    }
}

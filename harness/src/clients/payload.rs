//! Payloads: streams of bytes that follow from a seed, generated as they flow, in which any aligned word tells its own place.

use std::sync::Arc;

/// Bytes at the start of a payload that name it at a backend, at the most.
pub const HEAD_LENGTH: usize = 64;

/// What a client sends and expects back; cheap to clone, and of any length without memory for it.
#[derive(Clone, Debug)]
pub struct Payload {
    source: Source,
    length: u64,
}

#[derive(Clone, Debug)]
enum Source {
    /// Word `i` (8 bytes, little-endian) is a bijection of `key + i`.
    Seeded {
        key: u64,
    },
    Literal(Arc<[u8]>),
}

impl Payload {
    /// Stream number `stream` of those that follow from `seed`, `length` bytes long. Streams of different numbers share
    /// no word, save by an accident of about one in 2^38.
    pub fn new(seed: u64, stream: u64, length: u64) -> Self {
        let key = mix(mix(stream.wrapping_add(STEP)) ^ seed);
        Self { source: Source::Seeded { key }, length }
    }

    /// Exactly these bytes.
    pub fn literal(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self { length: bytes.len() as u64, source: Source::Literal(bytes) }
    }

    /// In bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The first bytes, [`HEAD_LENGTH`] at most.
    pub fn head(&self) -> Vec<u8> {
        let mut head = vec![0; self.length.min(HEAD_LENGTH as u64) as usize];
        self.fill(0, &mut head);
        head
    }

    /// Writes the bytes at `offset` into `out`, all of which must lie within the payload.
    pub fn fill(&self, offset: u64, out: &mut [u8]) {
        debug_assert!(offset + out.len() as u64 <= self.length, "filling beyond the end of a payload");
        match &self.source {
            Source::Seeded { key } => fill(*key, offset, out),
            Source::Literal(bytes) => out.copy_from_slice(&bytes[offset as usize..][..out.len()]),
        }
    }

    /// The byte at `offset`.
    pub(super) fn byte(&self, offset: u64) -> u8 {
        let mut byte = [0];
        self.fill(offset, &mut byte);
        byte[0]
    }

    /// The offset at which these eight bytes stand in the payload, as one aligned word. A literal recognises nothing.
    pub(super) fn locate(&self, word: [u8; 8]) -> Option<u64> {
        let Source::Seeded { key } = self.source else { return None };
        let index = unmix(u64::from_le_bytes(word)).wrapping_sub(key).wrapping_mul(STEP_INVERSE);
        (index < self.length / 8).then(|| index * 8)
    }
}

fn fill(key: u64, offset: u64, mut out: &mut [u8]) {
    let mut index = offset / 8;
    let skip = (offset % 8) as usize;
    if skip > 0 {
        let count = out.len().min(8 - skip);
        let (first, rest) = out.split_at_mut(count);
        first.copy_from_slice(&word(key, index)[skip..skip + count]);
        out = rest;
        index += 1;
    }
    let mut words = out.chunks_exact_mut(8);
    for out in &mut words {
        out.copy_from_slice(&word(key, index));
        index += 1;
    }
    let rest = words.into_remainder();
    let count = rest.len();
    if count > 0 {
        rest.copy_from_slice(&word(key, index)[..count]);
    }
}

#[inline]
fn word(key: u64, index: u64) -> [u8; 8] {
    mix(key.wrapping_add(index.wrapping_mul(STEP))).to_le_bytes()
}

/// The step and the finaliser of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
const FIRST: u64 = 0xbf58_476d_1ce4_e5b9;
const SECOND: u64 = 0x94d0_49bb_1331_11eb;
const STEP_INVERSE: u64 = inverse(STEP);
const FIRST_INVERSE: u64 = inverse(FIRST);
const SECOND_INVERSE: u64 = inverse(SECOND);

#[inline]
pub(super) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(FIRST);
    z = (z ^ (z >> 27)).wrapping_mul(SECOND);
    z ^ (z >> 31)
}

#[inline]
fn unmix(mut z: u64) -> u64 {
    z = (z ^ (z >> 31) ^ (z >> 62)).wrapping_mul(SECOND_INVERSE);
    z = (z ^ (z >> 27) ^ (z >> 54)).wrapping_mul(FIRST_INVERSE);
    z ^ (z >> 30) ^ (z >> 60)
}

/// The inverse of an odd number modulo 2^64, by Newton's iteration: each turn doubles the bits that are right, from three.
const fn inverse(odd: u64) -> u64 {
    let mut x = odd;
    let mut turn = 0;
    while turn < 5 {
        x = x.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(x)));
        turn += 1;
    }
    x
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_literal_is_itself() {
        let payload = Payload::literal(*b"HELLO");
        assert_eq!(payload.head(), b"HELLO");
        assert_eq!((payload.length(), payload.byte(4)), (5, b'O'));
    }

    #[test]
    fn streams_differ_and_repeat() {
        let head = |seed, stream| Payload::new(seed, stream, 1000).head();
        assert_eq!(head(1, 1), head(1, 1));
        assert_eq!(head(1, 1).len(), HEAD_LENGTH);
        assert_ne!(head(1, 1), head(1, 2));
        assert_ne!(head(1, 1), head(2, 1));
    }

    proptest! {
        #![proptest_config(crate::properties::config(256))]

        #[test]
        fn mixing_can_be_undone(z: u64) {
            prop_assert_eq!(unmix(mix(z)), z);
        }

        #[test]
        fn a_word_tells_its_place(seed: u64, stream: u64, index in 0u64..1_000_000) {
            let payload = Payload::new(seed, stream, 8_000_000);
            let mut word = [0; 8];
            payload.fill(index * 8, &mut word);
            prop_assert_eq!(payload.locate(word), Some(index * 8));
            prop_assert_eq!(Payload::new(seed, stream.wrapping_add(1), 8_000_000).locate(word), None);
        }

        #[test]
        fn a_piece_is_the_same_wherever_it_is_cut(offset in 0usize..200, length in 0usize..100) {
            let payload = Payload::new(7, 7, 300);
            let mut whole = [0; 300];
            payload.fill(0, &mut whole);
            let mut piece = vec![0; length];
            payload.fill(offset as u64, &mut piece);
            prop_assert_eq!(&piece[..], &whole[offset..offset + length]);
        }
    }
}

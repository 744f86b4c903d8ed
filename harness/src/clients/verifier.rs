//! Compares what comes back with what was sent, as it flows, and finds out what went wrong where they differ.

use sha2::{Digest, Sha256};

use super::payload::Payload;
use crate::history::{Anomaly, AnomalyKind};

/// Anomalies that are described; later ones are counted only.
const DESCRIBED: usize = 8;

/// Bytes that are kept while nothing is recognised, before they are called foreign.
const WINDOW: usize = 16 * 1024;

/// Bytes that are generated and compared at a time: they stay in the first cache.
const BLOCK: usize = 4096;

/// Judges a stream that should be the echo of a payload. Takes chunks of any size; needs 16 KiB at the most.
#[derive(Debug)]
pub struct Verifier {
    payload: Payload,
    received: u64,
    digest: Option<Sha256>,
    /// What was compared or explained, in received bytes; the rest is `pending`.
    settled: u64,
    /// The offset in the payload that is expected at `settled`.
    expected: u64,
    /// Received bytes from the first one that is not as expected, until it is known what they are.
    pending: Vec<u8>,
    /// Positions of `pending` at which no word of the payload begins.
    searched: usize,
    /// `Foreign` was reported, and nothing was recognised since.
    foreign: bool,
    anomalies: Vec<Anomaly>,
    count: u64,
}

/// How much of the echo has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reception {
    /// More is to come.
    More,
    /// As much as was sent may have come, but out of step: what else comes will tell.
    Settling,
    /// As many bytes as were sent, in step up to the last.
    Complete,
}

impl Verifier {
    /// Expects the payload; `sha256` asks for a digest of what comes.
    pub fn new(payload: Payload, sha256: bool) -> Self {
        Self {
            payload,
            received: 0,
            digest: sha256.then(Sha256::new),
            settled: 0,
            expected: 0,
            pending: Vec::new(),
            searched: 0,
            foreign: false,
            anomalies: Vec::new(),
            count: 0,
        }
    }

    /// Bytes that are expected in all.
    pub fn expected_length(&self) -> u64 {
        self.payload.length()
    }

    /// Bytes that came.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The first eight anomalies.
    pub fn anomalies(&self) -> &[Anomaly] {
        &self.anomalies
    }

    /// All anomalies.
    pub fn anomaly_count(&self) -> u64 {
        self.count
    }

    /// Whether the next byte is expected to be the one that was sent at the same offset, and none is unexplained.
    pub fn in_step(&self) -> bool {
        self.pending.is_empty() && !self.foreign && self.expected == self.received
    }

    /// How much of the whole payload has come.
    pub fn reception(&self) -> Reception {
        let length = self.payload.length();
        match self.received {
            received if received == length && self.in_step() => Reception::Complete,
            received if received >= length || (self.pending.is_empty() && self.expected == length) => {
                Reception::Settling
            }
            _ => Reception::More,
        }
    }

    /// The digest of what came, in hexadecimal.
    pub fn sha256(&self) -> Option<String> {
        self.digest.as_ref().map(|digest| hex::encode(digest.clone().finalize()))
    }

    /// Takes the next bytes that came.
    pub fn accept(&mut self, bytes: &[u8]) {
        self.received += bytes.len() as u64;
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
        if self.pending.is_empty() {
            let left = self.walk(bytes, false);
            self.pending.extend_from_slice(&bytes[bytes.len() - left..]);
        } else {
            let mut pending = std::mem::take(&mut self.pending);
            pending.extend_from_slice(bytes);
            let left = self.walk(&pending, true);
            pending.drain(..pending.len() - left);
            self.pending = pending;
        }
    }

    /// Nothing more comes of the `sent` bytes that were sent so far: explains what is left, as well as can be.
    pub fn finish(&mut self, sent: u64) {
        let pending = std::mem::take(&mut self.pending);
        self.searched = 0;
        let inside = pending.len().min(sent.saturating_sub(self.expected) as usize);
        if inside > 0 && !self.foreign {
            self.explain(&pending[..inside], sent);
        } else {
            self.advance(inside);
        }
        if inside < pending.len() {
            if !self.foreign {
                self.report(AnomalyKind::Extra);
            }
            self.settled += (pending.len() - inside) as u64;
        }
    }

    /// Goes through bytes that begin at `settled`, the first of which is known to be `wrong` or to be compared; returns
    /// how many of the last remain unexplained.
    fn walk(&mut self, mut bytes: &[u8], mut wrong: bool) -> usize {
        loop {
            // In foreign surroundings a single byte is right by accident only.
            if !wrong && !self.foreign {
                bytes = &bytes[self.compare(bytes)..];
            }
            wrong = false;
            if bytes.is_empty() {
                return 0;
            }
            match self.search(bytes) {
                Some(explained) => bytes = &bytes[explained..],
                None if bytes.len() > WINDOW => {
                    if !self.foreign {
                        let beyond = self.expected >= self.payload.length();
                        self.report(if beyond { AnomalyKind::Extra } else { AnomalyKind::Foreign });
                        self.foreign = true;
                    }
                    // A word may begin in the last seven bytes.
                    let explained = bytes.len() - 7;
                    self.advance(explained);
                    self.searched = 0;
                    return 7;
                }
                None => return bytes.len(),
            }
        }
    }

    /// Compares in step, at the speed of memory; returns how many bytes are right.
    fn compare(&mut self, bytes: &[u8]) -> usize {
        let mut block = [0; BLOCK];
        let mut right = 0;
        while right < bytes.len() {
            let left = self.payload.length().saturating_sub(self.expected);
            let count = (bytes.len() - right).min(BLOCK).min(usize::try_from(left).unwrap_or(BLOCK));
            if count == 0 {
                break;
            }
            let (came, block) = (&bytes[right..right + count], &mut block[..count]);
            self.payload.fill(self.expected, block);
            if came == block {
                self.advance(count);
                right += count;
            } else {
                let same = came.iter().zip(&*block).take_while(|(a, b)| a == b).count();
                self.advance(same);
                return right + same;
            }
        }
        right
    }

    /// Looks for a word of the payload, at every byte; when there is one, says what lies before it and returns how long
    /// that is.
    fn search(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, window) in bytes.windows(8).enumerate().skip(self.searched) {
            let mut word = [0; 8];
            word.copy_from_slice(window);
            if let Some(of) = self.payload.locate(word) {
                self.searched = 0;
                return Some(self.resynchronise(bytes, at, of));
            }
        }
        self.searched = bytes.len().saturating_sub(7);
        None
    }

    /// `bytes[at..]` goes on with what was sent at offset `of`. It may have begun before that, in the middle of a word.
    fn resynchronise(&mut self, bytes: &[u8], at: usize, of: u64) -> usize {
        let in_step = of == self.expected + at as u64;
        let (mut start, mut from) = (at, of);
        while start > 0 && from > 0 && self.payload.byte(from - 1) == bytes[start - 1] {
            start -= 1;
            from -= 1;
        }
        if start > 0 && !self.foreign {
            self.report(AnomalyKind::Changed { bytes: start as u64 });
        }
        self.advance(start);
        self.foreign = false;
        if !in_step {
            let ahead = from > self.expected;
            self.report(if ahead { AnomalyKind::Ahead { of: from } } else { AnomalyKind::Back { of: from } });
            self.expected = from;
        }
        start
    }

    /// Says what the last bytes are, in which no whole word was recognised; the first of them is wrong.
    fn explain(&mut self, bytes: &[u8], sent: u64) {
        let length = bytes.len();
        let same = |from: u64| bytes.iter().zip(from..).filter(|(byte, at)| self.payload.byte(*at) == **byte).count();
        let missing = sent - self.expected - length as u64;
        let in_step = same(self.expected);
        if missing > 0 && same(sent - length as u64) == length {
            let from = sent - length as u64;
            self.report(AnomalyKind::Ahead { of: from });
            self.expected = from;
        } else if missing == 0 || length < 16 || in_step * 2 > length {
            let wrong = |at: &usize| self.payload.byte(self.expected + *at as u64) != bytes[*at];
            let last = (0..length).rev().find(wrong).unwrap_or(0);
            self.report(AnomalyKind::Changed { bytes: last as u64 + 1 });
        } else {
            self.report(AnomalyKind::Foreign);
        }
        self.advance(length);
    }

    fn advance(&mut self, bytes: usize) {
        self.settled += bytes as u64;
        self.expected += bytes as u64;
    }

    fn report(&mut self, kind: AnomalyKind) {
        self.count += 1;
        if self.anomalies.len() < DESCRIBED {
            self.anomalies.push(Anomaly { offset: self.settled, kind });
        }
    }
}

#[cfg(test)]
mod tests;

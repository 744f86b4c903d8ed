//! Lines of a stream, of which no length is to be feared.

use std::io::{self, BufRead};

/// What is kept of a line: more than any event is long.
const KEPT: usize = 1 << 20;

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RawLine {
    /// Its beginning, the whole of it where `bytes` says so.
    pub(super) kept: Vec<u8>,
    /// How long it is.
    pub(super) bytes: u64,
    /// Whether the stream went on behind it: the last line may have been cut off.
    pub(super) ended: bool,
}

impl RawLine {
    /// Whether all of it is there.
    pub(super) fn is_whole(&self) -> bool {
        self.ended && self.bytes == self.kept.len() as u64
    }
}

/// The next line; `None` at the end of the stream.
pub(super) fn next(stream: &mut impl BufRead) -> io::Result<Option<RawLine>> {
    let mut line = RawLine { kept: Vec::new(), bytes: 0, ended: false };
    loop {
        let buffer = match stream.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            filled => filled?,
        };
        if buffer.is_empty() {
            return Ok((line.bytes > 0).then_some(line));
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        line.kept.extend_from_slice(&part[..part.len().min(KEPT - line.kept.len())]);
        line.bytes += part.len() as u64;
        let taken = part.len() + usize::from(end.is_some());
        stream.consume(taken);
        if end.is_some() {
            line.ended = true;
            return Ok(Some(line));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::{BufReader, Read};

    use super::*;

    fn all(stream: impl Read) -> Vec<(usize, u64, bool)> {
        let mut stream = BufReader::with_capacity(16, stream);
        std::iter::from_fn(|| next(&mut stream).unwrap())
            .map(|line| (line.kept.len(), line.bytes, line.ended))
            .collect()
    }

    #[test]
    fn lines_end_where_they_end() {
        assert_eq!(all(&b""[..]), []);
        assert_eq!(
            all(&b"\n\na longer line than the buffer\nhalf"[..]),
            [(0, 0, true), (0, 0, true), (29, 29, true), (4, 4, false)]
        );
    }

    #[test]
    fn a_line_of_100_megabytes_takes_one() {
        let long = io::repeat(b'x').take(100 << 20).chain(&b"\nnext\n"[..]);
        let mut stream = BufReader::with_capacity(1 << 16, long);
        let line = next(&mut stream).unwrap().unwrap();
        assert_eq!((line.kept.len(), line.bytes, line.is_whole()), (KEPT, 100 << 20, false));
        assert_eq!(next(&mut stream).unwrap().unwrap(), RawLine { kept: b"next".to_vec(), bytes: 4, ended: true });
    }
}

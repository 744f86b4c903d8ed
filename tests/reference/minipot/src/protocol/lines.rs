//! Lines that end with LF, up to a limit.

/// Collects a line from the pieces that come in.
#[derive(Debug)]
pub(crate) struct Lines {
    kept: Vec<u8>,
    limit: usize,
}

/// What the next piece made of the line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A line, without its LF.
    Whole(Vec<u8>),
    /// Its end has not come yet.
    Piece,
    /// The piece made it longer than the limit: it was thrown away together with what was kept. What comes next begins a line.
    TooLong,
}

impl Lines {
    /// Lines of up to `limit` bytes, LF included.
    pub(crate) fn new(limit: usize) -> Self {
        Self { kept: Vec::new(), limit }
    }

    /// Takes from `input` up to the first LF, or all of it; returns how much that was.
    pub(crate) fn take(&mut self, input: &[u8]) -> (usize, Line) {
        let end = input.iter().position(|byte| *byte == b'\n');
        let piece = &input[..end.map_or(input.len(), |end| end + 1)];
        if self.kept.len() + piece.len() > self.limit {
            self.kept.clear();
            return (piece.len(), Line::TooLong);
        }
        self.kept.extend_from_slice(piece);
        if end.is_none() {
            return (piece.len(), Line::Piece);
        }
        let mut line = std::mem::take(&mut self.kept);
        line.pop();
        (piece.len(), Line::Whole(line))
    }

    /// Throws away what is kept.
    pub(crate) fn forget(&mut self) {
        self.kept.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_a_line() {
        let mut lines = Lines::new(8);
        assert_eq!(lines.take(b"ab"), (2, Line::Piece));
        assert_eq!(lines.take(b"c\r\nde\n"), (3, Line::Whole(b"abc\r".into())));
        assert_eq!(lines.take(b"de\n"), (3, Line::Whole(b"de".into())));
        assert_eq!(lines.take(b"\n"), (1, Line::Whole(b"".into())));
    }

    #[test]
    fn limit_counts_the_lf() {
        let mut lines = Lines::new(4);
        assert_eq!(lines.take(b"abc\n"), (4, Line::Whole(b"abc".into())));
        assert_eq!(lines.take(b"abcd\nef\n"), (5, Line::TooLong));
        assert_eq!(lines.take(b"ef\n"), (3, Line::Whole(b"ef".into())));
    }

    #[test]
    fn rest_of_a_long_line_begins_a_new_one() {
        let mut lines = Lines::new(4);
        assert_eq!(lines.take(b"abcdefg"), (7, Line::TooLong));
        assert_eq!(lines.take(b"hijkl"), (5, Line::TooLong));
        assert_eq!(lines.take(b"mn\n"), (3, Line::Whole(b"mn".into())));
    }
}

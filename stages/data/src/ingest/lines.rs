//! Lines of a file with their numbers and offsets. Memory is bounded by the longest line allowed.

use std::io::{self, BufRead};

/// Where a line starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// Counted from 1.
    pub line: u64,
    /// Bytes from the start of the file.
    pub offset: u64,
}

/// What stands on a line, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Bytes(Vec<u8>),
    TooLong,
}

/// Reads lines that end in `\n` or `\r\n`, or with the file.
pub(super) struct Lines<R> {
    reader: R,
    next: Position,
    longest: usize,
}

impl<R: BufRead> Lines<R> {
    /// Starts at the first line; a byte order mark is passed over.
    pub(super) fn new(mut reader: R, longest: usize) -> io::Result<Self> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        let has_mark = reader.fill_buf()?.starts_with(MARK);
        let offset = if has_mark { MARK.len() } else { 0 };
        reader.consume(offset);
        Ok(Self { reader, next: Position { line: 1, offset: offset as u64 }, longest })
    }

    fn read(&mut self) -> io::Result<Option<(Position, Content)>> {
        let start = self.next;
        let mut line = Vec::new();
        let mut length = 0;
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                break;
            }
            let end = memchr::memchr(b'\n', buffer);
            let part = &buffer[..end.unwrap_or(buffer.len())];
            // One byte more than allowed tells a line that is too long; the rest is passed over unread.
            let room = (self.longest + 1).saturating_sub(line.len());
            line.extend_from_slice(&part[..part.len().min(room)]);
            let taken = part.len() + usize::from(end.is_some());
            length += taken as u64;
            self.reader.consume(taken);
            if end.is_some() {
                break;
            }
        }
        if length == 0 {
            return Ok(None);
        }
        self.next = Position { line: start.line + 1, offset: start.offset + length };
        if line.len() > self.longest {
            return Ok(Some((start, Content::TooLong)));
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some((start, Content::Bytes(line))))
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = io::Result<(Position, Content)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;

    fn lines(bytes: &[u8], buffer: usize) -> Vec<(u64, u64, Content)> {
        let reader = BufReader::with_capacity(buffer, bytes);
        Lines::new(reader, 8).unwrap().map(|line| line.map(|(at, content)| (at.line, at.offset, content)).unwrap()).collect()
    }

    #[test]
    fn ends_marks_and_lengths() {
        let bytes = |text: &str| Content::Bytes(text.into());
        let expected = vec![
            (1, 3, bytes("a")),
            (2, 6, bytes("")),
            (3, 7, bytes("12345678")),
            (4, 16, Content::TooLong),
            (5, 26, bytes("z")),
        ];
        assert_eq!(lines(b"\xef\xbb\xbfa\r\n\n12345678\n123456789\nz", 64), expected);
        assert_eq!(lines(b"", 64), []);
        assert_eq!(lines(b"\xef\xbb\xbf", 64), []);
    }

    proptest! {
        #[test]
        fn the_buffer_does_not_show(bytes in prop::collection::vec(prop::sample::select(b"ab\n\r".to_vec()), 0..60), buffer in 3..20usize) {
            prop_assert_eq!(lines(&bytes, buffer), lines(&bytes, 4096));
        }
    }
}

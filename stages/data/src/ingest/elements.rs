//! Objects of a JSON file that holds an array of them, or one after another over several lines; one at a time.

use std::io::{self, BufRead};

use super::lines::{Content, Position};

/// Cuts a file into the texts of its objects. What stands between them and is no object comes as it is.
pub(super) struct Elements<R> {
    reader: R,
    next: Position,
    longest: usize,
    /// Whether an outer array was opened, and closed.
    array: Array,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Array {
    None,
    Open,
    Closed,
}

/// How far into an element a byte leads.
#[derive(Default)]
struct State {
    depth: usize,
    in_string: bool,
    is_escaped: bool,
}

impl State {
    /// Takes a byte and tells whether the element ends before it.
    fn ends_before(&mut self, byte: u8) -> bool {
        if self.in_string {
            self.in_string = self.is_escaped || byte != b'"';
            self.is_escaped = !self.is_escaped && byte == b'\\';
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' if self.depth == 0 => return true,
            b'}' | b']' => self.depth -= 1,
            b',' => return self.depth == 0,
            _ => {}
        }
        false
    }
}

impl<R: BufRead> Elements<R> {
    /// Starts at the first byte; a byte order mark is passed over.
    pub(super) fn new(mut reader: R, longest: usize) -> io::Result<Self> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        let offset = if reader.fill_buf()?.starts_with(MARK) { MARK.len() } else { 0 };
        reader.consume(offset);
        Ok(Self { reader, next: Position { line: 1, offset: offset as u64 }, longest, array: Array::None })
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(self.reader.fill_buf()?.first().copied())
    }

    fn advance(&mut self, byte: u8) {
        self.reader.consume(1);
        self.next.offset += 1;
        self.next.line += u64::from(byte == b'\n');
    }

    /// Passes over what separates elements.
    fn skip(&mut self) -> io::Result<()> {
        while let Some(byte) = self.peek()? {
            match (byte, self.array) {
                (b'[', Array::None) => self.array = Array::Open,
                (b']', Array::Open) => self.array = Array::Closed,
                (b',', Array::Open) => {}
                _ if byte.is_ascii_whitespace() => {}
                _ => return Ok(()),
            }
            self.advance(byte);
        }
        Ok(())
    }

    fn read(&mut self) -> io::Result<Option<(Position, Content)>> {
        self.skip()?;
        let start = self.next;
        let mut text = Vec::new();
        let mut state = State::default();
        while let Some(byte) = self.peek()? {
            if state.ends_before(byte) && !text.is_empty() {
                break;
            }
            let closes = state.depth == 0 && !state.in_string && byte == b'}';
            if text.len() <= self.longest {
                text.push(byte);
            }
            self.advance(byte);
            if closes {
                break;
            }
        }
        if text.len() > self.longest {
            return Ok(Some((start, Content::TooLong)));
        }
        Ok((self.next.offset > start.offset).then_some((start, Content::Bytes(text))))
    }
}

impl<R: BufRead> Iterator for Elements<R> {
    type Item = io::Result<(Position, Content)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn elements(text: &str) -> Vec<(u64, String)> {
        let found = Elements::new(text.as_bytes(), 40).unwrap().map(|element| match element.unwrap() {
            (at, Content::Bytes(bytes)) => (at.line, String::from_utf8(bytes).unwrap().trim().to_owned()),
            (at, Content::TooLong) => (at.line, "too long".to_owned()),
        });
        found.collect()
    }

    fn shown(text: &str) -> Vec<String> {
        elements(text).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn arrays_and_sequences_give_their_objects() {
        assert_eq!(shown(r#"[{"a": "}]\"{"}, {"b": [1, {}]}]"#), [r#"{"a": "}]\"{"}"#, r#"{"b": [1, {}]}"#]);
        assert_eq!(elements("{\n \"a\": 1\n}\n{\"b\": 2}\n"), [(1, "{\n \"a\": 1\n}".to_owned()), (4, "{\"b\": 2}".to_owned())]);
        assert_eq!(shown("\u{feff}[]"), [""; 0]);
        assert_eq!(shown(" \n"), [""; 0]);
    }

    #[test]
    fn what_is_no_object_comes_as_it_is() {
        assert_eq!(shown("[1, \"x\", null, {\"a\": 1}]"), ["1", "\"x\"", "null", "{\"a\": 1}"]);
        assert_eq!(shown("[{\"a\": 1"), ["{\"a\": 1"]);
        assert_eq!(shown(&format!("[{{\"a\": \"{}\"}}, {{}}]", "x".repeat(50))), ["too long", "{}"]);
    }

    proptest! {
        #[test]
        fn any_text_ends(text in r#"[{}\[\]",:0-9\\ \n]{0,60}"#) {
            let found = Elements::new(text.as_bytes(), 1_000).unwrap();
            let bytes: usize = found.map(|element| match element.unwrap().1 { Content::Bytes(bytes) => bytes.len(), Content::TooLong => 0 }).sum();
            prop_assert!(bytes <= text.len());
        }
    }
}

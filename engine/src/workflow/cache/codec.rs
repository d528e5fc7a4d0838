//! A tree as bytes. Most scalars are parts of the text, so that only where they stand has to be written.

use serde_json::Number;

use crate::workflow::{Node, NodeValue, Span, tree::Entry};

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const UNSIGNED: u8 = 3;
const SIGNED: u8 = 4;
const FLOAT: u8 = 5;
/// A scalar that the text writes as it is.
const PLAIN: u8 = 6;
/// A scalar that the text writes as it is, between quotes.
const QUOTED: u8 = 7;
/// A scalar that the text writes otherwise.
const OTHER: u8 = 8;
const LIST: u8 = 9;
const MAP: u8 = 10;

/// Adds a tree of `text`; none when a value has no form.
pub(super) fn write(tree: &Node, text: &str, out: &mut Vec<u8>) -> Option<()> {
    Writer { text, out }.node(tree)
}

/// What [`write`] wrote; none when these bytes are something else.
pub(super) fn read<'a>(bytes: &'a [u8], text: &'a str) -> Option<Node> {
    let mut reader = Reader { text, bytes };
    let tree = reader.node()?;
    reader.bytes.is_empty().then_some(tree)
}

struct Writer<'a> {
    text: &'a str,
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn node(&mut self, node: &Node) -> Option<()> {
        match &node.value {
            NodeValue::Null => self.head(NULL, node.span),
            NodeValue::Bool(value) => self.head(if *value { TRUE } else { FALSE }, node.span),
            NodeValue::Number(number) => self.scalar(number, node.span)?,
            NodeValue::Text(value) => self.words(value, node.span),
            NodeValue::List(items) => {
                self.head(LIST, node.span);
                self.number(items.len() as u64);
                items.iter().try_for_each(|item| self.node(item))?;
            }
            NodeValue::Map(entries) => {
                self.head(MAP, node.span);
                self.number(entries.len() as u64);
                for entry in entries {
                    self.words(&entry.key, entry.key_span);
                    self.node(&entry.value)?;
                }
            }
            // Its problem has to be told again.
            NodeValue::Broken => return None,
        }
        Some(())
    }

    fn scalar(&mut self, number: &Number, span: Span) -> Option<()> {
        let (tag, bits) = match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(unsigned), ..) => (UNSIGNED, unsigned),
            (_, Some(signed), _) => (SIGNED, signed.cast_unsigned()),
            (.., Some(float)) => (FLOAT, float.to_bits()),
            _ => return None,
        };
        self.head(tag, span);
        self.out.extend_from_slice(&bits.to_le_bytes());
        Some(())
    }

    fn words(&mut self, value: &str, span: Span) {
        if self.text.get(span.start..span.end) == Some(value) {
            self.head(PLAIN, span);
        } else if between_quotes(self.text, span) == Some(value) {
            self.head(QUOTED, span);
        } else {
            self.head(OTHER, span);
            self.number(value.len() as u64);
            self.out.extend_from_slice(value.as_bytes());
        }
    }

    fn head(&mut self, tag: u8, span: Span) {
        self.out.push(tag);
        self.number(span.start as u64);
        self.number((span.end - span.start) as u64);
    }

    /// Seven bits a byte, the lowest first.
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.out.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.out.push((number & 0x7f) as u8);
    }
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn node(&mut self) -> Option<Node> {
        let (tag, span) = self.head()?;
        let value = match tag {
            NULL => NodeValue::Null,
            FALSE => NodeValue::Bool(false),
            TRUE => NodeValue::Bool(true),
            UNSIGNED => NodeValue::Number(self.bits()?.into()),
            SIGNED => NodeValue::Number(self.bits()?.cast_signed().into()),
            FLOAT => NodeValue::Number(Number::from_f64(f64::from_bits(self.bits()?))?),
            LIST => {
                let count = self.count()?;
                let mut items = Vec::with_capacity(count);
                for _ in 0..count {
                    items.push(self.node()?);
                }
                NodeValue::List(items)
            }
            MAP => {
                let count = self.count()?;
                let mut entries = Vec::with_capacity(count);
                for _ in 0..count {
                    entries.push(self.entry()?);
                }
                NodeValue::Map(entries)
            }
            tag => NodeValue::Text(self.words(tag, span)?.to_owned()),
        };
        Some(Node { span, value })
    }

    fn entry(&mut self) -> Option<Entry> {
        let (tag, key_span) = self.head()?;
        let key = self.words(tag, key_span)?.to_owned();
        Some(Entry { key, key_span, value: self.node()? })
    }

    fn words(&mut self, tag: u8, span: Span) -> Option<&'a str> {
        match tag {
            PLAIN => self.text.get(span.start..span.end),
            QUOTED => between_quotes(self.text, span),
            OTHER => {
                let count = self.count()?;
                std::str::from_utf8(self.bytes.split_off(..count)?).ok()
            }
            _ => None,
        }
    }

    fn head(&mut self) -> Option<(u8, Span)> {
        let tag = *self.bytes.split_off_first()?;
        let start = usize::try_from(self.number()?).ok()?;
        let length = usize::try_from(self.number()?).ok()?;
        Some((tag, Span::new(start, start.checked_add(length)?)))
    }

    /// A number of things that follow, each of at least one byte.
    fn count(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok().filter(|count| *count <= self.bytes.len())
    }

    fn bits(&mut self) -> Option<u64> {
        let (bits, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(u64::from_le_bytes(*bits))
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for place in 0..10 {
            let byte = *self.bytes.split_off_first()?;
            number |= u64::from(byte & 0x7f).checked_shl(7 * place)?;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}

fn between_quotes(text: &str, span: Span) -> Option<&str> {
    text.get(span.start.checked_add(1)?..span.end.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::workflow::{Problems, SourceText, parse};

    fn parsed(text: &str) -> Option<Node> {
        let mut problems = Problems::default();
        parse(&SourceText::new("test.yaml", text), &mut problems).filter(|_| problems.is_empty())
    }

    fn through(tree: &Node, text: &str) -> Option<Node> {
        let mut bytes = Vec::new();
        write(tree, text, &mut bytes)?;
        read(&bytes, text)
    }

    #[test]
    fn a_tree_is_read_as_it_was_written() {
        let scalars = r#"a: [1, -2, 0.1, 1e300, 18446744073709551615, true, false, ~, '', "", "a\tb", 'it''s', "plain", x y]"#;
        let blocks = "b: |\n  block\n  text\nc: >-\n  folded\n  lines\n";
        let others = "\"quoted key\": &x {é: [ünï, []]}\nd: *x\n'e': {}\n";
        let text = format!("{scalars}\n{blocks}{others}");
        let tree = parsed(&text).unwrap();
        assert_eq!(through(&tree, &text), Some(tree));
    }

    #[test]
    fn other_bytes_are_no_tree() {
        let text = "a: [x, 'y']\n";
        let mut bytes = Vec::new();
        write(&parsed(text).unwrap(), text, &mut bytes).unwrap();
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end], text), None);
        }
        assert_eq!(read(&[bytes.as_slice(), &[0]].concat(), text), None);
        // A list of more items than there are bytes, and a number without an end.
        assert_eq!(read(&[LIST, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f], text), None);
        assert_eq!(read(&[NULL, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], text), None);
        let broken = Node { span: Span::default(), value: NodeValue::Broken };
        assert_eq!(write(&broken, text, &mut bytes), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            read(&bytes, "some: text\n");
        }

        #[test]
        fn whatever_is_parsed_is_read_back(text in "([a-c]{1,2}: ([0-9.e-]{1,6}|'[ -~]{0,6}'|\"[a-zé]{0,4}\"|[a-zäé ]{1,6}|\\[[a-z0-9, ]{0,8}\\])\n){1,4}") {
            if let Some(tree) = parsed(&text) {
                prop_assert_eq!(through(&tree, &text), Some(tree));
            }
        }
    }
}

//! One pass over a text: its words with places and hashes of their folded form. Shared by whoever compares word sequences.
//!
//! A word is a run of letters, digits, and combining marks; characters of scripts that are written without spaces are words
//! by themselves. Folded means lower case and compatibility composition, so that `Ｗord` and `word` have one hash.

use std::ops::Range;

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// One word of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// Where it starts, in bytes.
    pub start: usize,
    /// Where it ends, in bytes.
    pub end: usize,
    /// The hash of its folded form.
    pub hash: u64,
}

impl Word {
    /// Its bytes in the text.
    pub fn range(&self) -> Range<usize> {
        self.start..self.end
    }
}

/// Returns the words of a text in order.
pub fn words(text: &str) -> Vec<Word> {
    let mut found = Vec::with_capacity(text.len() / 6);
    let mut at = 0;
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(at) {
        if *byte < 0x80 {
            at = if LOWER[usize::from(*byte)] == 0 { at + 1 } else { push_ascii(text, at, &mut found) };
        } else {
            at = push_other(text, at, &mut found);
        }
    }
    found
}

/// The lower case of ASCII letters and digits, else 0.
const LOWER: [u8; 128] = {
    let mut table = [0; 128];
    let mut byte = 0_u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() {
            table[byte as usize] = byte.to_ascii_lowercase();
        }
        byte += 1;
    }
    table
};

/// Takes the word that starts with an ASCII letter at a place, and returns where to go on.
fn push_ascii(text: &str, start: usize, found: &mut Vec<Word>) -> usize {
    let mut hash = Hash::new();
    let mut at = start;
    while let Some(byte) = text.as_bytes().get(at) {
        if *byte >= 0x80 {
            if text.get(at..).and_then(|rest| rest.chars().next()).is_some_and(continues) {
                return push_folded(text, start, found);
            }
            break;
        }
        let lower = LOWER[usize::from(*byte)];
        if lower == 0 {
            break;
        }
        hash.add(lower);
        at += 1;
    }
    found.push(Word { start, end: at, hash: hash.finish() });
    at
}

/// Takes what starts with another character: a word, a character that is a word, or nothing.
fn push_other(text: &str, start: usize, found: &mut Vec<Word>) -> usize {
    let Some(c) = text.get(start..).and_then(|rest| rest.chars().next()) else { return text.len() };
    let end = start + c.len_utf8();
    if stands_alone(c) {
        found.push(Word { start, end, hash: folded_hash(&text[start..end]) });
        end
    } else if continues(c) {
        push_folded(text, start, found)
    } else {
        end
    }
}

fn push_folded(text: &str, start: usize, found: &mut Vec<Word>) -> usize {
    let rest = &text[start..];
    let length = rest.find(|c| !continues(c)).unwrap_or(rest.len());
    let end = start + length;
    found.push(Word { start, end, hash: folded_hash(&text[start..end]) });
    end
}

fn folded_hash(word: &str) -> u64 {
    let mut hash = Hash::new();
    let mut buffer = [0; 4];
    for c in word.nfkc().flat_map(char::to_lowercase) {
        c.encode_utf8(&mut buffer).bytes().for_each(|byte| hash.add(byte));
    }
    hash.finish()
}

fn continues(c: char) -> bool {
    (c.is_alphanumeric() || is_combining_mark(c)) && !stands_alone(c)
}

/// Whether a character belongs to a script that puts no spaces between words.
pub fn stands_alone(c: char) -> bool {
    matches!(u32::from(c),
        0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3041..=0x30ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff
        | 0xf900..=0xfaff | 0x2_0000..=0x3_ffff)
        && (c.is_alphanumeric() || is_combining_mark(c))
}

/// FNV-1a with a last spread of the bits: fast on short words, and good enough for tables.
struct Hash(u64);

impl Hash {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }

    fn finish(self) -> u64 {
        mix(self.0)
    }
}

/// A bijection that spreads every input bit over the output.
pub fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value ^ (value >> 32)
}

/// Returns the hash of a run of words; their order matters.
pub fn gram(words: &[Word]) -> u64 {
    words.iter().fold(0, |all, word| mix(all ^ word.hash))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> Vec<&str> {
        words(text).iter().map(|word| &text[word.range()]).collect()
    }

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        assert_eq!(shown("Don't stop, it's 5pm — naïve café!"), ["Don", "t", "stop", "it", "s", "5pm", "naïve", "café"]);
        assert_eq!(shown("हिन्दी भाषा"), ["हिन्दी", "भाषा"]);
        assert_eq!(shown("日本語 ok"), ["日", "本", "語", "ok"]);
        assert_eq!(shown("x日y"), ["x", "日", "y"]);
        assert_eq!(shown("…—"), [""; 0]);
    }

    #[test]
    fn case_and_width_do_not_change_the_hash() {
        let hashes = |text| words(text).iter().map(|word| word.hash).collect::<Vec<_>>();
        assert_eq!(hashes("WORD Café cafe\u{301}"), hashes("ｗord café café"));
        assert_ne!(hashes("a b"), hashes("b a"));
        assert_ne!(gram(&words("a b")), gram(&words("b a")));
    }

    proptest! {
        #[test]
        fn words_lie_in_the_text_in_order_and_hold_no_separator(text in "\\PC{0,60}") {
            let found = words(&text);
            prop_assert!(found.windows(2).all(|pair| pair[0].end <= pair[1].start));
            for word in &found {
                let slice = text.get(word.range()).expect("on character boundaries");
                prop_assert!(!slice.is_empty() && slice.chars().all(|c| continues(c) || stands_alone(c)));
                prop_assert_eq!(words(slice)[0].hash, word.hash);
            }
        }
    }
}

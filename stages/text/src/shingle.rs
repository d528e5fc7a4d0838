//! What two texts are compared by: a normalised form and the set of its shingles.
//!
//! Normalised: NFKC, lower case, punctuation as space, whitespace folded. Shingles are runs of words, or of characters for
//! short texts; texts of one or two words have none and are compared exactly.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::record::Record;

/// The part of a record that is compared. System messages never count: whole data sets share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// What the user said.
    Prompt,
    /// What the assistant answered.
    Answer,
    /// Both.
    Both,
}

/// What becomes of digits in the normalised form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Digits {
    /// `5 apples` and `7 apples` are different texts.
    Keep,
    /// Every digit becomes 0, so that texts which differ in numbers only are equal.
    Zero,
}

/// How texts are cut into shingles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Shingling {
    /// Words in a shingle.
    pub n: usize,
    /// Texts with fewer words are cut into runs of characters.
    pub short_words: usize,
    /// Characters in a shingle of a short text.
    pub short_char_n: usize,
    /// What becomes of digits.
    pub digits: Digits,
}

impl Default for Shingling {
    fn default() -> Self {
        Self { n: 5, short_words: 20, short_char_n: 8, digits: Digits::Keep }
    }
}

/// The hashes of a text's shingles, sorted, each once.
pub type ShingleSet = Vec<u64>;

/// Returns the compared text of a record, one message a line.
pub fn text_of(record: &Record, part: Part) -> String {
    let mut text = String::new();
    for message in &record.messages {
        let wanted = match (part, message.role.as_str()) {
            (_, "system") => false,
            (Part::Both, _) => true,
            (Part::Answer, role) => role == "assistant",
            (Part::Prompt, role) => role != "assistant",
        };
        if wanted {
            text.push_str(&message.content);
            text.push('\n');
        }
    }
    text
}

/// Returns the normalised form: words with one space between them.
pub fn normalize(text: &str, digits: Digits) -> String {
    if text.is_ascii() {
        return fold(text.chars(), digits);
    }
    fold(text.nfkc(), digits)
}

fn fold(chars: impl Iterator<Item = char>, digits: Digits) -> String {
    let mut out = String::new();
    let mut gap = false;
    for c in chars.flat_map(char::to_lowercase) {
        if !c.is_alphanumeric() && !is_mark(c) {
            gap = !out.is_empty();
            continue;
        }
        if gap {
            out.push(' ');
            gap = false;
        }
        out.push(if digits == Digits::Zero && c.is_numeric() { '0' } else { c });
    }
    out
}

/// Combining marks belong to their letter; without them words of Indic scripts would fall apart.
fn is_mark(c: char) -> bool {
    unicode_normalization::char::is_combining_mark(c)
}

/// Returns the key under which exact duplicates meet.
pub fn exact_key(text: &str) -> u128 {
    xxh3_128(text.as_bytes())
}

/// Returns the shingles of a text in normalised form; empty for texts too short to compare but exactly.
pub fn shingles(normal: &str, how: &Shingling) -> ShingleSet {
    let words: Vec<&str> = normal.split(' ').filter(|word| !word.is_empty()).collect();
    let mut set = match words.len() {
        0..=2 => Vec::new(),
        count if count < how.short_words.max(how.n) => char_shingles(normal, how.short_char_n.max(1)),
        _ => word_shingles(&words, how.n.max(1)),
    };
    set.sort_unstable();
    set.dedup();
    set
}

fn word_shingles(words: &[&str], n: usize) -> ShingleSet {
    let hashes: Vec<u64> = words.iter().map(|word| xxh3_64(word.as_bytes())).collect();
    hashes.windows(n).map(|window| window.iter().fold(0, |all, word| mix(all ^ *word))).collect()
}

fn char_shingles(normal: &str, n: usize) -> ShingleSet {
    let starts: Vec<usize> = normal.char_indices().map(|(at, _)| at).chain([normal.len()]).collect();
    if starts.len() <= n {
        return vec![xxh3_64(normal.as_bytes())];
    }
    starts.windows(n + 1).filter_map(|w| normal.get(w[0]..w[n])).map(|piece| xxh3_64(piece.as_bytes())).collect()
}

/// A bijection that spreads every input bit over the output, so that word order matters.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (value ^ (value >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// Returns the share of shingles that two sets have in common: 0 for two empty sets.
pub fn jaccard(a: &[u64], b: &[u64]) -> f64 {
    let common = intersection(a, b);
    let union = a.len() + b.len() - common;
    if union == 0 { 0.0 } else { as_f64(common) / as_f64(union) }
}

/// Whether the Jaccard similarity reaches a threshold; gives up early when sizes alone rule it out.
pub fn is_near(a: &[u64], b: &[u64], threshold: f64) -> bool {
    let (small, large) = if a.len() < b.len() { (a, b) } else { (b, a) };
    !small.is_empty() && as_f64(small.len()) >= threshold * as_f64(large.len()) && jaccard(a, b) >= threshold
}

fn intersection(a: &[u64], b: &[u64]) -> usize {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut common = 0;
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        match x.cmp(y) {
            std::cmp::Ordering::Less => drop(a.next()),
            std::cmp::Ordering::Greater => drop(b.next()),
            std::cmp::Ordering::Equal => {
                common += 1;
                a.next();
                b.next();
            }
        }
    }
    common
}

#[expect(clippy::cast_precision_loss, reason = "sets of shingles are far below 2^52")]
fn as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn case_punctuation_and_width_do_not_matter() {
        assert_eq!(normalize("  Hello,\tWORLD！ ﬁne-tuned ", Digits::Keep), "hello world fine tuned");
        assert_eq!(normalize("Room 12", Digits::Keep), "room 12");
        assert_eq!(normalize("Room 12", Digits::Zero), "room 00");
    }

    #[test]
    fn word_order_matters() {
        let how = Shingling { short_words: 3, ..Shingling::default() };
        let a = shingles("one two three four five", &how);
        let b = shingles("five four three two one", &how);
        assert_eq!((a.len(), b.len()), (1, 1));
        assert_ne!(a, b);
    }

    #[test]
    fn very_short_texts_have_no_shingles() {
        assert!(shingles("thank you", &Shingling::default()).is_empty());
        assert_eq!(shingles("a b c", &Shingling::default()).len(), 1);
    }

    proptest! {
        #[test]
        fn jaccard_agrees_with_sets(a in prop::collection::btree_set(0..40u64, 0..30), b in prop::collection::btree_set(0..40u64, 0..30)) {
            let (left, right): (Vec<u64>, Vec<u64>) = (a.iter().copied().collect(), b.iter().copied().collect());
            let expected = if a.is_empty() && b.is_empty() { 0.0 } else { as_f64(a.intersection(&b).count()) / as_f64(a.union(&b).count()) };
            prop_assert!((jaccard(&left, &right) - expected).abs() < 1e-12);
            prop_assert_eq!(is_near(&left, &right, 0.5), !a.is_empty() && !b.is_empty() && expected >= 0.5);
        }
    }
}

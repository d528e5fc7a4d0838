//! What the model sees of a token: its word, ending, shape, and lists, and those of its neighbours.

use super::{lists, tokens::Token};

/// Features of one token.
pub(super) const FEATURES: usize = 30;

/// What is known of one token.
#[derive(Clone, Copy, Default)]
struct Facts {
    word: u32,
    prefix: u32,
    suffix2: u32,
    suffix3: u32,
    /// The shape with runs cut to two signs, such as `Xxx` for any capitalised word.
    shape: u32,
    lists: u32,
    /// Whether a line begins before it.
    opens: bool,
}

/// Tokens ready for the model.
pub(super) struct Sentence {
    facts: Vec<Facts>,
}

/// Two empty places before the first token and after the last.
const EDGE: usize = 2;

impl Sentence {
    /// Looks at tokens of a text.
    pub(super) fn of(text: &str, tokens: &[Token]) -> Self {
        let mut facts = vec![Facts::default(); EDGE];
        let mut buffer = String::new();
        let mut opens = true;
        for token in tokens {
            let word = text.get(token.start..token.end).unwrap_or_default();
            facts.push(Facts { opens, ..Facts::of(word, &mut buffer) });
            opens = word == "\n";
        }
        facts.extend([Facts::default(); EDGE]);
        Self { facts }
    }

    /// How many tokens there are.
    pub(super) fn len(&self) -> usize {
        self.facts.len() - 2 * EDGE
    }

    /// The features of a token, as hashes.
    pub(super) fn features(&self, at: usize) -> [u32; FEATURES] {
        let around: [Facts; 5] = std::array::from_fn(|offset| self.facts.get(at + offset).copied().unwrap_or_default());
        let [b2, b1, me, n1, n2] = around;
        let position = u32::from(me.opens);
        [
            mix(1, me.word, 0),
            mix(2, b1.word, 0),
            mix(3, n1.word, 0),
            mix(4, b2.word, 0),
            mix(5, n2.word, 0),
            mix(6, b1.word, me.shape),
            mix(7, me.shape, n1.word),
            mix(8, b2.word, b1.word),
            mix(9, n1.word, n2.word),
            mix(10, me.prefix, 0),
            mix(11, me.suffix2, me.shape),
            mix(12, me.suffix3, 0),
            mix(13, me.shape, position),
            mix(14, b1.shape, me.shape),
            mix(15, me.shape, n1.shape),
            mix(16, mix(0, b1.shape, me.shape), n1.shape),
            mix(17, mix(0, b2.shape, b1.shape), me.shape),
            mix(18, mix(0, me.shape, n1.shape), n2.shape),
            mix(19, me.lists, me.shape),
            mix(20, b1.lists, me.shape),
            mix(21, n1.lists, me.shape),
            mix(22, mix(0, b1.lists, me.lists), n1.lists),
            mix(23, b1.suffix3, me.shape),
            mix(24, n1.suffix3, me.shape),
            mix(25, b1.word, me.lists),
            mix(26, me.lists, n1.word),
            mix(27, mix(0, b2.word, b1.word), me.shape),
            mix(28, mix(0, b2.lists, b1.lists), me.shape),
            mix(29, mix(0, b2.shape, b1.word), me.shape),
            mix(30, 0, 0),
        ]
    }
}

impl Facts {
    fn of(word: &str, lower: &mut String) -> Self {
        lower.clear();
        if word.is_ascii() {
            lower.push_str(word);
            lower.make_ascii_lowercase();
        } else {
            lower.extend(word.chars().flat_map(char::to_lowercase));
        }
        let (shape, is_number) = shape(word);
        let whole = hash(lower);
        // Numbers of one length are one word, but years differ from others.
        let word = if is_number { number(lower) } else { whole };
        let tail = |count: usize| lower.char_indices().rev().nth(count - 1).map_or(whole, |(at, _)| hash(&lower[at..]));
        let head = lower.char_indices().nth(3).map_or(whole, |(at, _)| hash(&lower[..at]));
        Self {
            word,
            prefix: if is_number { word } else { head },
            suffix2: if is_number { word } else { tail(2) },
            suffix3: if is_number { word } else { tail(3) },
            shape,
            lists: u32::from(lists::lists_of(whole)),
            opens: false,
        }
    }
}

/// The class of a number: its length, and whether it can be a year, a month, or a day.
fn number(digits: &str) -> u32 {
    let value: u32 = digits.parse().unwrap_or(u32::MAX);
    let class = match (digits.len(), value) {
        (4, 1800..=2049) => 1,
        (1 | 2, 1..=12) => 2,
        (2, 13..=17) => 3,
        (2, 18..=31) => 4,
        (2, 32..=99) => 5,
        (3, _) => 6,
        (4, _) => 7,
        (5, _) => 8,
        (length, _) => 16 + u32::try_from(length.min(20)).unwrap_or_default(),
    };
    0x9e37_0000 + class
}

/// The hash of a word's shape, and whether it is a number.
fn shape(word: &str) -> (u32, bool) {
    let mut hash = 0x811c_9dc5_u32;
    let (mut last, mut run) = (0, 0_u32);
    let mut is_number = true;
    for c in word.chars() {
        let class = class(c);
        is_number &= class == b'0';
        run = if class == last { run + 1 } else { 1 };
        last = class;
        if run <= 2 || (class == b'0' && run <= 5) {
            hash = (hash ^ u32::from(class)).wrapping_mul(0x0100_0193);
        }
    }
    (hash, is_number)
}

/// Capital, small letter, digit, or the sign itself.
fn class(c: char) -> u8 {
    match c {
        'a'..='z' => b'x',
        'A'..='Z' => b'X',
        '0'..='9' => b'0',
        _ if c.is_ascii() => u8::try_from(c).unwrap_or(b'?'),
        _ if c.is_uppercase() => b'X',
        _ if c.is_alphabetic() => b'x',
        _ => b'?',
    }
}

/// FNV-1a over the bytes of a word.
pub(super) fn hash(word: &str) -> u32 {
    word.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Mixes two facts under the number of a feature.
fn mix(feature: u32, a: u32, b: u32) -> u32 {
    let mut mixed = a.wrapping_mul(0x85eb_ca6b) ^ b.rotate_left(13).wrapping_mul(0xc2b2_ae35) ^ feature.wrapping_mul(0x27d4_eb2f);
    mixed ^= mixed >> 15;
    mixed = mixed.wrapping_mul(0x2c1b_3c6d);
    mixed ^ (mixed >> 13)
}

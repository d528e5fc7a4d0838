//! A view of a text in which disguised characters are plain, with the way back to the source.

use std::sync::LazyLock;

use memchr::{memchr_iter, memchr3_iter, memmem};
use regex::Regex;
use unicode_normalization::UnicodeNormalization;

use super::Span;
use crate::clean::prose::{is_bidi, is_invisible};

/// A folded text; every byte knows the bytes of the source it stands for.
pub(super) struct Folded {
    text: String,
    origin: Vec<(usize, usize)>,
}

impl Folded {
    /// Folds a text; `None` when that changes nothing.
    pub(super) fn of(source: &str) -> Option<Self> {
        let plain = if source.is_ascii() || !source.chars().any(is_disguised) { None } else { Some(Self::characters(source)) };
        let base = plain.as_ref().map_or(source, |folded| &folded.text);
        let spelled = spelled_signs(base);
        if spelled.is_empty() {
            return plain.filter(|folded| folded.text != source);
        }
        let folded =
            plain.unwrap_or_else(|| Self { text: source.to_owned(), origin: (0..source.len()).map(|at| (at, at + 1)).collect() });
        Some(folded.with_signs(&spelled))
    }

    /// The folded text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Moves a span of the folded text to the source.
    pub(super) fn to_source(&self, mut span: Span) -> Span {
        let last = span.end.saturating_sub(1);
        let (start, end) = (self.origin.get(span.start), self.origin.get(last));
        if let (Some((start, _)), Some((_, end))) = (start, end) {
            (span.start, span.end) = (*start, *end);
        }
        span
    }

    fn characters(source: &str) -> Self {
        let mut folded = Self { text: String::with_capacity(source.len()), origin: Vec::with_capacity(source.len()) };
        for (at, c) in source.char_indices() {
            if c.is_ascii() {
                folded.push(c, (at, at + 1));
            } else if !(is_invisible(c) || is_bidi(c)) {
                for plain in std::iter::once(c).nfkc().map(look_alike) {
                    folded.push(plain, (at, at + c.len_utf8()));
                }
            }
        }
        folded
    }

    fn with_signs(&self, signs: &[Sign]) -> Self {
        let mut folded = Self { text: String::with_capacity(self.text.len()), origin: Vec::with_capacity(self.text.len()) };
        let mut at = 0;
        for sign in signs {
            folded.copy(self, at..sign.start);
            let origin = (self.origin[sign.start].0, self.origin[sign.end - 1].1);
            folded.push(sign.plain, origin);
            at = sign.end;
        }
        folded.copy(self, at..self.text.len());
        folded
    }

    fn copy(&mut self, from: &Self, range: std::ops::Range<usize>) {
        self.text.push_str(&from.text[range.clone()]);
        self.origin.extend_from_slice(&from.origin[range]);
    }

    fn push(&mut self, c: char, origin: (usize, usize)) {
        self.text.push(c);
        self.origin.extend(std::iter::repeat_n(origin, c.len_utf8()));
    }
}

/// An `@` or `.` that is spelled out.
struct Sign {
    start: usize,
    end: usize,
    plain: char,
}

/// Signs in brackets, and the words alone where both stand in one address.
fn spelled_signs(text: &str) -> Vec<Sign> {
    static WORDS: LazyLock<Regex> = LazyLock::new(|| compile(r"(?i)[\w.+\-]+(\s+at\s+)[\w\-]+((?:\s+dot\s+[\w\-]+)+)\b"));
    static DOT: LazyLock<Regex> = LazyLock::new(|| compile(r"(?i)\s+dot\s+"));
    let bytes = text.as_bytes();
    let mut signs: Vec<Sign> =
        memchr3_iter(b'[', b'(', b'{', bytes).chain(memchr_iter(b'<', bytes)).filter_map(|at| bracketed(text, at)).collect();
    let says_dot = ["dot ", "DOT ", "Dot "].iter().any(|word| memmem::find(bytes, word.as_bytes()).is_some());
    for found in says_dot.then(|| WORDS.captures_iter(text)).into_iter().flatten() {
        let (Some(at), Some(dots)) = (found.get(1), found.get(2)) else { continue };
        signs.push(Sign { start: at.start(), end: at.end(), plain: '@' });
        let dots_at =
            |dot: regex::Match<'_>| Sign { start: dots.start() + dot.start(), end: dots.start() + dot.end(), plain: '.' };
        signs.extend(DOT.find_iter(dots.as_str()).map(dots_at));
    }
    signs.sort_by_key(|sign| sign.start);
    signs.dedup_by(|later, earlier| later.start < earlier.end);
    signs
}

/// A sign or its name in brackets, with the spaces around.
fn bracketed(text: &str, open: usize) -> Option<Sign> {
    let rest = text.get(open + 1..)?;
    let word = rest.trim_start();
    let length = word.find(|c: char| c.is_whitespace() || matches!(c, ']' | ')' | '}' | '>'))?;
    let plain = match word.get(..length)?.to_lowercase().as_str() {
        "at" | "@" | "ät" => '@',
        "dot" | "." | "punkt" => '.',
        _ => return None,
    };
    let close = word.get(length..)?.trim_start();
    let after = close.strip_prefix([']', ')', '}', '>'])?.trim_start();
    let start = text.get(..open)?.trim_end().len();
    Some(Sign { start, end: text.len() - after.len(), plain })
}

/// Whether folding changes a character.
fn is_disguised(c: char) -> bool {
    !c.is_ascii()
        && (is_invisible(c) || is_bidi(c) || look_alike(c) != c || !unicode_normalization::is_nfkc(c.encode_utf8(&mut [0; 4])))
}

fn compile(regex: &str) -> Regex {
    Regex::new(regex).expect("patterns are constants that the tests compile")
}

/// The plain character that a character passes for.
fn look_alike(c: char) -> char {
    match c {
        'а' | 'α' | 'ɑ' => 'a',
        'в' | 'ƅ' | 'ь' => 'b',
        'с' | 'ϲ' | 'ᴄ' => 'c',
        'ԁ' => 'd',
        'е' | 'ё' | 'є' => 'e',
        'ɡ' => 'g',
        'һ' | 'ʜ' => 'h',
        'і' | 'ι' | 'ı' | 'ɩ' => 'i',
        'ј' => 'j',
        'к' | 'κ' => 'k',
        'ӏ' | 'ǀ' => 'l',
        'м' => 'm',
        'п' | 'ո' => 'n',
        'о' | 'ο' | 'σ' | 'օ' => 'o',
        'р' | 'ρ' => 'p',
        'ԛ' => 'q',
        'г' => 'r',
        'ѕ' => 's',
        'т' | 'τ' => 't',
        'υ' | 'ս' => 'u',
        'ν' | 'ѵ' => 'v',
        'ԝ' | 'ѡ' => 'w',
        'х' | 'χ' => 'x',
        'у' | 'γ' => 'y',
        'А' | 'Α' => 'A',
        'В' | 'Β' => 'B',
        'С' | 'Ϲ' => 'C',
        'Е' | 'Ε' | 'Ё' => 'E',
        'Н' | 'Η' => 'H',
        'І' | 'Ι' | 'Ӏ' => 'I',
        'Ј' => 'J',
        'К' | 'Κ' => 'K',
        'М' | 'Μ' => 'M',
        'Ν' => 'N',
        'О' | 'Ο' => 'O',
        'Р' | 'Ρ' => 'P',
        'Ѕ' => 'S',
        'Т' | 'Τ' => 'T',
        'Х' | 'Χ' => 'X',
        'Ү' | 'Υ' => 'Y',
        'Ζ' => 'Z',
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '\u{b7}' | '\u{2024}' | '\u{3002}' => '.',
        _ => decimal(c).unwrap_or(c),
    }
}

/// Zeros of the decimal digits of other scripts; nine digits follow each.
const ZEROS: [u32; 36] = [
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0, 0xf20, 0x1040,
    0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0,
    0xa9f0, 0xaa50, 0xabf0, 0x104a0,
];

fn decimal(c: char) -> Option<char> {
    let code = u32::from(c);
    let zero = ZEROS.iter().find(|zero| (**zero..**zero + 10).contains(&code))?;
    char::from_digit(code - zero, 10)
}

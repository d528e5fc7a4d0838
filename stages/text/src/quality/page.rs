//! A text taken apart once for every rule: its words, its lines, its paragraphs.

use std::collections::HashSet;

use crate::words::{Word, words};

/// A text and its parts.
pub(super) struct Page<'a> {
    pub(super) text: &'a str,
    pub(super) words: Vec<Word>,
}

impl<'a> Page<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, words: words(text) }
    }

    /// Lines that hold something.
    pub(super) fn lines(&self) -> impl Iterator<Item = &'a str> + Clone {
        self.text.lines().map(str::trim).filter(|line| !line.is_empty())
    }

    /// Stretches between empty lines.
    pub(super) fn paragraphs(&self) -> impl Iterator<Item = &'a str> + Clone {
        self.text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty())
    }

    /// Words that hold a letter.
    pub(super) fn words_with_letters(&self) -> usize {
        let has_letter = |word: &&Word| self.text[word.range()].bytes().any(|byte| byte.is_ascii_alphabetic() || byte >= 0x80);
        self.words.iter().filter(has_letter).count()
    }

    /// The share of letters among all characters that are not whitespace.
    pub(super) fn letters(&self) -> f64 {
        let (letters, all) = self.text.chars().filter(|c| !c.is_whitespace()).fold((0, 0), |(letters, all), c| {
            let is_letter = c.is_alphabetic() || unicode_normalization::char::is_combining_mark(c);
            (letters + usize::from(is_letter), all + 1)
        });
        ratio(letters, all)
    }

    /// Whether it looks like code or mathematics, which follow no rule of prose.
    pub(super) fn is_formal(&self) -> bool {
        let marks = self
            .text
            .bytes()
            .filter(|byte| matches!(byte, b'{' | b'}' | b';' | b'=' | b'<' | b'>' | b'\\' | b'$' | b'+' | b'*' | b'/' | b'^'));
        self.text.contains("```") || marks.count() * 33 >= self.text.len().max(1)
    }
}

/// How much of a list of pieces are repeats of earlier ones: the share of pieces, and the share of bytes of the text.
pub(super) fn repeats<'a>(pieces: impl Iterator<Item = &'a str>, bytes: usize) -> (f64, f64) {
    let mut seen = HashSet::new();
    let (mut count, mut again, mut again_bytes) = (0, 0, 0);
    for piece in pieces {
        count += 1;
        if !seen.insert(piece) {
            again += 1;
            again_bytes += piece.len();
        }
    }
    (ratio(again, count), ratio(again_bytes, bytes))
}

/// A share; none of nothing is none.
#[expect(clippy::cast_precision_loss, reason = "lengths of texts are far below 2^52")]
pub(super) fn ratio(part: usize, all: usize) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

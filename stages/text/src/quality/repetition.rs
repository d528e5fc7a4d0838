//! How much a text repeats itself: lines, paragraphs, and runs of words (Rae et al. 2021, table A1).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Action,
    page::{Page, ratio, repeats},
};
use crate::words::gram;

/// Limits on repetition. Texts with fewer words than `min_words` are not judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Repetition {
    /// Shorter texts are not judged.
    pub min_words: usize,
    /// The largest share of lines that repeat an earlier one.
    pub dup_line: f64,
    /// The largest share of characters in such lines.
    pub dup_line_chars: f64,
    /// The largest share of paragraphs that repeat an earlier one.
    pub dup_paragraph: f64,
    /// The largest share of characters in such paragraphs.
    pub dup_paragraph_chars: f64,
    /// The largest share of characters in the most frequent run of 2, 3, and 4 words.
    pub top_ngrams: [f64; 3],
    /// The largest share of characters in repeated runs of 5 to 10 words.
    pub dup_ngrams: [f64; 6],
    /// What becomes of a row beyond a limit.
    pub action: Action,
}

impl Default for Repetition {
    fn default() -> Self {
        Self {
            min_words: 50,
            dup_line: 0.3,
            dup_line_chars: 0.2,
            dup_paragraph: 0.3,
            dup_paragraph_chars: 0.2,
            top_ngrams: [0.20, 0.18, 0.16],
            dup_ngrams: [0.15, 0.14, 0.13, 0.12, 0.11, 0.10],
            action: Action::Drop,
        }
    }
}

impl Repetition {
    /// Whether a page keeps every limit.
    pub(super) fn allows(&self, page: &Page<'_>) -> bool {
        page.words.len() < self.min_words || (self.allows_pieces(page) && self.allows_grams(page))
    }

    /// Whether an answer keeps every limit that makes sense for it: code and calculations repeat their words by nature.
    pub(super) fn allows_answer(&self, page: &Page<'_>) -> bool {
        page.words.len() < self.min_words || (self.allows_pieces(page) && (page.is_formal() || self.allows_grams(page)))
    }

    fn allows_pieces(&self, page: &Page<'_>) -> bool {
        let bytes = page.text.len();
        let (lines, line_bytes) = repeats(page.lines(), bytes);
        let (paragraphs, paragraph_bytes) = repeats(page.paragraphs(), bytes);
        lines <= self.dup_line
            && line_bytes <= self.dup_line_chars
            && paragraphs <= self.dup_paragraph
            && paragraph_bytes <= self.dup_paragraph_chars
    }

    fn allows_grams(&self, page: &Page<'_>) -> bool {
        let mut table = Counts::for_grams(page.words.len());
        let top = self.top_ngrams.iter().zip(2..).all(|(most, n)| table.top(page, n) <= *most);
        top && self.dup_ngrams.iter().zip(5..).all(|(most, n)| table.repeated(page, n) <= *most)
    }
}

/// Counts of hashes in open addressing, used again for every length of run.
struct Counts {
    slots: Vec<(u64, u32)>,
}

impl Counts {
    fn for_grams(words: usize) -> Self {
        Self { slots: vec![(0, 0); (2 * words.max(8)).next_power_of_two()] }
    }

    fn clear(&mut self) {
        self.slots.fill((0, 0));
    }

    /// Counts a hash and returns how often it has been seen.
    fn add(&mut self, hash: u64) -> u32 {
        let mask = self.slots.len() - 1;
        let mut at = usize::try_from(hash & mask as u64).unwrap_or(0);
        // The table is twice as large as the number of runs, so that a free slot is always found.
        while let Some((key, count)) = self.slots.get_mut(at) {
            if *count == 0 || *key == hash {
                *key = hash;
                *count += 1;
                return *count;
            }
            at = (at + 1) & mask;
        }
        0
    }

    /// The share of characters in the most frequent run of `n` words; 0 when none comes twice.
    fn top(&mut self, page: &Page<'_>, n: usize) -> f64 {
        self.clear();
        let (mut most, mut bytes) = (1, 0);
        for run in page.words.windows(n) {
            let count = self.add(gram(run)) as usize;
            let length = run_bytes(run);
            if count > most || (count == most && count > 1 && length > bytes) {
                (most, bytes) = (count, length);
            }
        }
        ratio(if most > 1 { most * bytes } else { 0 }, page.text.len())
    }

    /// The share of characters in runs of `n` words that stood before; a run that counts is passed over as a whole.
    fn repeated(&mut self, page: &Page<'_>, n: usize) -> f64 {
        self.clear();
        let (mut at, mut bytes) = (0, 0);
        while let Some(run) = page.words.get(at..at + n) {
            if self.add(gram(run)) > 1 {
                bytes += run_bytes(run);
                at += n;
            } else {
                at += 1;
            }
        }
        ratio(bytes, page.text.len())
    }
}

fn run_bytes(run: &[crate::words::Word]) -> usize {
    run.last().map_or(0, |last| last.end) - run.first().map_or(0, |first| first.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varied(words: usize) -> String {
        (0..words).map(|at| format!("word{at}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn varied_text_and_short_text_pass() {
        assert!(Repetition::default().allows(&Page::new(&varied(200))));
        assert!(Repetition::default().allows(&Page::new(&"same ".repeat(49))));
    }

    #[test]
    fn each_kind_of_repetition_is_found() {
        let text = varied(100);
        for bad in [
            format!("{text}\n{}", "an often repeated line of text\n".repeat(20)),
            format!("{text}\n\n{text}\n\n{text}"),
            format!("{text} {}", "very good ".repeat(60)),
            format!("{text} {} {}", varied(40), varied(40)),
        ] {
            assert!(!Repetition::default().allows(&Page::new(&bad)), "{bad}");
        }
    }

    #[test]
    fn shares_are_exact() {
        let page = Page::new("a b c a b d");
        let mut table = Counts::for_grams(page.words.len());
        assert!((table.top(&page, 2) - 6.0 / 11.0).abs() < 1e-12);
        assert!((table.repeated(&page, 2) - 3.0 / 11.0).abs() < 1e-12);
        assert!(table.repeated(&page, 5).abs() < 1e-12);
    }
}

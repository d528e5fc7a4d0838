//! Finds items of evaluation sets in training text: word for word, with words edited, or inside a longer text.
//!
//! Runs of four words (three for short items) propose an item, and an alignment of the item with the text around them
//! decides: the share of the item's words that stand there in the same order, each weighted by how rare it is among all
//! items. So a shared template is no hit, and no hash can cause one. Items of fewer than [`Options::short_n`] words are
//! asked for word for word together with their answer.

mod align;
mod item;
mod seeds;

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use item::{Item, ItemId};

use crate::words::{Word, words};
use item::{Length, Prepared, Weights};
use seeds::Seeds;

/// What counts as a hit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Words from which on an item is long.
    pub n: usize,
    /// Words from which on an item is aligned; shorter ones are asked for word for word, together with their answer.
    pub short_n: usize,
    /// The least weighted share of a long item's words.
    pub min_coverage: f64,
    /// The least weighted share of the words of an item that is not long.
    pub short_coverage: f64,
    /// Words around the shortest items within which their answer must stand.
    pub answer_window: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { n: 13, short_n: 8, min_coverage: 0.7, short_coverage: 0.75, answer_window: 50 }
    }
}

/// An item found in a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// Which item.
    pub item: ItemId,
    /// The weighted share of its words that were found.
    pub coverage: f64,
    /// Where, in bytes of the text.
    pub span: Range<usize>,
}

/// The items of all evaluation sets, ready to be looked for.
pub struct Index {
    items: Vec<Prepared>,
    seeds: Seeds,
    options: Options,
}

impl Index {
    /// Prepares items.
    pub fn new(items: &[Item], options: Options) -> Self {
        let weights = Weights::of(items);
        let items: Vec<Prepared> = items.iter().map(|item| Prepared::new(item, &weights, &options)).collect();
        let seeds = Seeds::new(&items);
        Self { items, seeds, options }
    }

    /// The items that are too short to be told from chance.
    pub fn unsearchable(&self) -> Vec<ItemId> {
        self.items.iter().filter(|item| item.length == Length::None).map(|item| item.id).collect()
    }

    /// Finds every item that a text holds, each where it covers best; in order of items.
    pub fn find(&self, text: &str) -> Vec<Hit> {
        let words = words(text);
        let candidates = self.seeds.candidates(&words, &self.items);
        let hits = candidates.into_iter().filter_map(|(at, starts)| self.verify(self.items.get(at)?, &starts, &words));
        hits.collect()
    }

    fn verify(&self, item: &Prepared, starts: &[isize], words: &[Word]) -> Option<Hit> {
        let (covered, threshold) = match item.length {
            Length::None => return None,
            Length::Tiny => (item.beside_answer(starts, words, self.options.answer_window)?, 1.0),
            Length::Short => (align::best(item, starts, words)?, self.options.short_coverage),
            Length::Long => (align::best(item, starts, words)?, self.options.min_coverage),
        };
        // A sum of weights that are all there may fall short of their total by the last bit.
        (covered.coverage >= threshold - 1e-9).then_some(Hit { item: item.id, coverage: covered.coverage, span: covered.span })
    }
}

/// How much of an item a text covers, and where.
pub(crate) struct Covered {
    coverage: f64,
    span: Range<usize>,
}

#[cfg(test)]
mod tests;

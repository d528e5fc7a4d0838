//! Items of evaluation sets, cut into words with weights.

use std::collections::{HashMap, HashSet};

use super::{Covered, Options};
use crate::words::{Word, words};

/// Names an item: the set it belongs to and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ItemId {
    /// The number of the set.
    pub set: usize,
    /// The number of the item in the set.
    pub item: usize,
}

/// An item as an evaluation set holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name.
    pub id: ItemId,
    /// What is asked.
    pub question: String,
    /// What is expected, if that is known.
    pub answer: Option<String>,
}

/// How an item is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// Not at all: chance would find it everywhere.
    None,
    /// Word for word, with its answer near by.
    Tiny,
    /// Aligned, with a high threshold.
    Short,
    /// Aligned.
    Long,
}

/// Words of an item, at most: longer ones are known by their beginning.
const MOST_WORDS: usize = 1_000;
/// Words below which not even an answer near by makes an item more than chance.
const LEAST_WORDS: usize = 3;

/// How rare every word is among the items.
pub(super) struct Weights {
    items_with: HashMap<u64, usize>,
    items: usize,
}

impl Weights {
    pub(super) fn of(items: &[Item]) -> Self {
        let mut items_with = HashMap::new();
        for item in items {
            let distinct: HashSet<u64> = words(&item.question).iter().map(|word| word.hash).collect();
            #[expect(clippy::iter_over_hash_type, reason = "counts do not depend on the order")]
            for hash in distinct {
                *items_with.entry(hash).or_default() += 1;
            }
        }
        Self { items_with, items: items.len() }
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers of items are far below 2^52")]
    fn of_word(&self, hash: u64) -> f64 {
        let with = self.items_with.get(&hash).copied().unwrap_or(1).max(1);
        (1.0 + self.items as f64 / with as f64).ln()
    }
}

/// An item ready to be looked for.
pub(super) struct Prepared {
    pub(super) id: ItemId,
    pub(super) length: Length,
    pub(super) hashes: Vec<u64>,
    pub(super) weights: Vec<f64>,
    answer: Vec<u64>,
}

impl Prepared {
    pub(super) fn new(item: &Item, weights: &Weights, options: &Options) -> Self {
        let hashes_of = |text: &str| words(text).iter().take(MOST_WORDS).map(|word| word.hash).collect::<Vec<u64>>();
        let hashes = hashes_of(&item.question);
        let answer = item.answer.as_deref().map(hashes_of).unwrap_or_default();
        let length = match hashes.len() {
            count if count >= options.n.max(options.short_n) => Length::Long,
            count if count >= options.short_n => Length::Short,
            count if count >= LEAST_WORDS && !answer.is_empty() => Length::Tiny,
            _ => Length::None,
        };
        let weights = hashes.iter().map(|hash| weights.of_word(*hash)).collect();
        Self { id: item.id, length, hashes, weights, answer }
    }

    /// Words of the runs that propose it.
    pub(super) fn seed(&self) -> usize {
        match self.length {
            Length::None => 0,
            Length::Tiny => self.hashes.len(),
            Length::Short => self.hashes.len().min(3),
            Length::Long => self.hashes.len().min(4),
        }
    }

    /// Runs that must be found before it is aligned: an eighth, where one in three would still be there after many edits.
    pub(super) fn seeds_needed(&self) -> usize {
        (self.hashes.len().saturating_sub(self.seed()) / 8).max(1)
    }

    /// Finds the item with its answer at most so many words before or after.
    pub(super) fn beside_answer(&self, starts: &[isize], words: &[Word], window: usize) -> Option<Covered> {
        starts.iter().find_map(|start| {
            let start = usize::try_from(*start).ok()?;
            let end = start + self.hashes.len();
            let after = words.get(end..)?;
            let before = words.get(start.saturating_sub(window + self.answer.len())..start)?;
            let near = [before, after.get(..window + self.answer.len()).unwrap_or(after)];
            let holds = |stretch: &[Word]| {
                stretch.windows(self.answer.len()).any(|run| run.iter().map(|word| word.hash).eq(self.answer.iter().copied()))
            };
            let span = words.get(start)?.start..words.get(end.checked_sub(1)?)?.end;
            near.into_iter().any(holds).then_some(Covered { coverage: 1.0, span })
        })
    }
}

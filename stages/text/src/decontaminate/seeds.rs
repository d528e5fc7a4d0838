//! Which items a text may hold: runs of words that both have.

use std::collections::{BTreeMap, HashMap};

use super::item::{Length, Prepared};
use crate::words::{Word, gram, mix};

/// Items that one run of words proposes at most; a run that more items share tells little.
const MOST_ITEMS: usize = 24;

/// A place of a run of words in an item.
#[derive(Clone, Copy)]
struct Place {
    item: usize,
    at: usize,
}

/// Places by the hash of their run, for every length of run.
pub(super) struct Seeds {
    by_length: BTreeMap<usize, HashMap<u64, Vec<Place>>>,
}

impl Seeds {
    pub(super) fn new(items: &[Prepared]) -> Self {
        let mut by_length: BTreeMap<usize, HashMap<u64, Vec<Place>>> = BTreeMap::new();
        for (item, prepared) in items.iter().enumerate().filter(|(_, prepared)| prepared.length != Length::None) {
            let places = by_length.entry(prepared.seed()).or_default();
            let mut is_listed = false;
            let runs: Vec<u64> = prepared.hashes.windows(prepared.seed()).map(gram_of).collect();
            for (at, run) in runs.iter().enumerate() {
                let list = places.entry(*run).or_default();
                if list.len() < MOST_ITEMS {
                    list.push(Place { item, at });
                    is_listed = true;
                }
            }
            // An item made of nothing but common runs can still be found by the first.
            if let Some(run) = runs.first().filter(|_| !is_listed) {
                places.entry(*run).or_default().push(Place { item, at: 0 });
            }
        }
        Self { by_length }
    }

    /// Returns the items that enough runs propose, with the places in the text where they would start.
    pub(super) fn candidates(&self, words: &[Word], items: &[Prepared]) -> BTreeMap<usize, Vec<isize>> {
        let mut starts: BTreeMap<usize, Vec<isize>> = BTreeMap::new();
        for (length, places) in &self.by_length {
            for (from, run) in words.windows(*length).enumerate() {
                for place in places.get(&gram(run)).into_iter().flatten() {
                    let start = from.cast_signed() - place.at.cast_signed();
                    starts.entry(place.item).or_default().push(start);
                }
            }
        }
        starts.retain(|item, starts| items.get(*item).is_some_and(|item| starts.len() >= item.seeds_needed().min(MOST_ITEMS)));
        starts
    }
}

/// The same hash as [`gram`] of words with these hashes.
fn gram_of(hashes: &[u64]) -> u64 {
    hashes.iter().fold(0, |all, hash| mix(all ^ hash))
}

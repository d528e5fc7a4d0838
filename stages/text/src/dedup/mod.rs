//! Near-duplicates: `MinHash` signatures, bands to find candidates, exact Jaccard similarity to confirm them.
//!
//! Whatever the bands propose is verified, so a reported pair is never wrong; 32 bands of 4 rows miss about 1 in 10^7 pairs
//! at a similarity of 0.8. Rows are named by their position, and the result depends on their order alone.

mod minhash;

use std::collections::HashMap;

use rayon::prelude::*;

pub use minhash::{BANDS, HASHES};
use minhash::{BandKeys, MinHasher};

use crate::shingle::{ShingleSet, is_near};

/// The shingle sets of rows, ready to be searched for near-duplicates.
pub struct Neighbours {
    sets: Vec<ShingleSet>,
    keys: Vec<BandKeys>,
    threshold: f64,
}

/// Whether later rows shall meet a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// They shall.
    Open,
    /// They shall not.
    Closed,
}

/// Two rows whose similarity reaches the threshold; `first < second`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NearPair {
    /// The earlier row.
    pub first: usize,
    /// The later row.
    pub second: usize,
}

impl Neighbours {
    /// Computes the signatures of all sets, in parallel.
    pub fn new(sets: Vec<ShingleSet>, threshold: f64) -> Self {
        let hasher = MinHasher::new();
        let keys = sets.par_iter().map(|set| hasher.band_keys(set)).collect();
        Self { sets, keys, threshold }
    }

    /// Returns for every row the earlier row it duplicates, if any.
    ///
    /// Clusters are stars: a duplicate is near its keeper itself, so similarity never drifts along a chain. A keeper is
    /// the first row of its cluster and duplicates none.
    pub fn keepers(&self) -> Vec<Option<usize>> {
        let mut keepers = vec![None; self.sets.len()];
        self.walk(|row, candidates| {
            let keeper = candidates.iter().copied().find(|other| self.near(row, *other));
            keepers[row] = keeper;
            if keeper.is_some() { Entry::Closed } else { Entry::Open }
        });
        keepers
    }

    /// Returns for every row the first row of its connected component: rows joined by chains of near-duplicates.
    pub fn components(&self) -> Vec<usize> {
        let mut forest = Forest::new(self.sets.len());
        self.walk(|row, candidates| {
            for other in candidates {
                if forest.root(row) != forest.root(*other) && self.near(row, *other) {
                    forest.join(row, *other);
                }
            }
            Entry::Open
        });
        (0..self.sets.len()).map(|row| forest.root(row)).collect()
    }

    /// Returns the near pairs whose rows lie in different parts, at most `limit` of them.
    pub fn pairs_across<P: PartialEq>(&self, part: &[P], limit: usize) -> Vec<NearPair> {
        let mut pairs = Vec::new();
        self.walk(|row, candidates| {
            for other in candidates {
                if pairs.len() < limit && part[row] != part[*other] && self.near(row, *other) {
                    pairs.push(NearPair { first: *other, second: row });
                }
            }
            Entry::Open
        });
        pairs
    }

    fn near(&self, a: usize, b: usize) -> bool {
        is_near(&self.sets[a], &self.sets[b], self.threshold)
    }

    /// Visits rows in order, each with the earlier open rows that share a band with it, ascending.
    fn walk(&self, mut visit: impl FnMut(usize, &[usize]) -> Entry) {
        let mut buckets: Vec<HashMap<u64, Vec<usize>>> = vec![HashMap::new(); BANDS];
        let mut candidates = Vec::new();
        for (row, keys) in self.keys.iter().enumerate() {
            let Some(keys) = keys else { continue };
            candidates.clear();
            for (bucket, key) in buckets.iter().zip(keys) {
                candidates.extend(bucket.get(key).into_iter().flatten());
            }
            candidates.sort_unstable();
            candidates.dedup();
            if visit(row, &candidates) == Entry::Open {
                for (bucket, key) in buckets.iter_mut().zip(keys) {
                    bucket.entry(*key).or_default().push(row);
                }
            }
        }
    }
}

/// Disjoint sets of rows; the root of a set is its first row.
pub struct Forest {
    parent: Vec<usize>,
}

impl Forest {
    /// Every row alone.
    pub fn new(rows: usize) -> Self {
        Self { parent: (0..rows).collect() }
    }

    /// Returns the first row of the set that holds a row.
    pub fn root(&mut self, row: usize) -> usize {
        let mut at = row;
        while self.parent[at] != at {
            self.parent[at] = self.parent[self.parent[at]];
            at = self.parent[at];
        }
        at
    }

    /// Makes one set of two.
    pub fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parent[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::shingle::{Shingling, jaccard, shingles};

    fn sets(texts: &[&str]) -> Vec<ShingleSet> {
        texts.iter().map(|text| shingles(text, &Shingling::default())).collect()
    }

    const LONG: &str = "the printer on the third floor has been offline since monday morning and nobody from the office team can send any \
                        document to it even after a restart of both the printer and the print server in the basement";

    #[test]
    fn near_duplicates_meet_and_others_do_not() {
        let near = LONG.replace("monday", "tuesday");
        let far = "our invoice for march shows a second subscription that we never ordered please cancel it and send the money back to \
                   the account we paid from thank you very much for your quick help with this";
        let index = Neighbours::new(sets(&[LONG, far, &near, LONG, "ok"]), 0.7);
        assert_eq!(index.keepers(), [None, None, Some(0), Some(0), None]);
        assert_eq!(index.components(), [0, 1, 0, 0, 4]);
        let across = index.pairs_across(&['a', 'a', 'b', 'a', 'a'], 10);
        assert_eq!(across, [NearPair { first: 0, second: 2 }, NearPair { first: 2, second: 3 }]);
    }

    #[test]
    fn clusters_do_not_drift_along_a_chain() {
        let set = |from: u64| (from..from + 100).collect::<ShingleSet>();
        // 0-1 and 1-2 are near (100/110 of shingles shared), 0-2 are not at this threshold.
        let index = Neighbours::new(vec![set(0), set(8), set(16)], 0.8);
        assert_eq!(index.keepers(), [None, Some(0), None]);
        assert_eq!(index.components(), [0, 0, 0]);
    }

    #[test]
    fn recall_on_planted_pairs_is_high() {
        let planted = 500;
        let mut sets = Vec::new();
        for pair in 0..planted {
            let base = pair * 1_000;
            sets.push((base..base + 90).collect::<ShingleSet>());
            sets.push((base + 9..base + 99).collect()); // 81 of 99 shared
        }
        let found = Neighbours::new(sets, 0.8).keepers().into_iter().flatten().count();
        assert_eq!(found as u64, planted);
    }

    proptest! {
        #[test]
        fn every_duplicate_is_near_its_keeper_and_threads_do_not_matter(
            sets in prop::collection::vec(prop::collection::btree_set(0..30u64, 0..12), 0..40),
        ) {
            let sets: Vec<ShingleSet> = sets.into_iter().map(|set| set.into_iter().collect()).collect();
            let on = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| Neighbours::new(sets.clone(), 0.6).keepers())
            };
            let keepers = on(1);
            for (row, keeper) in keepers.iter().enumerate() {
                if let Some(keeper) = keeper {
                    prop_assert!(*keeper < row && keepers[*keeper].is_none());
                    prop_assert!(jaccard(&sets[row], &sets[*keeper]) >= 0.6);
                }
            }
            prop_assert_eq!(on(2), keepers);
        }
    }
}

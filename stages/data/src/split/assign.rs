//! Which part every group goes to.

use std::collections::{BTreeMap, HashMap};

use flow_text::{
    dedup::{Forest, Neighbours},
    shingle::ShingleSet,
};
use xxhash_rust::xxh3::xxh3_64;

use super::{Join, Key, Part, Ratios, SplitConfig};
use crate::tally::as_f64;

/// The groups of all rows and where they go.
pub(super) struct Groups {
    /// Group of every row.
    group: Vec<usize>,
    /// Key of every group.
    names: Vec<String>,
    /// Part of every row; none for a dropped one.
    parts: Vec<Option<Part>>,
}

/// One group while it is placed.
struct Candidate {
    rows: Vec<usize>,
    place: u64,
    held_out: bool,
    stratum: String,
}

impl Groups {
    /// Places every group.
    pub(super) fn assign(keys: &[Key], config: &SplitConfig, seed: u64) -> Self {
        let (group, names) = group_rows(keys, config);
        let mut candidates: Vec<Candidate> = names.iter().map(|name| Candidate::new(name, seed)).collect();
        for (row, key) in keys.iter().enumerate() {
            let candidate = &mut candidates[group[row]];
            if candidate.rows.is_empty() {
                candidate.stratum.clone_from(&key.stratum);
            }
            candidate.held_out |= key.held_out;
            candidate.rows.push(row);
        }
        let mut groups = Self { group, names, parts: vec![None; keys.len()] };
        groups.place(&candidates, config);
        groups
    }

    fn place(&mut self, candidates: &[Candidate], config: &SplitConfig) {
        let into = config.hold_out.as_ref().map(|hold| hold.into);
        let (held, free): (Vec<&Candidate>, Vec<&Candidate>) = candidates.iter().partition(|candidate| candidate.held_out);
        if let Some(part) = into {
            for candidate in held {
                self.put(candidate, part);
            }
        }
        if config.stratify_by.is_empty() {
            for candidate in free {
                self.put(candidate, by_hash(candidate.place, &config.ratios));
            }
            return;
        }
        let mut strata: BTreeMap<&str, Vec<&Candidate>> = BTreeMap::new();
        for candidate in free {
            strata.entry(&candidate.stratum).or_default().push(candidate);
        }
        for stratum in strata.into_values() {
            for (candidate, part) in by_deficit(stratum, &config.ratios) {
                self.put(candidate, part);
            }
        }
    }

    fn put(&mut self, candidate: &Candidate, part: Part) {
        for row in &candidate.rows {
            self.parts[*row] = Some(part);
        }
    }

    /// The part of every row, none for a dropped one.
    pub(super) fn parts(&self) -> &[Option<Part>] {
        &self.parts
    }

    /// The number of groups.
    pub(super) fn count(&self) -> u64 {
        self.names.len() as u64
    }

    /// The number of rows in a part.
    pub(super) fn rows_in(&self, part: Part) -> u64 {
        self.parts.iter().filter(|of| **of == Some(part)).count() as u64
    }

    /// The group of a row.
    pub(super) fn of(&self, row: usize) -> usize {
        self.group[row]
    }

    /// The number of groups with rows in a part.
    pub(super) fn groups_in(&self, part: Part) -> usize {
        let mut present = vec![false; self.names.len()];
        for (row, group) in self.group.iter().enumerate() {
            present[*group] |= self.parts[row] == Some(part);
        }
        present.into_iter().filter(|present| *present).count()
    }

    /// Key, part, and rows of the largest groups.
    pub(super) fn largest(&self, count: usize) -> Vec<(&str, Option<Part>, u64)> {
        let mut sizes: Vec<(&str, Option<Part>, u64)> = self.names.iter().map(|name| (name.as_str(), None, 0)).collect();
        for (row, group) in self.group.iter().enumerate() {
            sizes[*group].1 = sizes[*group].1.or(self.parts[row]);
            sizes[*group].2 += 1;
        }
        sizes.sort_by(|a, b| b.2.cmp(&a.2).then(a.0.cmp(b.0)));
        sizes.truncate(count);
        sizes
    }

    /// Drops a row.
    pub(super) fn drop_row(&mut self, row: usize) {
        self.parts[row] = None;
    }

    /// Moves a group.
    pub(super) fn move_group(&mut self, group: usize, part: Part) {
        for (row, of) in self.group.iter().enumerate() {
            if *of == group {
                self.parts[row] = Some(part);
            }
        }
    }
}

impl Candidate {
    fn new(name: &str, seed: u64) -> Self {
        let bytes: Vec<u8> = seed.to_le_bytes().into_iter().chain(name.bytes()).collect();
        Self { rows: Vec::new(), place: xxh3_64(&bytes), held_out: false, stratum: String::new() }
    }
}

/// Returns the group of every row and the key of every group, in order of first appearance.
fn group_rows(keys: &[Key], config: &SplitConfig) -> (Vec<usize>, Vec<String>) {
    let mut forest = Forest::new(keys.len());
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (row, key) in keys.iter().enumerate() {
        forest.join(row, *first.entry(&key.group).or_insert(row));
    }
    if config.join_groups.contains(&Join::FuzzyCluster) {
        join_near(keys, config, &mut forest);
    }
    let mut index: HashMap<usize, usize> = HashMap::new();
    let mut names: Vec<String> = Vec::new();
    let group = keys.iter().enumerate().map(|(row, key)| {
        let at = *index.entry(forest.root(row)).or_insert_with(|| {
            names.push(key.group.clone());
            names.len() - 1
        });
        // The least key names a joined group, whatever the order of rows.
        if key.group < names[at] {
            names[at].clone_from(&key.group);
        }
        at
    });
    (group.collect(), names)
}

fn join_near(keys: &[Key], config: &SplitConfig, forest: &mut Forest) {
    let threshold = config.leak_check.fuzzy.map_or(0.8, flow_engine::Fraction::get);
    let sets: Vec<ShingleSet> = keys.iter().map(|key| key.set.clone()).collect();
    for (row, root) in Neighbours::new(sets, threshold).components().into_iter().enumerate() {
        forest.join(row, root);
    }
    let mut first: HashMap<u128, usize> = HashMap::new();
    for (row, key) in keys.iter().enumerate() {
        forest.join(row, *first.entry(key.exact).or_insert(row));
    }
}

/// The part whose stretch of the unit interval a hash falls into.
fn by_hash(place: u64, ratios: &Ratios) -> Part {
    let place = as_f64(place >> 11) / as_f64(1 << 53);
    let mut end = 0.0;
    for part in Part::ALL {
        end += ratios.of(part);
        if place < end {
            return part;
        }
    }
    // Rounding may leave the sum a hair below 1: the last part that takes anything takes the rest.
    Part::ALL.into_iter().rev().find(|part| ratios.of(*part) > 0.0).unwrap_or(Part::Train)
}

/// Gives each group of a stratum to the part that lacks most, large groups first, then by hash.
fn by_deficit<'a>(mut stratum: Vec<&'a Candidate>, ratios: &Ratios) -> Vec<(&'a Candidate, Part)> {
    let total: usize = stratum.iter().map(|candidate| candidate.rows.len()).sum();
    let size = |candidate: &Candidate| if candidate.rows.len() * 100 > total { candidate.rows.len() } else { 0 };
    stratum.sort_by_key(|candidate| (std::cmp::Reverse(size(candidate)), candidate.place));
    let mut missing = Part::ALL.map(|part| ratios.of(part) * as_f64(total as u64));
    let mut placed = Vec::new();
    for candidate in stratum {
        let open = Part::ALL.into_iter().filter(|part| ratios.of(*part) > 0.0);
        let part =
            open.max_by(|a, b| missing[*a as usize].total_cmp(&missing[*b as usize]).then(b.cmp(a))).unwrap_or(Part::Train);
        missing[part as usize] -= as_f64(candidate.rows.len() as u64);
        placed.push((candidate, part));
    }
    placed
}

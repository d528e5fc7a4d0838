//! Rows on both sides: looked for, settled as asked, and looked for again.

use std::collections::{BTreeMap, HashMap};

use flow_engine::{Fraction, StageError};
use flow_text::{dedup::Neighbours, shingle::ShingleSet};

use super::{Key, OnLeak, Part, SplitConfig, assign::Groups};

/// What was found and what is left.
pub(super) struct Leaks {
    /// By kind: before anything was done, and afterwards.
    pub(super) counts: BTreeMap<&'static str, (u64, u64)>,
}

/// Two rows that are alike but lie in different parts.
#[derive(Clone, Copy)]
struct Leak {
    kind: &'static str,
    rows: [usize; 2],
}

/// Finds leaks; the search structure is built once.
struct Search<'a> {
    keys: &'a [Key],
    near: Option<Neighbours>,
    exact: bool,
}

impl Leaks {
    /// Looks for leaks and settles them; the result has none, else it is an error.
    pub(super) fn settle(keys: &[Key], groups: &mut Groups, config: &SplitConfig) -> Result<Self, StageError> {
        let search = Search::new(keys, config);
        let found = search.leaks(groups);
        let mut counts: BTreeMap<&'static str, (u64, u64)> =
            ["exact", "near", "group"].into_iter().map(|kind| (kind, (0, 0))).collect();
        for leak in &found {
            counts.entry(leak.kind).or_default().0 += 1;
        }
        let mut open = found;
        // Every round moves a group towards test or drops a row, so rounds end.
        while let Some(leak) = open.first() {
            match config.leak_check.on_leak {
                OnLeak::Fail => return Err(refusal(&counts, leak, groups)),
                OnLeak::Drop => open.iter().for_each(|leak| leak.drop(groups)),
                OnLeak::Move => open.iter().for_each(|leak| leak.move_up(groups)),
            }
            open = search.leaks(groups);
        }
        for leak in &open {
            counts.entry(leak.kind).or_default().1 += 1;
        }
        Ok(Self { counts })
    }

    /// Leaks that are left.
    pub(super) fn left(&self) -> u64 {
        self.counts.values().map(|(_, left)| left).sum()
    }
}

impl<'a> Search<'a> {
    fn new(keys: &'a [Key], config: &SplitConfig) -> Self {
        let sets = || -> Vec<ShingleSet> { keys.iter().map(|key| key.set.clone()).collect() };
        let near = config.leak_check.fuzzy.map(|threshold: Fraction| Neighbours::new(sets(), threshold.get()));
        Self { keys, near, exact: config.leak_check.exact }
    }

    fn leaks(&self, groups: &Groups) -> Vec<Leak> {
        let mut leaks = self.same_across("group", groups, |row| groups.of(row) as u128);
        if self.exact {
            leaks.extend(self.same_across("exact", groups, |row| self.keys[row].exact));
        }
        if let Some(near) = &self.near {
            let pairs = near.pairs_across(groups.parts(), usize::MAX).into_iter().map(|pair| [pair.first, pair.second]);
            let stay = pairs.filter(|rows| rows.iter().all(|row| groups.parts()[*row].is_some()));
            let different = stay.filter(|rows| self.keys[rows[0]].exact != self.keys[rows[1]].exact || !self.exact);
            leaks.extend(different.map(|rows| Leak { kind: "near", rows }));
        }
        leaks
    }

    /// Pairs every row with one of the most guarded part that has the same key.
    fn same_across(&self, kind: &'static str, groups: &Groups, key: impl Fn(usize) -> u128) -> Vec<Leak> {
        let mut most_guarded: HashMap<u128, (Part, usize)> = HashMap::new();
        let placed = || (0..self.keys.len()).filter_map(|row| Some((row, groups.parts()[row]?)));
        for (row, part) in placed() {
            let top = most_guarded.entry(key(row)).or_insert((part, row));
            if part > top.0 {
                *top = (part, row);
            }
        }
        let leak = |(row, part): (usize, Part)| {
            let (top, other) = most_guarded.get(&key(row))?;
            (part < *top).then_some(Leak { kind, rows: [row, *other] })
        };
        placed().filter_map(leak).collect()
    }
}

impl Leak {
    /// The row on the less guarded side and the part of the other.
    fn lower(&self, groups: &Groups) -> Option<(usize, Part)> {
        let [a, b] = self.rows;
        let (of_a, of_b) = (groups.parts()[a]?, groups.parts()[b]?);
        match of_a.cmp(&of_b) {
            std::cmp::Ordering::Less => Some((a, of_b)),
            std::cmp::Ordering::Greater => Some((b, of_a)),
            std::cmp::Ordering::Equal => None,
        }
    }

    fn drop(&self, groups: &mut Groups) {
        if let Some((row, _)) = self.lower(groups) {
            groups.drop_row(row);
        }
    }

    fn move_up(&self, groups: &mut Groups) {
        if let Some((row, part)) = self.lower(groups) {
            groups.move_group(groups.of(row), part);
        }
    }
}

fn refusal(counts: &BTreeMap<&'static str, (u64, u64)>, leak: &Leak, groups: &Groups) -> StageError {
    let found: Vec<String> =
        counts.iter().filter(|(_, (count, _))| *count > 0).map(|(kind, (count, _))| format!("{count} {kind}")).collect();
    let [a, b] = leak.rows.map(|row| format!("row {} ({})", row + 1, groups.parts()[row].map_or("dropped", Part::name)));
    let message = format!("rows are on both sides: {}; for example {a} and {b}", found.join(", "));
    StageError::input(message)
        .help("set `leak_check: {on_leak: drop}` or `move`, add `join_groups: [fuzzy_cluster]`, or dedup before")
}

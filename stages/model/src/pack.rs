//! Best-fit-decreasing packing: rows into bins of so many tokens, the longest first, each into the fullest bin that takes it.
//!
//! A pure function of the rows' lengths and their order. How many bins there are and how full each is depends on the lengths
//! alone: the order only decides which of equally long rows goes where. So a yield can be told before any row is drawn.

use std::collections::{BTreeMap, VecDeque};

/// A row that no bin takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Its place among the rows.
    pub row: usize,
    /// Its tokens.
    pub tokens: usize,
}

/// Packs rows, given in `order` by their places in `lengths`, into bins of at most `capacity` tokens.
pub fn best_fit_decreasing(order: &[usize], lengths: &[usize], capacity: usize) -> Result<Vec<Vec<usize>>, TooLong> {
    let mut rows: Vec<(usize, usize)> = order.iter().filter_map(|&row| Some((row, *lengths.get(row)?))).collect();
    if let Some(&(row, tokens)) = rows.iter().find(|(_, tokens)| *tokens > capacity) {
        return Err(TooLong { row, tokens });
    }
    // Stable: equally long rows keep their order.
    rows.sort_by_key(|(_, tokens)| std::cmp::Reverse(*tokens));
    let mut bins: Vec<Vec<usize>> = Vec::new();
    let mut open: BTreeMap<usize, VecDeque<usize>> = BTreeMap::new();
    for (row, tokens) in rows {
        let (bin, room) = take(&mut open, tokens).unwrap_or((bins.len(), capacity));
        match bins.get_mut(bin) {
            Some(rows) => rows.push(row),
            None => bins.push(vec![row]),
        }
        open.entry(room - tokens).or_default().push_back(bin);
    }
    Ok(bins)
}

/// Takes the bin with the least room that is enough, of several the one that has had it longest, and says its room.
fn take(open: &mut BTreeMap<usize, VecDeque<usize>>, tokens: usize) -> Option<(usize, usize)> {
    let (&room, bins) = open.range_mut(tokens..).next()?;
    let bin = bins.pop_front();
    if bins.is_empty() {
        open.remove(&room);
    }
    Some((bin?, room))
}

/// What packing would come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// Bins.
    pub bins: u64,
    /// Tokens in them.
    pub tokens: u64,
    /// Tokens that they could hold.
    pub room: u64,
}

impl Forecast {
    /// Counts the bins of [`best_fit_decreasing`] over rows of which only the number of each length is known; none of them may
    /// be longer than `capacity`.
    pub fn new(rows: &BTreeMap<usize, u64>, capacity: usize) -> Self {
        let mut open: BTreeMap<usize, u64> = BTreeMap::new();
        let mut forecast = Self::default();
        for (&tokens, &count) in rows.iter().rev().filter(|(tokens, _)| **tokens > 0) {
            forecast.tokens += tokens as u64 * count;
            let left = fill(&mut open, tokens, count);
            // What no open bin takes goes into new ones, as many into each as fit.
            let each = ((capacity / tokens) as u64).max(1);
            let new = left.div_ceil(each);
            forecast.bins += new;
            if new > 0 {
                let last = left - (new - 1) * each;
                leave(&mut open, (capacity, new - 1), each * tokens as u64);
                leave(&mut open, (capacity, 1), last * tokens as u64);
            }
        }
        forecast.room = forecast.bins * capacity as u64;
        forecast
    }

    /// The share of the bins' room that holds tokens; 1 when there are none.
    #[expect(clippy::cast_precision_loss, reason = "a share for people and gates")]
    pub fn efficiency(&self) -> f64 {
        if self.room == 0 { 1.0 } else { self.tokens as f64 / self.room as f64 }
    }

    /// [`Forecast::efficiency`] for people.
    pub fn filled(&self) -> String {
        format!("{:.1} %", 100.0 * self.efficiency())
    }
}

/// Puts rows of one length into open bins, the fullest first, and returns how many found no place.
fn fill(open: &mut BTreeMap<usize, u64>, tokens: usize, mut count: u64) -> u64 {
    while count > 0 {
        let Some((&room, &bins)) = open.range(tokens..).next() else { break };
        open.remove(&room);
        // The best fit for the next row is the same bin until it takes no more.
        let each = (room / tokens) as u64;
        let full = bins.min(count / each);
        count -= full * each;
        leave(open, (room, full), each * tokens as u64);
        if full < bins {
            leave(open, (room, 1), count * tokens as u64);
            leave(open, (room, bins - full - 1), 0);
            count = 0;
        }
    }
    count
}

/// Opens so many bins of this room, less what was put into each.
fn leave(open: &mut BTreeMap<usize, u64>, (room, bins): (usize, u64), used: u64) {
    let left = usize::try_from((room as u64).saturating_sub(used)).unwrap_or(0);
    if bins > 0 && left > 0 {
        *open.entry(left).or_default() += bins;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::Rng;

    fn loads(bins: &[Vec<usize>], lengths: &[usize]) -> Vec<usize> {
        let mut loads: Vec<usize> = bins.iter().map(|bin| bin.iter().map(|row| lengths[*row]).sum()).collect();
        loads.sort_unstable();
        loads
    }

    fn forecast(lengths: &[usize], capacity: usize) -> Forecast {
        let mut rows = BTreeMap::new();
        for length in lengths {
            *rows.entry(*length).or_default() += 1;
        }
        Forecast::new(&rows, capacity)
    }

    proptest! {
        #[test]
        fn every_row_is_in_one_bin_and_no_bin_is_too_full(lengths in prop::collection::vec(1_usize..64, 0..200)) {
            let order: Vec<usize> = (0..lengths.len()).collect();
            let bins = best_fit_decreasing(&order, &lengths, 64).unwrap();
            prop_assert!(bins.iter().all(|bin| !bin.is_empty()));
            prop_assert!(loads(&bins, &lengths).iter().all(|load| *load <= 64));
            let mut rows = bins.concat();
            rows.sort_unstable();
            prop_assert_eq!(rows, order);
        }

        #[test]
        fn how_full_bins_are_depends_on_the_lengths_alone(
            (lengths, order) in prop::collection::vec(1_usize..40, 1..150)
                .prop_flat_map(|lengths| { let rows: Vec<usize> = (0..lengths.len()).collect(); (Just(lengths), Just(rows).prop_shuffle()) })
        ) {
            let straight: Vec<usize> = (0..lengths.len()).collect();
            let (a, b) = (best_fit_decreasing(&straight, &lengths, 64).unwrap(), best_fit_decreasing(&order, &lengths, 64).unwrap());
            prop_assert_eq!(loads(&a, &lengths), loads(&b, &lengths));
        }

        #[test]
        fn the_forecast_is_what_packing_comes_to(lengths in prop::collection::vec(1_usize..60, 0..300), capacity in 60_usize..200) {
            let order: Vec<usize> = (0..lengths.len()).collect();
            let bins = best_fit_decreasing(&order, &lengths, capacity).unwrap().len() as u64;
            let tokens = lengths.iter().sum::<usize>() as u64;
            prop_assert_eq!(forecast(&lengths, capacity), Forecast { bins, tokens, room: bins * capacity as u64 });
        }
    }

    #[test]
    fn rows_go_to_the_fullest_bin_that_takes_them() {
        let bins = best_fit_decreasing(&[0, 1, 2, 3, 4], &[6, 7, 3, 4, 5], 10).unwrap();
        assert_eq!(bins, [vec![1, 2], vec![0, 3], vec![4]]);
    }

    #[test]
    fn a_row_longer_than_a_bin_is_named() {
        assert_eq!(best_fit_decreasing(&[1, 0], &[65, 3], 64), Err(TooLong { row: 0, tokens: 65 }));
    }

    /// Lengths of instructions with answers are skewed: half of them below 150 tokens, a few above 1,000.
    #[test]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a length in tokens")]
    fn instruction_data_fills_its_bins() {
        let mut rng = Rng::new(4);
        let normal = |rng: &mut Rng| (0..12).map(|_| f64::from(rng.symmetric(0.5))).sum::<f64>();
        let lengths: Vec<usize> = (0..15_000).map(|_| ((5.0 + 0.9 * normal(&mut rng)).exp() as usize).clamp(20, 2048)).collect();
        for (capacity, least) in [(2048, 0.999), (4096, 0.999)] {
            let found = forecast(&lengths, capacity).efficiency();
            assert!(found >= least, "{found} at {capacity}");
        }
    }
}

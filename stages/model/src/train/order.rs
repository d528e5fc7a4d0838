//! Which rows an optimizer step sees: a pure function of seed, epoch, and step, so that a data cursor is one number.

use std::ops::Range;

use crate::rng::Rng;

/// The batches of a whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    rows: usize,
    global: usize,
    seed: u64,
}

impl Order {
    /// Batches of `global` rows over `rows` rows; the last batch of an epoch may be smaller. `global` is at least 1.
    pub fn new(rows: usize, global: usize, seed: u64) -> Self {
        Self { rows, global: global.max(1), seed }
    }

    /// Rows of one epoch.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Optimizer steps of one epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.rows.div_ceil(self.global) as u64
    }

    /// The epoch that a step belongs to.
    pub fn epoch(&self, step: u64) -> u64 {
        step / self.steps_per_epoch().max(1)
    }

    /// Every row of an epoch once, shuffled.
    pub fn epoch_rows(&self, epoch: u64) -> Vec<usize> {
        let stream = mix(self.seed ^ mix(epoch));
        let mut rows: Vec<usize> = (0..self.rows).collect();
        rows.sort_by_cached_key(|&row| (mix(stream ^ mix(row as u64)), row));
        rows
    }

    /// The part of [`Order::epoch_rows`] that a step trains on.
    pub fn window(&self, step: u64) -> Range<usize> {
        let batch = usize::try_from(step % self.steps_per_epoch().max(1)).unwrap_or(0);
        let start = batch * self.global;
        start..(start + self.global).min(self.rows)
    }
}

/// One draw of a stream keyed by `word`: spreads every input bit over the output.
fn mix(word: u64) -> u64 {
    Rng::new(word).next_u64()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_steps_of_an_epoch_see_every_row_once(rows in 1usize..200, global in 1usize..40, seed: u64, epoch in 0u64..5) {
            let order = Order::new(rows, global, seed);
            let shuffled = order.epoch_rows(epoch);
            let first = epoch * order.steps_per_epoch();
            let mut seen: Vec<usize> = (first..first + order.steps_per_epoch())
                .flat_map(|step| { assert_eq!(order.epoch(step), epoch); shuffled[order.window(step)].to_vec() })
                .collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..rows).collect::<Vec<_>>());
        }
    }

    #[test]
    fn seed_and_epoch_change_the_order() {
        let order = Order::new(100, 8, 1);
        assert_eq!(order.epoch_rows(0), order.epoch_rows(0));
        assert_ne!(order.epoch_rows(0), order.epoch_rows(1));
        assert_ne!(order.epoch_rows(0), Order::new(100, 8, 2).epoch_rows(0));
    }
}

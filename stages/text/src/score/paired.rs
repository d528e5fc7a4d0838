//! What a difference between two models is worth: both answered the same items, so items are resampled in pairs.

use serde::{Deserialize, Serialize};

/// How the interval is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// Resamples of the items.
    pub resamples: usize,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 1_000, seed: 12_345 }
    }
}

/// Mean scores of two models over the same items and the difference with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairedDifference {
    /// Items.
    pub n: usize,
    /// Mean of the first model.
    pub base: f64,
    /// Mean of the second model.
    pub tuned: f64,
    /// Second less first.
    pub difference: f64,
    /// Lower end of the percentile interval.
    pub low: f64,
    /// Upper end of the percentile interval.
    pub high: f64,
}

/// A small generator of evenly distributed 64-bit numbers (Steele, Lea, and Flood 2014): the same everywhere, for ever.
#[derive(Clone, Debug)]
pub struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// Starts the stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Returns the next number.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `bound`, or 0 where the bound is 0. Every number is as likely as any other.
    pub fn below(&mut self, bound: usize) -> usize {
        let wide = bound as u128;
        let threshold = (bound as u64).wrapping_neg().checked_rem(bound as u64).unwrap_or(0);
        loop {
            let product = u128::from(self.next_u64()) * wide;
            // The low half of the product says whether this draw belongs to the uneven rest.
            let (high, low) = (product >> 64, product & u128::from(u64::MAX));
            if low >= u128::from(threshold) {
                return usize::try_from(high).unwrap_or(0);
            }
        }
    }
}

/// Compares two models item by item. Returns nothing where there is no item, or not one score of each model for each.
pub fn paired_difference(base: &[f64], tuned: &[f64], bootstrap: Bootstrap) -> Option<PairedDifference> {
    if base.is_empty() || base.len() != tuned.len() || bootstrap.resamples == 0 {
        return None;
    }
    let differences: Vec<f64> = base.iter().zip(tuned).map(|(base, tuned)| tuned - base).collect();
    let mut means = resampled_means(&differences, bootstrap);
    means.sort_by(f64::total_cmp);
    Some(PairedDifference {
        n: base.len(),
        base: mean(base.iter().copied(), base.len()),
        tuned: mean(tuned.iter().copied(), tuned.len()),
        difference: mean(differences.iter().copied(), differences.len()),
        low: quantile(&means, 0.025),
        high: quantile(&means, 0.975),
    })
}

fn resampled_means(differences: &[f64], bootstrap: Bootstrap) -> Vec<f64> {
    let mut random = SplitMix64::new(bootstrap.seed);
    let n = differences.len();
    let mut draw = || mean((0..n).filter_map(|_| differences.get(random.below(n)).copied()), n);
    (0..bootstrap.resamples).map(|_| draw()).collect()
}

#[expect(clippy::cast_precision_loss, reason = "numbers of items are far below 2^53")]
fn mean(values: impl Iterator<Item = f64>, count: usize) -> f64 {
    values.sum::<f64>() / count as f64
}

/// Linear interpolation between the two nearest of ascending values, as most statistics packages do by default.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the place lies between 0 and the number of values"
)]
fn quantile(ascending: &[f64], share: f64) -> f64 {
    let place = share * ascending.len().saturating_sub(1) as f64;
    let below = place.floor();
    let at = |index: usize| ascending.get(index).or(ascending.last()).copied().unwrap_or(f64::NAN);
    let (low, high) = (at(below as usize), at(below as usize + 1));
    low + (high - low) * (place - below)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_stream_of_a_seed_is_the_published_one() {
        let mut random = SplitMix64::new(1_234_567);
        let drawn: Vec<u64> = (0..3).map(|_| random.next_u64()).collect();
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn a_constant_gain_has_an_interval_of_no_width() {
        let found = paired_difference(&[0.0, 0.5, 0.25], &[0.5, 1.0, 0.75], Bootstrap::default()).expect("three items");
        assert_eq!((found.n, found.difference, found.low, found.high), (3, 0.5, 0.5, 0.5));
    }

    #[test]
    fn a_gain_on_most_items_is_above_zero_and_the_same_twice() {
        let base = vec![0.0; 60];
        let tuned: Vec<f64> = (0..60).map(|item| if item % 10 == 0 { 0.0 } else { 1.0 }).collect();
        let found = paired_difference(&base, &tuned, Bootstrap::default()).expect("sixty items");
        // The normal interval of 54 successes in 60 is 0.9 plus or minus 0.076.
        assert!((found.difference - 0.9).abs() < 1e-12);
        assert!((0.78..0.86).contains(&found.low) && (0.93..=1.0).contains(&found.high), "{found:?}");
        assert_eq!(paired_difference(&base, &tuned, Bootstrap::default()), Some(found));
    }

    #[test]
    fn uneven_or_empty_scores_have_no_difference() {
        assert_eq!(paired_difference(&[], &[], Bootstrap::default()), None);
        assert_eq!(paired_difference(&[1.0], &[], Bootstrap::default()), None);
    }

    proptest! {
        #[test]
        fn draws_are_below_the_bound(seed: u64, bound in 1usize..1_000) {
            let mut random = SplitMix64::new(seed);
            for _ in 0..20 {
                prop_assert!(random.below(bound) < bound);
            }
        }

        #[test]
        fn the_difference_lies_in_its_interval_and_turns_with_the_models(
            pairs in prop::collection::vec((0.0f64..1.0, 0.0f64..1.0), 5..40)
        ) {
            let (base, tuned): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let found = paired_difference(&base, &tuned, Bootstrap::default()).expect("there are items");
            prop_assert!(found.low <= found.high);
            prop_assert!(found.low <= found.difference + 1e-9 && found.difference <= found.high + 1e-9);
            let turned = paired_difference(&tuned, &base, Bootstrap::default()).expect("there are items");
            prop_assert!((turned.difference + found.difference).abs() < 1e-12);
        }
    }
}

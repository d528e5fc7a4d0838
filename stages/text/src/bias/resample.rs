//! Seeded resampling: the same draws for the same seed, on any number of threads.

use rayon::prelude::*;

use super::Interval;

/// `SplitMix64`: tiny, of full period, and good enough to choose rows.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        Self(seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, by the upper half of a product.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.next()) * bound as u128;
        usize::try_from(wide >> 64).unwrap_or(0)
    }
}

/// Returns the statistic with its 95 % percentile interval over resampled rows.
///
/// `statistic` sums what it needs over the rows it is given; `None` means it is undefined there.
pub(super) fn bootstrap<T: Sync>(
    rows: &[T],
    draws: (u64, u32),
    statistic: impl Fn(&mut dyn Iterator<Item = &T>) -> Option<f64> + Sync,
) -> Option<Interval> {
    let (seed, resamples) = draws;
    let value = statistic(&mut rows.iter())?;
    let mut values: Vec<f64> = (0..resamples)
        .into_par_iter()
        .filter_map(|stream| {
            let mut random = Random::new(seed, u64::from(stream));
            statistic(&mut (0..rows.len()).map(|_| &rows[random.below(rows.len())]))
        })
        .collect();
    values.sort_by(f64::total_cmp);
    let at = |per_mille: usize| values.get((values.len() * per_mille / 1000).min(values.len().saturating_sub(1))).copied();
    Some(Interval { low: at(25).unwrap_or(value).min(value), value, high: at(975).unwrap_or(value).max(value) })
}

//! A pair and the weight under it as one matrix, a row at a time, for merging and for the lengths of `DoRA`.

use rayon::prelude::*;

use super::StoredPair;
use crate::weights::Stored;

impl StoredPair {
    /// Returns `W + scale * B A`, of which `DoRA` makes every row as long as it was trained to be.
    pub(crate) fn laid_over(&self, mut weight: Vec<f32>) -> Vec<f32> {
        let pair = Decoded::of(self);
        weight.par_chunks_mut(self.a.columns()).enumerate().for_each(|(index, row)| {
            pair.add(index, row);
            if let Some(factor) = pair.factor(index, row) {
                for value in row {
                    *value *= factor;
                }
            }
        });
        weight
    }

    /// What every row of `W + scale * B A` is multiplied by; nothing where rows have no length of their own.
    pub(crate) fn factors(&self, weight: &Stored) -> Option<Vec<f32>> {
        self.magnitude.as_ref()?;
        let (pair, values) = (Decoded::of(self), weight.to_f32());
        let rows = values.par_chunks(weight.columns()).enumerate();
        rows.map(|(index, row)| {
            let mut row = row.to_vec();
            pair.add(index, &mut row);
            pair.factor(index, &row)
        })
        .collect()
    }
}

/// A pair's numbers.
struct Decoded<'a> {
    a: Vec<f32>,
    b: Vec<f32>,
    rank: usize,
    scale: f64,
    magnitude: Option<&'a [f32]>,
}

impl<'a> Decoded<'a> {
    fn of(pair: &'a StoredPair) -> Self {
        let (a, b, rank) = (pair.a.to_f32(), pair.b.to_f32(), pair.a.rows());
        Self { a, b, rank, scale: pair.scale, magnitude: pair.magnitude.as_deref() }
    }

    /// Adds row `index` of the product.
    fn add(&self, index: usize, row: &mut [f32]) {
        let factors = self.b.chunks_exact(self.rank).nth(index).unwrap_or_default();
        for (factor, narrow) in factors.iter().zip(self.a.chunks_exact(row.len())) {
            let factor = single(self.scale * f64::from(*factor));
            for (value, narrow) in row.iter_mut().zip(narrow) {
                *value += factor * narrow;
            }
        }
    }

    /// The trained length of row `index` over the length that it has.
    fn factor(&self, index: usize, row: &[f32]) -> Option<f32> {
        let trained = self.magnitude?.get(index)?;
        let squared: f64 = row.iter().map(|value| f64::from(*value) * f64::from(*value)).sum();
        Some(single(f64::from(*trained) / squared.max(f64::from(f32::MIN_POSITIVE)).sqrt()))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "weights are in single precision")]
fn single(value: f64) -> f32 {
    value as f32
}

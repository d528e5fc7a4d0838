//! Several projections of one input, each with its bias and the adapter's pair that belongs to it.

use super::kernel::{Output, product};
use crate::{
    Checkpoint, ModelError, Target,
    adapter::{StoredAdapter, StoredPair},
    weights::{Stored, names},
};

/// Weights that share an input, one under another.
pub(super) struct Projection {
    weights: Vec<Stored>,
    /// What is added to the outputs, by weight.
    biases: Vec<Option<Vec<f32>>>,
    /// Pairs by weight.
    pairs: Vec<Option<Pair>>,
}

struct Pair {
    a: Stored,
    b: Stored,
    scale: f32,
    /// Of `DoRA`: what makes every row of the sum as long as it was trained to be.
    factors: Option<Vec<f32>>,
}

impl Projection {
    pub(super) fn plain(weight: Stored) -> Self {
        Self { weights: vec![weight], biases: vec![None], pairs: vec![None] }
    }

    /// Joins projections of block `layer`.
    pub(super) fn of(
        checkpoint: &Checkpoint,
        adapter: Option<&StoredAdapter>,
        layer: usize,
        targets: &[Target],
    ) -> Result<Self, ModelError> {
        let weight = |target: &Target| checkpoint.tensor(&names::weight(*target, layer)).cloned();
        let bias = |target: &Target| {
            let biased = checkpoint.config().biases.contains(target);
            biased.then(|| Ok(checkpoint.tensor(&names::bias(*target, layer))?.to_f32())).transpose()
        };
        let pair = |target: &Target, weight: &Stored| {
            let adapter = adapter?;
            Some(Pair::new(adapter.layers.get(layer)?.get(target)?, weight))
        };
        let weights: Vec<Stored> = targets.iter().map(weight).collect::<Result<_, _>>()?;
        let biases = targets.iter().map(bias).collect::<Result<_, ModelError>>()?;
        let pairs = targets.iter().zip(&weights).map(|(target, weight)| pair(target, weight)).collect();
        Ok(Self { weights, biases, pairs })
    }

    /// Multiplies `[rows, in]`; the result is transposed: `[out, rows]`.
    pub(super) fn apply(&self, input: &[f32]) -> Vec<f32> {
        let weights: Vec<&Stored> = self.weights.iter().collect();
        let columns = weights.first().map_or(1, |weight| weight.columns());
        let rows = input.len() / columns;
        let total: usize = weights.iter().map(|weight| weight.rows()).sum();
        let mut out = vec![0.0; total * rows];
        product(&weights, input, &mut out, Output::Set);
        let mut rest = out.as_mut_slice();
        for ((weight, bias), pair) in weights.iter().zip(&self.biases).zip(&self.pairs) {
            let (own, after) = rest.split_at_mut(weight.rows() * rows);
            rest = after;
            if let Some(pair) = pair {
                pair.add(input, rows, own);
            }
            for (outputs, bias) in own.chunks_exact_mut(rows.max(1)).zip(bias.iter().flatten()) {
                for output in outputs {
                    *output += bias;
                }
            }
        }
        out
    }
}

impl Pair {
    #[expect(clippy::cast_possible_truncation, reason = "the network computes in f32")]
    fn new(stored: &StoredPair, weight: &Stored) -> Self {
        let factors = stored.factors(weight);
        Self { a: stored.a.clone(), b: stored.b.clone(), scale: stored.scale as f32, factors }
    }

    fn add(&self, input: &[f32], rows: usize, out: &mut [f32]) {
        let rank = self.a.rows();
        let mut narrow = vec![0.0; rank * rows];
        product(&[&self.a], input, &mut narrow, Output::Set);
        let mut turned = vec![0.0; rank * rows];
        for (row, turned) in turned.chunks_exact_mut(rank).enumerate() {
            for (index, value) in turned.iter_mut().enumerate() {
                *value = narrow[index * rows + row] * self.scale;
            }
        }
        product(&[&self.b], &turned, out, Output::Add);
        for (outputs, factor) in out.chunks_exact_mut(rows.max(1)).zip(self.factors.iter().flatten()) {
            for output in outputs {
                *output *= factor;
            }
        }
    }
}

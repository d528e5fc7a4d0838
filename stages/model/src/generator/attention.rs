//! Attention of one new token over a sequence's cache, and the cache itself.
#![expect(clippy::inline_always, reason = "the wide instructions of a caller reach only what is inlined into it")]

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use crate::ModelConfig;

/// Positions whose keys lie together, dimension by dimension, so that scores of neighbours are computed side by side.
const BLOCK: usize = 64;

/// Keys and values of one sequence in every block of the network.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    kv_heads: usize,
    head_dim: usize,
    /// By layer and head: blocks of `[head_dim, BLOCK]`.
    keys: Vec<Vec<f32>>,
    /// By layer and head: `[positions, head_dim]`.
    values: Vec<Vec<f32>>,
    /// Positions written in every layer.
    pub(super) length: usize,
}

impl Cache {
    pub(super) fn new(config: &ModelConfig) -> Self {
        let heads = config.layers * config.kv_heads;
        let (keys, values) = (vec![Vec::new(); heads], vec![Vec::new(); heads]);
        Self { kv_heads: config.kv_heads, head_dim: config.head_dim, keys, values, length: 0 }
    }

    /// Writes one position of one layer. Positions come in order.
    pub(super) fn write(&mut self, layer: usize, position: usize, key: &[f32], value: &[f32]) {
        let (block, lane) = (position / BLOCK, position % BLOCK);
        let size = self.head_dim * BLOCK;
        let heads = key.chunks_exact(self.head_dim).zip(value.chunks_exact(self.head_dim)).enumerate();
        for (head, (key, value)) in heads {
            let slot = layer * self.kv_heads + head;
            let keys = &mut self.keys[slot];
            if lane == 0 {
                keys.resize((block + 1) * size, 0.0);
            }
            for (dimension, number) in key.iter().enumerate() {
                keys[block * size + dimension * BLOCK + lane] = *number;
            }
            self.values[slot].extend_from_slice(value);
        }
    }

    /// Attends from the queries of one key head `[group, head_dim]`, already scaled, over a range of positions.
    pub(super) fn attend(&self, layer: usize, head: usize, seen: Range<usize>, queries: &[f32], out: &mut [f32]) {
        let slot = layer * self.kv_heads + head;
        // Whole blocks that lie before the range are not looked at.
        let skipped = seen.start / BLOCK * BLOCK;
        let (keys, values) = (&self.keys[slot][skipped * self.head_dim..], &self.values[slot][skipped * self.head_dim..]);
        let seen = seen.start - skipped..seen.end - skipped;
        for (query, out) in queries.chunks_exact(self.head_dim).zip(out.chunks_exact_mut(self.head_dim)) {
            Arch::new().dispatch(Attend { keys, values, seen: seen.clone(), query, out });
        }
    }
}

struct Attend<'a> {
    keys: &'a [f32],
    values: &'a [f32],
    seen: Range<usize>,
    query: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { keys, values, seen, query, out } = self;
        let width = query.len();
        let mut all = vec![0.0_f32; seen.end.next_multiple_of(BLOCK)];
        let scores = all.as_mut_slice();
        for (scores, keys) in scores.as_chunks_mut::<BLOCK>().0.iter_mut().zip(keys.chunks_exact(width * BLOCK)) {
            for (number, lane) in query.iter().zip(keys.as_chunks::<BLOCK>().0) {
                for (score, key) in scores.iter_mut().zip(lane) {
                    *score += number * key;
                }
            }
        }
        let scores = &mut scores[seen.clone()];
        let sum = softmax(scores);
        out.fill(0.0);
        for (weight, value) in scores.iter().zip(values.chunks_exact(width).skip(seen.start)) {
            for (out, value) in out.iter_mut().zip(value) {
                *out += weight * value;
            }
        }
        for out in out {
            *out /= sum;
        }
    }
}

/// Replaces scores by their exponentials below the largest and returns the sum, in a fixed order.
#[inline(always)]
fn softmax(scores: &mut [f32]) -> f32 {
    let mut largest = f32::NEG_INFINITY;
    for score in scores.iter() {
        largest = if *score > largest { *score } else { largest };
    }
    for score in scores.iter_mut() {
        *score = exp(*score - largest);
    }
    let (whole, rest) = scores.as_chunks::<16>();
    let mut lanes = [0.0_f32; 16];
    for chunk in whole {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().sum::<f32>()
}

/// `e^x` to about one unit in the last place, without branches, so that loops over it run in vectors.
///
/// Splits `x` into whole powers of two and a rest of at most half of `ln 2`, whose exponential is a polynomial.
#[inline(always)]
#[expect(clippy::excessive_precision, reason = "the constants are the parts of ln 2 and the minimax coefficients")]
pub(super) fn exp(x: f32) -> f32 {
    /// Large enough that adding it leaves a whole number in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = if x > -87.0 { x } else { -87.0 };
    let x = if x < 88.0 { x } else { 88.0 };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let power = shifted - ROUND;
    let rest = (x - power * 0.693_359_375) - power * -2.121_944_4e-4;
    let mut sum = 1.987_569_15e-4;
    for coefficient in [1.398_199_950_7e-3, 8.333_451_907_3e-3, 4.166_579_589_4e-2, 1.666_666_545_9e-1, 5.000_000_120_1e-1] {
        sum = sum * rest + coefficient;
    }
    let value = sum * rest * rest + rest + 1.0;
    value * f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{rng::Rng, weights::config::tests::tiny};

    #[test]
    fn the_exponential_is_close_everywhere() {
        for step in -8000_i16..=0 {
            let x = f32::from(step) / 100.0;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) - exact).abs() <= 2.0e-7 * exact, "{x}");
        }
        assert!(exp(-1e9) < 1e-37);
        assert!((exp(0.0) - 1.0).abs() < f32::EPSILON);
    }

    #[test]
    fn attention_is_the_weighted_mean_of_values() {
        let config = tiny();
        let (width, kv) = (config.head_dim, config.kv_width());
        let mut rng = Rng::new(3);
        let mut random = |count: usize| (0..count).map(|_| rng.symmetric(1.0)).collect::<Vec<f32>>();
        let mut cache = Cache::new(&config);
        let rows: Vec<(Vec<f32>, Vec<f32>)> = (0..150).map(|_| (random(kv), random(kv))).collect();
        for (position, (key, value)) in rows.iter().enumerate() {
            cache.write(1, position, key, value);
        }
        let queries = random(2 * width);
        for seen in [0..1, 0..63, 0..64, 0..65, 0..150, 20..63, 63..64, 64..65, 100..150, 128..150] {
            let mut out = vec![0.0; 2 * width];
            cache.attend(1, 1, seen.clone(), &queries, &mut out);
            let scores: Vec<f64> = rows[seen.clone()]
                .iter()
                .map(|(key, _)| key[width..].iter().zip(&queries).map(|(k, q)| f64::from(*k) * f64::from(*q)).sum::<f64>().exp())
                .collect();
            let sum: f64 = scores.iter().sum();
            for dimension in 0..width {
                let weighted =
                    rows[seen.clone()].iter().zip(&scores).map(|((_, value), score)| f64::from(value[width + dimension]) * score);
                assert!((f64::from(out[dimension]) - weighted.sum::<f64>() / sum).abs() < 1e-6);
            }
        }
    }
}

//! The arithmetic of decoding: products of stored weights with a few rows of activations, and attention over a cache.
//!
//! # Design
//! Weights are decoded from their stored form row by row, into cache, and used at once for every activation row. Each
//! product of a weight row and an activation row is summed in one fixed order, whatever else is in the batch and however
//! many threads share the work: a sequence's output is bitwise the same alone, in a batch, prefilled whole or in pieces.
#![expect(clippy::inline_always, reason = "the wide instructions of a caller reach only what is inlined into it")]

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::weights::Stored;

/// Weight rows that are decoded and multiplied together.
const TILE: usize = 4;
/// Multiplications below which handing work to other threads costs more than it saves.
const WORTH_SHARING: usize = 1 << 17;

/// What happens to what was in the output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// It is replaced.
    Set,
    /// It is added to.
    Add,
}

/// Multiplies activation rows `[rows, columns]` by the rows of several weights of the same width, one under another. The
/// result is transposed: `[weight rows, rows]`.
pub(super) fn product(weights: &[&Stored], input: &[f32], out: &mut [f32], output: Output) {
    let Some(columns) = weights.first().map(|weight| weight.columns()) else { return };
    let rows = input.len() / columns;
    let total: usize = weights.iter().map(|weight| weight.rows()).sum();
    let work = |(index, out): (usize, &mut [f32]), chunk: usize, scratch: &mut Vec<f32>| {
        scratch.resize(TILE * columns, 0.0);
        Arch::new().dispatch(Product { weights, first: index * chunk, input, columns, rows, out, output, scratch });
    };
    if rows * columns * total < WORTH_SHARING {
        work((0, out), total, &mut Vec::new());
        return;
    }
    // Enough pieces that a slow thread holds nobody up, each large enough to be worth its hand-over.
    let pieces = 4 * rayon::current_num_threads();
    let chunk = total.div_ceil(pieces).next_multiple_of(TILE).max(8 * TILE);
    let shared = out.par_chunks_mut(chunk * rows).enumerate();
    shared.for_each_init(Vec::new, |scratch, piece| work(piece, chunk, scratch));
}

/// Some weight rows times all activation rows.
struct Product<'a> {
    weights: &'a [&'a Stored],
    first: usize,
    input: &'a [f32],
    columns: usize,
    rows: usize,
    /// `[weight rows from first, rows]`.
    out: &'a mut [f32],
    output: Output,
    scratch: &'a mut [f32],
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { weights, first, input, columns, rows, out, output, scratch } = self;
        for (tile, out) in out.chunks_mut(TILE * rows).enumerate() {
            let count = out.len() / rows;
            for (slot, decoded) in scratch.chunks_exact_mut(columns).take(count).enumerate() {
                decode_row(weights, first + tile * TILE + slot, decoded);
            }
            if count == TILE {
                let [a, b, c, d] = quarters(scratch, columns);
                across(simd, [a, b, c, d], input, out, output);
            } else {
                for (weight, out) in scratch.chunks_exact(columns).zip(out.chunks_mut(rows)) {
                    across(simd, [weight], input, out, output);
                }
            }
        }
    }
}

/// Decodes the row with this number, counted through all weights.
#[inline(always)]
fn decode_row(weights: &[&Stored], mut index: usize, out: &mut [f32]) {
    for weight in weights {
        if index < weight.rows() {
            weight.format().decode(weight.row(index), out);
            return;
        }
        index -= weight.rows();
    }
}

#[inline(always)]
fn quarters(rows: &[f32], columns: usize) -> [&[f32]; TILE] {
    let (front, back) = rows.split_at(2 * columns);
    let ((a, b), (c, d)) = (front.split_at(columns), back.split_at(columns));
    [a, b, c, &d[..columns]]
}

/// Multiplies `W` weight rows with every activation row, several at once where registers allow.
#[inline(always)]
fn across<S: Simd, const W: usize>(simd: S, weights: [&[f32]; W], input: &[f32], out: &mut [f32], output: Output) {
    let columns = weights[0].len();
    let rows = input.len() / columns;
    let mut row = 0;
    let at = |row: usize| &input[row * columns..(row + 1) * columns];
    if S::REGISTER_COUNT >= 32 {
        while row + 4 <= rows {
            let sums = dots(simd, weights, [at(row), at(row + 1), at(row + 2), at(row + 3)]);
            store(&sums, row, rows, out, output);
            row += 4;
        }
    }
    while row + 2 <= rows {
        store(&dots(simd, weights, [at(row), at(row + 1)]), row, rows, out, output);
        row += 2;
    }
    if row < rows {
        store(&dots(simd, weights, [at(row)]), row, rows, out, output);
    }
}

#[inline(always)]
fn store<const W: usize, const X: usize>(sums: &[[f32; X]; W], row: usize, rows: usize, out: &mut [f32], output: Output) {
    for (weight, sums) in sums.iter().enumerate() {
        let out = &mut out[weight * rows + row..weight * rows + row + X];
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = if output == Output::Set { *sum } else { *out + *sum };
        }
    }
}

/// Returns the dot product of every weight row with every activation row. The order of each sum depends on its length only.
#[inline(always)]
fn dots<S: Simd, const W: usize, const X: usize>(simd: S, weights: [&[f32]; W], inputs: [&[f32]; X]) -> [[f32; X]; W] {
    let (weights, weight_ends) = split::<S, W>(weights);
    let (inputs, input_ends) = split::<S, X>(inputs);
    let steps = weights[0].len();
    let weights = weights.map(|row| &row[..steps]);
    let inputs = inputs.map(|row| &row[..steps]);
    let mut sums = [[simd.splat_f32s(0.0); X]; W];
    for step in 0..steps {
        let input = inputs.map(|row| row[step]);
        for (sums, weight) in sums.iter_mut().zip(weights) {
            for (sum, input) in sums.iter_mut().zip(input) {
                *sum = simd.mul_add_f32s(weight[step], input, *sum);
            }
        }
    }
    let mut out = [[0.0; X]; W];
    for ((out, sums), weight) in out.iter_mut().zip(sums).zip(weight_ends) {
        for ((out, sum), input) in out.iter_mut().zip(sums).zip(input_ends) {
            *out = simd.reduce_sum_f32s(sum);
            for (weight, input) in weight.iter().zip(input) {
                *out += weight * input;
            }
        }
    }
    out
}

/// Splits every row into whole vectors and the rest.
#[inline(always)]
fn split<S: Simd, const N: usize>(rows: [&[f32]; N]) -> ([&[S::f32s]; N], [&[f32]; N]) {
    let both = rows.map(|row| S::as_simd_f32s(row));
    (both.map(|(whole, _)| whole), both.map(|(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        rng::Rng,
        weights::{Bytes, Format},
    };

    fn weight(rng: &mut Rng, rows: usize, columns: usize) -> Stored {
        let bytes = (0..rows * columns).flat_map(|_| rng.symmetric(1.0).to_le_bytes()).collect();
        Stored::new(Format::F32, [rows, columns], Bytes::owned(bytes))
    }

    fn plain(weights: &[&Stored], input: &[f32]) -> Vec<f64> {
        let columns = weights[0].columns();
        let mut out = Vec::new();
        for values in weights.iter().map(|weight| weight.to_f32()) {
            for row in values.chunks(columns) {
                for input in input.chunks(columns) {
                    out.push(row.iter().zip(input).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum());
                }
            }
        }
        out
    }

    #[test]
    fn products_are_right_for_any_shape() {
        let mut rng = Rng::new(1);
        for (first, second, columns, rows) in [(4, 2, 32, 1), (5, 3, 37, 3), (130, 61, 96, 7), (33, 4, 16, 4), (1, 1, 5, 9)] {
            let (a, b) = (weight(&mut rng, first, columns), weight(&mut rng, second, columns));
            let input: Vec<f32> = (0..rows * columns).map(|_| rng.symmetric(1.0)).collect();
            let mut out = vec![9.0; (first + second) * rows];
            product(&[&a, &b], &input, &mut out, Output::Set);
            for (found, expected) in out.iter().zip(plain(&[&a, &b], &input)) {
                assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} {expected}");
            }
            let once = out.clone();
            product(&[&a, &b], &input, &mut out, Output::Add);
            assert!(out.iter().zip(&once).all(|(twice, once)| (twice - 2.0 * once).abs() < f32::EPSILON));
        }
    }

    #[test]
    fn a_row_is_bitwise_the_same_alone_and_in_a_batch() {
        let mut rng = Rng::new(2);
        let weight = weight(&mut rng, 301, 576);
        let input: Vec<f32> = (0..11 * 576).map(|_| rng.symmetric(1.0)).collect();
        let mut together = vec![0.0; 301 * 11];
        product(&[&weight], &input, &mut together, Output::Set);
        for (row, input) in input.chunks(576).enumerate() {
            let mut alone = vec![0.0; 301];
            product(&[&weight], input, &mut alone, Output::Set);
            let same = |(index, value): (usize, &f32)| value.to_bits() == together[index * 11 + row].to_bits();
            assert!(alone.iter().enumerate().all(same), "row {row}");
        }
    }
}

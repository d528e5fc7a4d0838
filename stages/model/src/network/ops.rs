//! The few operations a block is made of.

use burn::tensor::{Tensor, activation, module};

/// Multiplies `[rows, in]` by a frozen `[in, out]` weight; the graph keeps no copy of the input.
pub(crate) fn linear(input: Tensor<2>, weight: &Tensor<2>) -> Tensor<2> {
    module::linear(input, weight.clone(), None)
}

/// Rotates the halves of every head by its position's angles.
pub(super) fn rotate(heads: Tensor<4>, cos: &Tensor<4>, sin: &Tensor<4>) -> Tensor<4> {
    let half = heads.dims()[3] / 2;
    let swapped = Tensor::cat(vec![heads.clone().narrow(3, half, half), heads.clone().narrow(3, 0, half)], 3);
    heads * cos.clone() + swapped * sin.clone()
}

/// The gated activation of the feed-forward part.
pub(super) fn swiglu(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    activation::silu(gate) * up
}

/// Transposes a row-major matrix in blocks that stay in cache.
pub(super) fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const BLOCK: usize = 32;
    let mut out = vec![0.0; values.len()];
    for row_block in (0..rows).step_by(BLOCK) {
        for column_block in (0..columns).step_by(BLOCK) {
            for row in row_block..(row_block + BLOCK).min(rows) {
                for column in column_block..(column_block + BLOCK).min(columns) {
                    out[column * rows + row] = values[row * columns + column];
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn transposing_twice_is_the_identity() {
        let values: Vec<f32> = (0_u16..35 * 67).map(f32::from).collect();
        let once = super::transposed(&values, 35, 67);
        assert!((once[1] - values[67]).abs() < f32::EPSILON);
        assert_eq!(super::transposed(&once, 67, 35), values);
    }
}

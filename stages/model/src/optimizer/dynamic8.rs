//! Eight-bit floating codes for optimizer moments: the dynamic data type of Dettmers (2016), quantized in blocks.
//!
//! A code has a decimal exponent and a linear fraction that share its bits, so small magnitudes keep relative precision. Every
//! block of [`Codes::BLOCK`] numbers is scaled by its largest magnitude. The table is that of bitsandbytes and every
//! number gets the nearest code, which a referee test compares. (On the processor bitsandbytes itself looks codes up in a coarse
//! table, which misses the nearest one for about 3 % of squares; its graphics kernels and its plain path do not.)

use std::sync::LazyLock;

/// The 256 numbers that codes stand for, ascending.
#[derive(Debug)]
pub struct Quantizer([f32; 256]);

static SIGNED: LazyLock<Quantizer> = LazyLock::new(|| Quantizer::new(&[1.0, -1.0], 0));
static UNSIGNED: LazyLock<Quantizer> = LazyLock::new(|| Quantizer::new(&[1.0], 1));

/// Decades that the exponent covers.
const DECADES: u32 = 7;

impl Quantizer {
    /// Codes of numbers from -1 to 1.
    pub fn signed() -> &'static Self {
        &SIGNED
    }

    /// Codes of numbers from 0 to 1.
    pub fn unsigned() -> &'static Self {
        &UNSIGNED
    }

    /// `more` bits go to the fraction where none is needed for a sign.
    fn new(signs: &[f32], more: u32) -> Self {
        let mut numbers = vec![0.0, 1.0];
        for decade in 0..DECADES {
            let scale = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0][decade as usize];
            let means = middles(1 << (decade + more));
            numbers.extend(signs.iter().flat_map(|sign| means.iter().map(move |mean| sign * scale * mean)));
        }
        numbers.sort_by(f32::total_cmp);
        let mut table = [0.0; 256];
        table.iter_mut().zip(numbers).for_each(|(entry, number)| *entry = number);
        Self(table)
    }

    /// The number of a code.
    pub fn decode(&self, code: u8) -> f32 {
        self.0[usize::from(code)]
    }

    /// The code of the nearest number; of the smaller one when two are equally near.
    #[expect(clippy::cast_possible_truncation, reason = "the table has 256 entries")]
    pub fn encode(&self, number: f32) -> u8 {
        let above = self.0.partition_point(|entry| *entry <= number);
        let below = above.saturating_sub(1);
        match self.0.get(above) {
            Some(next) if (next - number).abs() < (number - self.0[below]).abs() => above as u8,
            _ => below as u8,
        }
    }
}

/// The middles of equal parts of the range from 0.1 to 1.
#[expect(clippy::cast_precision_loss, reason = "there are at most 128 parts")]
fn middles(parts: usize) -> Vec<f32> {
    let step = (1.0 - 0.1_f32) / parts as f32;
    // From the nearer end and rounded once, as PyTorch's `linspace` does: the table has to be the same to the bit.
    let edge =
        |at: usize| if at < parts.div_ceil(2) { step.mul_add(at as f32, 0.1) } else { (-step).mul_add((parts - at) as f32, 1.0) };
    (0..parts).map(|part| f32::midpoint(edge(part), edge(part + 1))).collect()
}

/// A matrix of numbers, one byte each.
#[derive(Clone, Debug, PartialEq)]
pub struct Codes {
    /// Its extent.
    pub shape: [usize; 2],
    /// One code for each number, last axis fastest.
    pub codes: Vec<u8>,
    /// The largest magnitude of every block.
    pub scales: Vec<f32>,
}

impl Codes {
    /// Numbers that share a scale.
    pub const BLOCK: usize = 256;

    /// A matrix of zeros.
    pub fn zeros(shape: [usize; 2]) -> Self {
        let count = shape.iter().product::<usize>();
        Self { shape, codes: vec![0; count], scales: vec![0.0; count.div_ceil(Self::BLOCK)] }
    }

    /// Whether it has a code for each number and a scale for each block.
    pub fn is_whole(&self) -> bool {
        let count = self.shape.iter().product::<usize>();
        self.codes.len() == count && self.scales.len() == count.div_ceil(Self::BLOCK)
    }

    /// Its blocks in order.
    pub(super) fn blocks_mut(&mut self) -> impl Iterator<Item = Block<'_>> {
        self.codes.chunks_mut(Self::BLOCK).zip(&mut self.scales).map(|(codes, scale)| Block { codes, scale })
    }
}

/// Codes that share a scale.
pub(super) struct Block<'a> {
    codes: &'a mut [u8],
    scale: &'a mut f32,
}

impl Block<'_> {
    /// The numbers of the block; what lies behind its end is 0.
    pub(super) fn decoded(&self, quantizer: &Quantizer) -> [f32; Codes::BLOCK] {
        let mut numbers = [0.0; Codes::BLOCK];
        numbers.iter_mut().zip(&*self.codes).for_each(|(number, code)| *number = quantizer.decode(*code) * *self.scale);
        numbers
    }

    /// Stores other numbers.
    pub(super) fn encode(&mut self, quantizer: &Quantizer, numbers: &[f32; Codes::BLOCK]) {
        let largest = numbers.iter().take(self.codes.len()).fold(0.0_f32, |largest, number| largest.max(number.abs()));
        *self.scale = largest;
        let inverse = if largest > 0.0 { largest.recip() } else { 1.0 };
        self.codes.iter_mut().zip(numbers).for_each(|(code, number)| *code = quantizer.encode(number * inverse));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_ascending_and_have_both_ends() {
        for (quantizer, least) in [(Quantizer::signed(), -0.992_968_8), (Quantizer::unsigned(), 0.0)] {
            assert!(quantizer.0.is_sorted_by(|a, b| a < b), "{quantizer:?}");
            assert!((quantizer.decode(0) - least).abs() < 1e-6, "{}", quantizer.decode(0));
            assert!((quantizer.decode(255) - 1.0).abs() < f32::EPSILON);
        }
    }

    #[test]
    fn every_number_gets_the_nearest_code() {
        for quantizer in [Quantizer::signed(), Quantizer::unsigned()] {
            for code in 0..=255 {
                assert_eq!(quantizer.encode(quantizer.decode(code)), code);
            }
            for step in -1000..=1000_i16 {
                let number = f32::from(step) / 1000.0;
                let error = |code: u8| (quantizer.decode(code) - number).abs();
                let best = (0..=255).map(error).fold(f32::INFINITY, f32::min);
                assert!(error(quantizer.encode(number)) <= best);
            }
        }
    }

    #[test]
    fn blocks_have_scales_of_their_own() {
        let mut codes = Codes::zeros([2, 150]);
        assert!(codes.is_whole());
        let quantizer = Quantizer::signed();
        for (mut block, size) in codes.blocks_mut().zip([1000.0, 1e-3]) {
            let mut numbers = [0.0; Codes::BLOCK];
            (numbers[0], numbers[1]) = (size, -size / 2.0);
            block.encode(quantizer, &numbers);
            let back = block.decoded(quantizer);
            assert!((back[0] - size).abs() <= f32::EPSILON * size && (back[1] + size / 2.0).abs() < 0.01 * size);
        }
        assert_eq!(codes.scales, [1000.0, 1e-3]);
    }
}

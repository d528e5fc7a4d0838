//! How numbers are stored, and how they become `f32`.
#![expect(clippy::inline_always, reason = "decoding must take part in the vector loops of its callers")]

/// Values in one block of a quantized format.
pub(crate) const BLOCK: usize = 32;

/// A way to store a row of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of single precision.
    BF16,
    /// Blocks of 32: a half-precision scale, then four bits a value around 8.
    Q4_0,
    /// Blocks of 32: a half-precision scale and minimum, then four bits a value.
    Q4_1,
    /// Blocks of 32: a half-precision scale, then eight signed bits a value.
    Q8_0,
}

impl Format {
    /// Finds a format by its number in GGUF files.
    pub fn from_ggml(code: u32) -> Option<Self> {
        Some(match code {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            8 => Self::Q8_0,
            30 => Self::BF16,
            _ => return None,
        })
    }

    /// Finds a format by its safetensors type.
    pub fn from_safetensors(dtype: safetensors::Dtype) -> Option<Self> {
        Some(match dtype {
            safetensors::Dtype::F32 => Self::F32,
            safetensors::Dtype::F16 => Self::F16,
            safetensors::Dtype::BF16 => Self::BF16,
            _ => return None,
        })
    }

    /// Values and bytes of one block; formats without blocks have blocks of one.
    pub(crate) fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::BF16 => (1, 2),
            Self::Q4_0 => (BLOCK, 18),
            Self::Q4_1 => (BLOCK, 20),
            Self::Q8_0 => (BLOCK, 34),
        }
    }

    /// Bytes of a row of so many values; `None` when they do not fill whole blocks.
    pub fn row_bytes(self, columns: usize) -> Option<usize> {
        let (values, bytes) = self.block();
        columns.is_multiple_of(values).then(|| columns / values)?.checked_mul(bytes)
    }

    /// Decodes one row. Inlined into callers that enable wider instructions.
    #[inline(always)]
    pub(crate) fn decode(self, bytes: &[u8], out: &mut [f32]) {
        match self {
            Self::F32 => single(bytes, out),
            Self::F16 => half_precision(bytes, out),
            Self::BF16 => upper_half(bytes, out),
            Self::Q4_0 => q4_0(bytes, out),
            Self::Q4_1 => q4_1(bytes, out),
            Self::Q8_0 => q8_0(bytes, out),
        }
    }
}

// Plain loops, each whole in its function: a closure handed to a shared loop would stay a call, without the wide instructions.

#[inline(always)]
fn single(bytes: &[u8], out: &mut [f32]) {
    for (value, raw) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *value = f32::from_le_bytes(*raw);
    }
}

#[inline(always)]
fn half_precision(bytes: &[u8], out: &mut [f32]) {
    for (value, raw) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *value = half(*raw);
    }
}

#[inline(always)]
fn upper_half(bytes: &[u8], out: &mut [f32]) {
    for (value, raw) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *value = f32::from_bits(u32::from(u16::from_le_bytes(*raw)) << 16);
    }
}

/// Widens half precision without a call, so that it can be part of a vector loop.
#[inline(always)]
fn half(raw: [u8; 2]) -> f32 {
    /// Moves the exponent's bias from 15 to 127; subnormal numbers come out right on the way.
    const REBIAS: f32 = f32::from_bits((254 - 15) << 23);
    let bits = u32::from(u16::from_le_bytes(raw));
    let magnitude = f32::from_bits((bits & 0x7FFF) << 13) * REBIAS;
    let special = if bits & 0x7C00 == 0x7C00 { 0x7F80_0000 } else { 0 };
    f32::from_bits(magnitude.to_bits() | special | (bits & 0x8000) << 16)
}

#[inline(always)]
fn q4_0(bytes: &[u8], out: &mut [f32]) {
    for (values, raw) in out.as_chunks_mut::<BLOCK>().0.iter_mut().zip(bytes.as_chunks::<18>().0) {
        let [low, high, packed @ ..] = *alone(raw);
        let mut block = nibbles(packed);
        let scale = half([low, high]);
        for value in &mut block {
            *value = (*value - 8.0) * scale;
        }
        *values = block;
    }
}

#[inline(always)]
fn q4_1(bytes: &[u8], out: &mut [f32]) {
    for (values, raw) in out.as_chunks_mut::<BLOCK>().0.iter_mut().zip(bytes.as_chunks::<20>().0) {
        let [scale_low, scale_high, minimum_low, minimum_high, packed @ ..] = *alone(raw);
        let mut block = nibbles(packed);
        let (scale, minimum) = (half([scale_low, scale_high]), half([minimum_low, minimum_high]));
        for value in &mut block {
            *value = *value * scale + minimum;
        }
        *values = block;
    }
}

#[inline(always)]
fn q8_0(bytes: &[u8], out: &mut [f32]) {
    for (values, raw) in out.as_chunks_mut::<BLOCK>().0.iter_mut().zip(bytes.as_chunks::<34>().0) {
        let [low, high, numbers @ ..] = *alone(raw);
        let mut block = [0.0; BLOCK];
        let scale = half([low, high]);
        for (value, byte) in block.iter_mut().zip(numbers) {
            *value = f32::from(byte.cast_signed()) * scale;
        }
        *values = block;
    }
}

/// Returns the lower halves of all bytes, then the upper ones.
#[inline(always)]
fn nibbles(packed: [u8; BLOCK / 2]) -> [f32; BLOCK] {
    let mut out = [0.0; BLOCK];
    for index in 0..BLOCK / 2 {
        out[index] = f32::from(packed[index] & 15);
    }
    for index in 0..BLOCK / 2 {
        out[index + BLOCK / 2] = f32::from(packed[index] >> 4);
    }
    out
}

/// Keeps blocks apart: the compiler would otherwise vectorize across eight of them, with gathers and scatters, at a third of
/// the speed.
#[inline(always)]
fn alone<const N: usize>(block: &[u8; N]) -> &[u8; N] {
    std::hint::black_box(block)
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    #[test]
    fn half_precision_is_widened_exactly() {
        for bits in 0..=u16::MAX {
            let (ours, theirs) = (super::half(bits.to_le_bytes()), f16::from_bits(bits).to_f32());
            assert!(ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan()), "{bits:#x}");
        }
    }

    fn decode(format: Format, bytes: &[u8], columns: usize) -> Vec<f32> {
        let mut out = vec![0.0; columns];
        assert_eq!(format.row_bytes(columns), Some(bytes.len()));
        format.decode(bytes, &mut out);
        out
    }

    #[test]
    fn q4_1_is_scale_times_nibble_plus_minimum() {
        let mut raw = Vec::new();
        raw.extend(f16::from_f32(0.5).to_le_bytes());
        raw.extend(f16::from_f32(-2.0).to_le_bytes());
        raw.extend((0_u8..16).map(|index| index | (15 - index) << 4));
        let out = decode(Format::Q4_1, &raw, 32);
        for index in 0_u8..16 {
            assert!((out[usize::from(index)] - (f32::from(index) * 0.5 - 2.0)).abs() < 1e-9);
            assert!((out[usize::from(index) + 16] - (f32::from(15 - index) * 0.5 - 2.0)).abs() < 1e-9);
        }
    }

    #[test]
    fn q4_0_is_centred_on_eight() {
        let mut raw = f16::from_f32(0.25).to_le_bytes().to_vec();
        raw.extend([0xF0; 16]);
        let out = decode(Format::Q4_0, &raw, 32);
        assert!(out[..16].iter().all(|value| (*value + 2.0).abs() < 1e-9));
        assert!(out[16..].iter().all(|value| (*value - 1.75).abs() < 1e-9));
    }

    #[test]
    fn q8_0_is_signed() {
        let mut raw = f16::from_f32(0.125).to_le_bytes().to_vec();
        raw.extend((0_u8..32).map(|index| if index == 3 { 0x80 } else { index }));
        let out = decode(Format::Q8_0, &raw, 32);
        assert!((out[3] + 16.0).abs() < 1e-9);
        assert!((out[31] - 3.875).abs() < 1e-9);
    }

    #[test]
    fn plain_formats_decode() {
        assert_eq!(decode(Format::BF16, &[0x80, 0x3F, 0x00, 0xC0], 2), [1.0, -2.0]);
        assert_eq!(decode(Format::F16, &[0x00, 0x3C, 0x00, 0xC0], 2), [1.0, -2.0]);
        assert_eq!(decode(Format::F32, &1.5_f32.to_le_bytes(), 1), [1.5]);
        assert_eq!(Format::Q4_1.row_bytes(33), None);
    }
}

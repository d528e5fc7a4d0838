//! Numbers that a referee wrote as safetensors, and how far ours are from them.

use std::{fs, path::Path};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

/// A file of tensors.
pub(crate) struct Answers(Vec<u8>);

/// The logits of one prompt at some of its positions.
pub(crate) struct Verdict {
    /// The positions.
    pub(crate) positions: Vec<usize>,
    /// `[positions, vocabulary]` in float32.
    pub(crate) float32: Vec<f64>,
    /// The same in float64.
    pub(crate) float64: Vec<f64>,
}

impl Answers {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Self {
        Self(fs::read(path).expect("the referee wrote its answers"))
    }

    /// The numbers of a tensor.
    pub(crate) fn numbers(&self, name: &str) -> Vec<f64> {
        let tensors = SafeTensors::deserialize(&self.0).expect("safetensors");
        widen(&tensors.tensor(name).expect(name))
    }

    /// What was said about prompt `number`.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positions are small whole numbers")]
    pub(crate) fn verdict(&self, number: usize) -> Verdict {
        Verdict {
            positions: self.numbers(&format!("positions.{number}")).into_iter().map(|position| position as usize).collect(),
            float32: self.numbers(&format!("float32.{number}")),
            float64: self.numbers(&format!("float64.{number}")),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "positions are far below 2^52")]
fn widen(view: &TensorView<'_>) -> Vec<f64> {
    let bytes = view.data();
    match view.dtype() {
        Dtype::F32 => bytes.as_chunks().0.iter().map(|word| f64::from(f32::from_le_bytes(*word))).collect(),
        Dtype::F64 => bytes.as_chunks().0.iter().map(|word| f64::from_le_bytes(*word)).collect(),
        Dtype::I64 => bytes.as_chunks().0.iter().map(|word| i64::from_le_bytes(*word) as f64).collect(),
        other => panic!("no referee writes {other:?}"),
    }
}

/// The largest difference of two lists of the same length.
pub(crate) fn apart(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    // `f64::max` would pass over a NaN.
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, |largest, one| if one > largest || one.is_nan() { one } else { largest })
}

/// The five likeliest tokens of one position, likeliest first.
pub(crate) fn top_five(logits: &[f64]) -> Vec<usize> {
    let mut ids: Vec<usize> = (0..logits.len()).collect();
    ids.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
    ids.truncate(5);
    ids
}

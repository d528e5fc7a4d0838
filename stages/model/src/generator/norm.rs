//! Norms of decoding rows, summed in one fixed order.

use crate::{Checkpoint, ModelError};

/// A norm's scale, and what it adds where the family has that.
pub(super) struct Norm {
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
    eps: f32,
}

impl Norm {
    /// Reads `path.weight`, and `path.bias` where the family has one.
    pub(super) fn load(checkpoint: &Checkpoint, path: &str) -> Result<Self, ModelError> {
        let config = checkpoint.config();
        let read = |part: &str| Ok::<_, ModelError>(checkpoint.tensor(&format!("{path}.{part}"))?.to_f32());
        let bias = config.family.layer_norms().then(|| read("bias")).transpose()?;
        Ok(Self { weight: read("weight")?, bias, eps: config.norm_eps })
    }

    /// Returns every row normalized.
    pub(super) fn applied(&self, rows: &[f32]) -> Vec<f32> {
        let mut out = rows.to_vec();
        self.apply(&mut out);
        out
    }

    /// Normalizes every row in place.
    pub(super) fn apply(&self, rows: &mut [f32]) {
        for row in rows.chunks_exact_mut(self.weight.len()) {
            match &self.bias {
                None => self.scale(row),
                Some(bias) => {
                    let mean = sum(row, |value| value) / length(row);
                    for value in row.iter_mut() {
                        *value -= mean;
                    }
                    self.scale(row);
                    for (value, bias) in row.iter_mut().zip(bias) {
                        *value += bias;
                    }
                }
            }
        }
    }

    /// Divides a row by its root mean square and scales.
    fn scale(&self, row: &mut [f32]) {
        let root = (sum(row, |value| value * value) / length(row) + self.eps).sqrt();
        for (value, weight) in row.iter_mut().zip(&self.weight) {
            *value = *value / root * weight;
        }
    }
}

/// Adds up a function of a row in sixteen lanes.
fn sum(row: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let (whole, rest) = row.as_chunks::<16>();
    for chunk in whole {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += of(*value);
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|value| of(*value)).sum::<f32>()
}

#[expect(clippy::cast_precision_loss, reason = "widths are far below 2^24")]
fn length(row: &[f32]) -> f32 {
    row.len() as f32
}

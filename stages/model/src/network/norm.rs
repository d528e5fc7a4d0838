//! The norms before attention, the feed-forward part, and the head.

use burn::tensor::{Device, Tensor};

use super::{Change, vector};
use crate::{Checkpoint, ModelError};

/// Scales every state to the same size.
#[derive(Clone, Debug)]
pub(super) struct Norm {
    path: String,
    weight: Tensor<1>,
    /// Where there is one, the mean is subtracted first.
    bias: Option<Tensor<1>>,
    eps: f32,
}

impl Norm {
    /// Reads `path.weight`, and `path.bias` where the family has one.
    pub(super) fn load(checkpoint: &Checkpoint, path: String, device: &Device) -> Result<Self, ModelError> {
        let config = checkpoint.config();
        let read = |part: &str| vector(checkpoint, &format!("{path}.{part}"), device);
        let bias = config.family.layer_norms().then(|| read("bias")).transpose()?;
        Ok(Self { weight: read("weight")?, bias, eps: config.norm_eps, path })
    }

    /// Normalizes over the last dimension.
    pub(super) fn forward<const D: usize>(&self, hidden: Tensor<D>) -> Tensor<D> {
        let hidden = if self.bias.is_some() { hidden.clone() - hidden.mean_dim(D - 1) } else { hidden };
        let root = (hidden.clone().square().mean_dim(D - 1) + self.eps).sqrt();
        let scaled = (hidden / root) * self.weight.clone().unsqueeze();
        match &self.bias {
            Some(bias) => scaled + bias.clone().unsqueeze(),
            None => scaled,
        }
    }

    pub(super) fn map(&self, change: Change<'_>) -> Self {
        let mut vector = |part: &str, value: &Tensor<1>| change(&format!("{}.{part}", self.path), value.clone().into()).vector();
        Self {
            path: self.path.clone(),
            weight: vector("weight", &self.weight),
            bias: self.bias.as_ref().map(|bias| vector("bias", bias)),
            eps: self.eps,
        }
    }
}

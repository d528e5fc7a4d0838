//! One block: attention and feed-forward behind norms and beside residuals.

use burn::tensor::{Device, Tensor};

use super::{BlockAdapter, Change, Context, attention::Attention, mlp::Mlp, norm::Norm};
use crate::{Checkpoint, ModelError, Target, Wiring, weights::names};

/// One frozen block.
#[derive(Clone, Debug)]
pub struct Layer {
    wiring: Wiring,
    attention_norm: Norm,
    attention: Attention,
    /// Without one the feed-forward part reads what attention reads.
    mlp_norm: Option<Norm>,
    mlp: Mlp,
}

impl Layer {
    pub(super) fn load(checkpoint: &Checkpoint, index: usize, device: &Device) -> Result<Self, ModelError> {
        let config = checkpoint.config();
        let (first, second) = config.wiring.norms();
        let norm = |name: &str| Norm::load(checkpoint, names::layer(config, index, name), device);
        Ok(Self {
            wiring: config.wiring,
            attention_norm: norm(first)?,
            attention: Attention::load(checkpoint, index, device)?,
            mlp_norm: second.map(norm).transpose()?,
            mlp: Mlp::load(checkpoint, index, device)?,
        })
    }

    /// Runs the block on `[batch, width, hidden]`.
    pub fn forward(&self, hidden: Tensor<3>, cx: &Context, adapter: BlockAdapter<'_>) -> Tensor<3> {
        let [batch, width, inner] = hidden.dims();
        let rows = |wide: Tensor<3>| wide.reshape([batch * width, inner]);
        let wide = |rows: Tensor<2>| rows.reshape([batch, width, inner]);

        let input = rows(self.attention_norm.forward(hidden.clone()));
        let mixed = wide(self.attention.forward(&input, [batch, width], cx, adapter));
        let (hidden, source) = match self.wiring {
            Wiring::Sequential => {
                let hidden = hidden + mixed;
                (hidden.clone(), hidden)
            }
            Wiring::Parallel | Wiring::ParallelTwoNorms => (hidden.clone() + mixed, hidden),
        };
        let input = match &self.mlp_norm {
            Some(norm) => rows(norm.forward(source)),
            None => input,
        };
        hidden + wide(self.mlp.forward(&input, cx, adapter))
    }

    /// The length of every row of a projection, `[1, out]`, if the block has it.
    pub(crate) fn row_norms(&self, target: Target) -> Option<Tensor<2>> {
        self.attention.row_norms(target).or_else(|| self.mlp.row_norms(target))
    }

    pub(super) fn map(&self, change: Change<'_>) -> Self {
        Self {
            wiring: self.wiring,
            attention_norm: self.attention_norm.map(change),
            attention: self.attention.map(change),
            mlp_norm: self.mlp_norm.as_ref().map(|norm| norm.map(change)),
            mlp: self.mlp.map(change),
        }
    }
}

//! One frozen projection of a block, with its bias and with what an adapter adds.

use burn::tensor::{Device, Tensor};

use super::{BlockAdapter, Change, Context, matrix_weight, vector};
use crate::{
    Checkpoint, ModelError, Target,
    adapter::{Frozen, row_norms},
    weights::names,
};

/// A weight as `[in, out]`, and the bias of its outputs if it has one.
#[derive(Clone, Debug)]
pub(super) struct Projection {
    target: Target,
    index: usize,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
}

impl Projection {
    /// Reads a projection of block `index`.
    pub(super) fn load(checkpoint: &Checkpoint, target: Target, index: usize, device: &Device) -> Result<Self, ModelError> {
        let bias = checkpoint.config().biases.contains(&target);
        let bias = bias.then(|| vector(checkpoint, &names::bias(target, index), device)).transpose()?;
        Ok(Self { target, index, weight: matrix_weight(checkpoint, &names::weight(target, index), device)?, bias })
    }

    /// Multiplies `[rows, in]`; the graph keeps no copy of the input for the frozen part.
    pub(super) fn forward(&self, input: &Tensor<2>, cx: &Context, adapter: BlockAdapter<'_>) -> Tensor<2> {
        let base = Frozen { weight: &self.weight, bias: self.bias.as_ref() };
        match adapter {
            Some(adapter) => adapter.forward(self.target, &base, (input, cx.dropout)),
            None => base.forward(input),
        }
    }

    /// The length of every row, `[1, out]`, if it is this projection.
    pub(super) fn row_norms(&self, target: Target) -> Option<Tensor<2>> {
        (self.target == target).then(|| row_norms(&self.weight, None))
    }

    pub(super) fn map(&self, change: Change<'_>) -> Self {
        let weight = change(&names::weight(self.target, self.index), self.weight.clone().into()).matrix();
        let bias = self.bias.as_ref().map(|bias| change(&names::bias(self.target, self.index), bias.clone().into()).vector());
        Self { target: self.target, index: self.index, weight, bias }
    }
}

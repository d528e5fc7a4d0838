//! The feed-forward part of a block.

use burn::tensor::{Device, Tensor, activation};

use super::{BlockAdapter, Change, Context, ops, projection::Projection};
use crate::{Checkpoint, ModelError, Target};

/// A rise to the inner width, an activation, and a fall.
#[derive(Clone, Debug)]
pub(super) struct Mlp {
    /// Decides how much of the rise passes; without one the rise itself is activated.
    gate: Option<Projection>,
    up: Projection,
    down: Projection,
}

impl Mlp {
    pub(super) fn load(checkpoint: &Checkpoint, index: usize, device: &Device) -> Result<Self, ModelError> {
        let projection = |target| Projection::load(checkpoint, target, index, device);
        if checkpoint.config().family.gated() {
            let gate = Some(projection(Target::GateProj)?);
            return Ok(Self { gate, up: projection(Target::UpProj)?, down: projection(Target::DownProj)? });
        }
        Ok(Self { gate: None, up: projection(Target::DenseHTo4h)?, down: projection(Target::Dense4hToH)? })
    }

    /// Runs on `[rows, hidden]`.
    pub(super) fn forward(&self, input: &Tensor<2>, cx: &Context, adapter: BlockAdapter<'_>) -> Tensor<2> {
        let inner = match &self.gate {
            Some(gate) => {
                let gate = gate.forward(input, cx, adapter);
                ops::swiglu(gate, self.up.forward(input, cx, adapter))
            }
            None => activation::gelu(self.up.forward(input, cx, adapter)),
        };
        self.down.forward(&inner, cx, adapter)
    }

    /// The length of every row of one of its projections.
    pub(super) fn row_norms(&self, target: Target) -> Option<Tensor<2>> {
        let all = self.gate.iter().chain([&self.up, &self.down]);
        all.into_iter().find_map(|projection| projection.row_norms(target))
    }

    pub(super) fn map(&self, change: Change<'_>) -> Self {
        let gate = self.gate.as_ref().map(|gate| gate.map(change));
        Self { gate, up: self.up.map(change), down: self.down.map(change) }
    }
}

//! One block: attention and feed-forward, each behind a norm and beside a residual.

use burn::tensor::{Device, Tensor, activation};

use super::{BlockAdapter, Context, matrix_weight, ops, vector};
use crate::{Checkpoint, ModelConfig, ModelError, Target, weights::names};

/// One frozen block.
#[derive(Clone, Debug)]
pub struct Layer {
    shape: Shape,
    attention_norm: Tensor<1>,
    query: Tensor<2>,
    key: Tensor<2>,
    value: Tensor<2>,
    output: Tensor<2>,
    mlp_norm: Tensor<1>,
    gate: Tensor<2>,
    up: Tensor<2>,
    down: Tensor<2>,
}

/// What attention needs to split and join heads.
#[derive(Clone, Copy, Debug)]
struct Shape {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    norm_eps: f32,
}

impl Layer {
    pub(super) fn load(checkpoint: &Checkpoint, index: usize, device: &Device) -> Result<Self, ModelError> {
        let projection = |target: Target| matrix_weight(checkpoint, &format!("{}.weight", target.path(index)), device);
        let norm = |name: &str| vector(checkpoint, &names::layer(index, name), device);
        Ok(Self {
            shape: Shape::of(checkpoint.config()),
            attention_norm: norm(names::ATTENTION_NORM)?,
            query: projection(Target::QProj)?,
            key: projection(Target::KProj)?,
            value: projection(Target::VProj)?,
            output: projection(Target::OProj)?,
            mlp_norm: norm(names::MLP_NORM)?,
            gate: projection(Target::GateProj)?,
            up: projection(Target::UpProj)?,
            down: projection(Target::DownProj)?,
        })
    }

    /// Runs the block on `[batch, width, hidden]`.
    pub fn forward(&self, hidden: Tensor<3>, cx: &Context, adapter: BlockAdapter<'_>) -> Tensor<3> {
        let [batch, width, inner] = hidden.dims();
        let rows = |wide: Tensor<3>| wide.reshape([batch * width, inner]);
        let project = |target: Target, weight: &Tensor<2>, input: &Tensor<2>| {
            let plain = ops::linear(input.clone(), weight);
            match adapter {
                Some(adapter) => adapter.add(target, plain, input, cx.dropout),
                None => plain,
            }
        };

        let input = rows(ops::rms_norm(hidden.clone(), &self.attention_norm, self.shape.norm_eps));
        let heads = |flat: Tensor<2>, count| flat.reshape([batch, width, count, self.shape.head_dim]).swap_dims(1, 2);
        let query = heads(project(Target::QProj, &self.query, &input), self.shape.heads);
        let key = heads(project(Target::KProj, &self.key, &input), self.shape.kv_heads);
        let value = heads(project(Target::VProj, &self.value, &input), self.shape.kv_heads);
        let mixed = self.attend(ops::rotate(query, &cx.cos, &cx.sin), ops::rotate(key, &cx.cos, &cx.sin), value, cx);
        let hidden = hidden + project(Target::OProj, &self.output, &mixed).reshape([batch, width, inner]);

        let input = rows(ops::rms_norm(hidden.clone(), &self.mlp_norm, self.shape.norm_eps));
        let gate = project(Target::GateProj, &self.gate, &input);
        let up = project(Target::UpProj, &self.up, &input);
        let mixed = ops::swiglu(gate, up);
        hidden + project(Target::DownProj, &self.down, &mixed).reshape([batch, width, inner])
    }

    /// Scaled dot-product attention. Query heads that share a key head are stacked as its rows, so keys are never repeated.
    fn attend(&self, query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, cx: &Context) -> Tensor<2> {
        let Shape { heads, kv_heads, head_dim, .. } = self.shape;
        let [batch, _, width, _] = query.dims();
        let group = heads / kv_heads;
        let stacked = query.mul_scalar(scale(head_dim)).reshape([batch, kv_heads, group * width, head_dim]);
        let scores = stacked.matmul(key.swap_dims(2, 3)).reshape([batch, kv_heads, group, width, width]);
        let weights = activation::softmax(scores + cx.bias.clone(), 4);
        let mixed = weights.reshape([batch, kv_heads, group * width, width]).matmul(value);
        let joined = mixed.reshape([batch, heads, width, head_dim]).swap_dims(1, 2);
        joined.reshape([batch * width, heads * head_dim])
    }
}

impl Shape {
    fn of(config: &ModelConfig) -> Self {
        Self { heads: config.heads, kv_heads: config.kv_heads, head_dim: config.head_dim, norm_eps: config.norm_eps }
    }
}

#[expect(clippy::cast_precision_loss, reason = "head widths are far below 2^52")]
fn scale(head_dim: usize) -> f64 {
    1.0 / (head_dim as f64).sqrt()
}

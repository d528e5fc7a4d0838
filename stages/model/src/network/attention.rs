//! Attention of a block: projections, rotation, and the weighted mean over what a token sees.

use burn::tensor::{Device, Tensor, activation};

use super::{BlockAdapter, Change, Context, context::Sight, norm::Norm, ops, projection::Projection};
use crate::{
    Checkpoint, ModelConfig, ModelError, Target,
    weights::names::{self, HEAD_NORMS},
};

/// Attention with its projections.
#[derive(Clone, Debug)]
pub(super) struct Attention {
    shape: Shape,
    inputs: Inputs,
    output: Projection,
}

/// How queries, keys, and values come about.
#[derive(Clone, Debug)]
enum Inputs {
    /// Each by its own projection; some networks then put every head of queries and keys through a norm.
    Apart(Box<Apart>),
    /// All by one projection whose outputs lie key head by key head: its queries, its key, its value.
    Fused(Box<Projection>),
}

/// Three projections of their own.
#[derive(Clone, Debug)]
struct Apart {
    query: Projection,
    key: Projection,
    value: Projection,
    /// Of every query head, and of every key head.
    norms: Option<[Norm; 2]>,
}

/// What is needed to split and join heads.
#[derive(Clone, Copy, Debug)]
struct Shape {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
}

impl Attention {
    pub(super) fn load(checkpoint: &Checkpoint, index: usize, device: &Device) -> Result<Self, ModelError> {
        let config = checkpoint.config();
        let projection = |target| Projection::load(checkpoint, target, index, device);
        let norm = |name| Norm::load(checkpoint, names::layer(config, index, name), device);
        let norms = || {
            let [query, key] = HEAD_NORMS.map(norm);
            Ok::<_, ModelError>([query?, key?])
        };
        let (inputs, output) = if config.family.fused() {
            (Inputs::Fused(Box::new(projection(Target::QueryKeyValue)?)), Target::Dense)
        } else {
            let (query, key, value) = (projection(Target::QProj)?, projection(Target::KProj)?, projection(Target::VProj)?);
            let norms = config.family.head_norms().then(norms).transpose()?;
            (Inputs::Apart(Box::new(Apart { query, key, value, norms })), Target::OProj)
        };
        Ok(Self { shape: Shape::of(config), inputs, output: projection(output)? })
    }

    /// Runs attention on `[batch * width, hidden]`.
    pub(super) fn forward(
        &self,
        input: &Tensor<2>,
        [batch, width]: [usize; 2],
        cx: &Context,
        adapter: BlockAdapter<'_>,
    ) -> Tensor<2> {
        let [query, key, value] = self.heads(input, [batch, width], cx, adapter);
        let mixed = self.attend(ops::rotate(query, &cx.cos, &cx.sin), ops::rotate(key, &cx.cos, &cx.sin), value, cx);
        self.output.forward(&mixed, cx, adapter)
    }

    /// Returns queries, keys, and values as `[batch, heads, width, head]`.
    fn heads(&self, input: &Tensor<2>, [batch, width]: [usize; 2], cx: &Context, adapter: BlockAdapter<'_>) -> [Tensor<4>; 3] {
        let Shape { heads, kv_heads, head_dim } = self.shape;
        let apart = |flat: Tensor<2>, count| flat.reshape([batch, width, count, head_dim]);
        let parts = match &self.inputs {
            Inputs::Apart(own) => {
                let query = apart(own.query.forward(input, cx, adapter), heads);
                let key = apart(own.key.forward(input, cx, adapter), kv_heads);
                let value = apart(own.value.forward(input, cx, adapter), kv_heads);
                match &own.norms {
                    Some([of_query, of_key]) => [of_query.forward(query), of_key.forward(key), value],
                    None => [query, key, value],
                }
            }
            Inputs::Fused(all) => {
                let group = heads / kv_heads;
                let all = all.forward(input, cx, adapter).reshape([batch, width, kv_heads, group + 2, head_dim]);
                let part = |start, count| {
                    let part = all.clone().narrow(3, start, count);
                    part.reshape([batch, width, kv_heads * count, head_dim])
                };
                [part(0, group), part(group, 1), part(group + 1, 1)]
            }
        };
        parts.map(|part| part.swap_dims(1, 2))
    }

    /// Scaled dot-product attention, each token over what it may look at.
    fn attend(&self, query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, cx: &Context) -> Tensor<2> {
        match &cx.sight {
            Sight::Row(bias) => self.mix([query, key, value], bias.clone()),
            Sight::Document { lengths, bias } => {
                let all = [query, key, value];
                let ends = lengths.iter().scan(0, |end, length| {
                    *end += length;
                    Some(*end)
                });
                let document = |(end, &length): (usize, &usize)| {
                    let own = all.clone().map(|part| part.narrow(2, end - length, length));
                    self.mix(own, bias.clone().narrow(3, 0, length).narrow(4, 0, length))
                };
                Tensor::cat(ends.zip(lengths).map(document).collect(), 0)
            }
        }
    }

    /// Attention under one bias. Query heads that share a key head are stacked as its rows, so keys are never repeated.
    fn mix(&self, [query, key, value]: [Tensor<4>; 3], bias: Tensor<5>) -> Tensor<2> {
        let Shape { heads, kv_heads, head_dim } = self.shape;
        let [batch, _, width, _] = query.dims();
        let group = heads / kv_heads;
        let stacked = query.mul_scalar(scale(head_dim)).reshape([batch, kv_heads, group * width, head_dim]);
        let scores = stacked.matmul(key.swap_dims(2, 3)).reshape([batch, kv_heads, group, width, width]);
        let weights = activation::softmax(scores + bias, 4);
        let mixed = weights.reshape([batch, kv_heads, group * width, width]).matmul(value);
        let joined = mixed.reshape([batch, heads, width, head_dim]).swap_dims(1, 2);
        joined.reshape([batch * width, heads * head_dim])
    }

    /// The length of every row of one of its projections.
    pub(super) fn row_norms(&self, target: Target) -> Option<Tensor<2>> {
        let inputs: Vec<&Projection> = match &self.inputs {
            Inputs::Apart(own) => vec![&own.query, &own.key, &own.value],
            Inputs::Fused(all) => vec![all],
        };
        inputs.into_iter().chain([&self.output]).find_map(|projection| projection.row_norms(target))
    }

    pub(super) fn map(&self, change: Change<'_>) -> Self {
        let inputs = match &self.inputs {
            Inputs::Apart(own) => Inputs::Apart(Box::new(Apart {
                query: own.query.map(change),
                key: own.key.map(change),
                value: own.value.map(change),
                norms: own.norms.as_ref().map(|[query, key]| [query.map(change), key.map(change)]),
            })),
            Inputs::Fused(all) => Inputs::Fused(Box::new(all.map(change))),
        };
        Self { shape: self.shape, inputs, output: self.output.map(change) }
    }
}

impl Shape {
    fn of(config: &ModelConfig) -> Self {
        Self { heads: config.heads, kv_heads: config.kv_heads, head_dim: config.head_dim }
    }
}

#[expect(clippy::cast_precision_loss, reason = "head widths are far below 2^52")]
fn scale(head_dim: usize) -> f64 {
    1.0 / (head_dim as f64).sqrt()
}

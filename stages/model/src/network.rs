//! The differentiable network: a causal language model over burn tensors, for training and scoring.
//!
//! The base is frozen: plain tensors that no optimizer sees. A `LoRA` adapter is an argument of the forward pass, so that
//! one base serves every arm of an evaluation, and a graph exists only where adapter tensors or inputs are tracked. Blocks are
//! callable one at a time, so that a trainer may keep or recompute their activations.
//!
//! # Design
//! Weights lie as `[in, out]`, the layout the forward product wants; the backward product reads them through a transposed
//! view, where the back end packs panels anyway.

mod attention;
mod context;
mod layer;
mod mlp;
mod norm;
mod ops;
mod projection;
mod random;
mod rope;
mod weight;

use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};

pub use context::{Context, Dropout, Padding};
pub use layer::Layer;
use norm::Norm;
pub(crate) use ops::linear;
pub use rope::rope_tables;
use weight::Change;
pub use weight::Weight;

use crate::{Adapter, Checkpoint, LayerAdapter, ModelConfig, ModelError, weights::names};

/// A frozen causal language model on one device. Cloning shares the weights.
#[derive(Clone, Debug)]
pub struct Network {
    config: ModelConfig,
    /// `[vocabulary, hidden]`.
    embedding: Tensor<2>,
    layers: Vec<Layer>,
    norm: Norm,
    /// `[vocabulary, hidden]` when the head is its own table.
    head: Option<Tensor<2>>,
}

impl Network {
    /// Opens a GGUF file or a Hugging Face folder and puts its weights on a device. See [`crate::open`] for the tokenizer.
    pub fn load(path: &Path, device: &Device) -> Result<Self, ModelError> {
        Self::from_checkpoint(&Checkpoint::open(path)?, device)
    }

    /// Puts the weights of an opened checkpoint on a device.
    pub fn from_checkpoint(checkpoint: &Checkpoint, device: &Device) -> Result<Self, ModelError> {
        let config = checkpoint.config().clone();
        let table = |name: &str| matrix(checkpoint, name, device);
        let head = if config.tied_head { None } else { Some(table(names::HEAD)?) };
        let layers = (0..config.layers).map(|index| Layer::load(checkpoint, index, device)).collect::<Result<_, _>>()?;
        let norm = Norm::load(checkpoint, config.family.final_norm().to_owned(), device)?;
        Ok(Self { embedding: table(config.family.embedding())?, layers, norm, head, config })
    }

    /// The network's shape.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The device its weights are on.
    pub fn device(&self) -> Device {
        self.embedding.device()
    }

    /// Looks up `[batch, width]` token ids: `[batch, width, hidden]`.
    pub fn embed(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        let [batch, width] = ids.dims();
        self.embedding.clone().select(0, ids.reshape([batch * width])).reshape([batch, width, self.config.hidden_size])
    }

    /// The blocks, first to last.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The norm between the last block and the head.
    pub fn final_norm(&self, hidden: Tensor<3>) -> Tensor<3> {
        self.norm.forward(hidden)
    }

    /// The head's weight, `[vocabulary, hidden]`; logits are hidden states times its transpose.
    pub fn head(&self) -> Tensor<2> {
        self.head.clone().unwrap_or_else(|| self.embedding.clone())
    }

    /// Runs every block and the final norm: `[batch, width, hidden]`, ready for the head.
    pub fn forward(&self, ids: Tensor<2, Int>, cx: &Context, adapter: Option<&Adapter>) -> Tensor<3> {
        let mut hidden = self.embed(ids);
        for (index, layer) in self.layers.iter().enumerate() {
            hidden = layer.forward(hidden, cx, adapter.map(|adapter| adapter.layer(index)));
        }
        self.final_norm(hidden)
    }

    /// Runs the whole network to `[batch, width, vocabulary]` logits: for tests and short inputs only.
    pub fn logits(&self, ids: Tensor<2, Int>, cx: &Context, adapter: Option<&Adapter>) -> Tensor<3> {
        let hidden = self.forward(ids, cx, adapter);
        let [batch, width, inner] = hidden.dims();
        let logits = hidden.reshape([batch * width, inner]).matmul(self.head().transpose());
        logits.reshape([batch, width, self.config.vocab_size])
    }

    /// Pads token rows to their longest and describes them: the ids and the context of a forward pass.
    pub fn batch(&self, rows: &[&[u32]], padding: Padding) -> (Tensor<2, Int>, Context) {
        let lengths: Vec<usize> = rows.iter().map(|row| row.len()).collect();
        let width = lengths.iter().copied().max().unwrap_or(0);
        let mut ids = vec![0_i64; rows.len() * width];
        for (row, slots) in rows.iter().zip(ids.chunks_mut(width.max(1))) {
            let start = padding.start(row.len(), width);
            for (slot, id) in slots.iter_mut().skip(start).zip(*row) {
                *slot = i64::from(*id);
            }
        }
        let ids = Tensor::from_data(TensorData::new(ids, [rows.len(), width]), &self.device());
        (ids, self.context(&lengths, padding))
    }

    /// Describes rows of these lengths, padded to the longest.
    pub fn context(&self, lengths: &[usize], padding: Padding) -> Context {
        Context::new(&self.config, lengths, padding, &self.device())
    }

    /// Describes one row of documents of these lengths, one after another.
    pub fn documents(&self, lengths: &[usize]) -> Context {
        Context::documents(&self.config, lengths, &self.device())
    }
}

/// What a block reads besides its input.
pub(crate) type BlockAdapter<'a> = Option<&'a LayerAdapter>;

/// Reads a `[rows, columns]` tensor as it is stored.
fn matrix(checkpoint: &Checkpoint, name: &str, device: &Device) -> Result<Tensor<2>, ModelError> {
    let stored = checkpoint.tensor(name)?;
    Ok(Tensor::from_data(TensorData::new(checkpoint.numbers(name)?, [stored.rows(), stored.columns()]), device))
}

/// Reads a `[out, in]` weight as `[in, out]`.
fn matrix_weight(checkpoint: &Checkpoint, name: &str, device: &Device) -> Result<Tensor<2>, ModelError> {
    let stored = checkpoint.tensor(name)?;
    let (rows, columns) = (stored.rows(), stored.columns());
    let data = ops::transposed(&checkpoint.numbers(name)?, rows, columns);
    Ok(Tensor::from_data(TensorData::new(data, [columns, rows]), device))
}

fn vector(checkpoint: &Checkpoint, name: &str, device: &Device) -> Result<Tensor<1>, ModelError> {
    let stored = checkpoint.tensor(name)?;
    Ok(Tensor::from_data(TensorData::new(checkpoint.numbers(name)?, [stored.columns()]), device))
}

//! `LoRA` adapters: low-rank pairs laid over the projections of a frozen network, never composed into a dense weight.
//!
//! Matrices are named and shaped as PEFT has them (`lora_A` `[rank, in]`, `lora_B` `[out, rank]`), so that a folder moves
//! between `peft` and this crate as it is.

mod config;
mod peft;
mod stored;

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};

pub use config::{LoraConfig, Target};
pub(crate) use stored::StoredAdapter;

use crate::{Dropout, ModelConfig, network::linear, rng::Rng};

/// One pair.
#[derive(Clone, Debug)]
pub struct Lora {
    /// `lora_A`, `[rank, in]`.
    pub a: Tensor<2>,
    /// `lora_B`, `[out, rank]`.
    pub b: Tensor<2>,
}

/// The pairs of one block.
#[derive(Clone, Debug)]
pub struct LayerAdapter {
    index: usize,
    scale: f64,
    pairs: BTreeMap<Target, Lora>,
}

/// A whole adapter.
#[derive(Clone, Debug)]
pub struct Adapter {
    config: LoraConfig,
    layers: Vec<LayerAdapter>,
}

impl LayerAdapter {
    /// Its pairs by projection.
    pub fn pairs(&self) -> &BTreeMap<Target, Lora> {
        &self.pairs
    }

    /// Its matrices with their paths, in a fixed order.
    pub fn parameters(&self) -> impl Iterator<Item = (String, &Tensor<2>)> {
        self.pairs.iter().flat_map(|(target, pair)| {
            let path = target.path(self.index);
            [(format!("{path}.lora_A"), &pair.a), (format!("{path}.lora_B"), &pair.b)]
        })
    }

    /// Adds a projection's pair to the frozen product.
    pub(crate) fn add(&self, target: Target, plain: Tensor<2>, input: &Tensor<2>, dropout: Option<Dropout>) -> Tensor<2> {
        let Some(pair) = self.pairs.get(&target) else { return plain };
        let input = match dropout {
            Some(dropout) => input.clone() * mask(dropout, &target.path(self.index), input),
            None => input.clone(),
        };
        let narrow = linear(input, &pair.a.clone().transpose()).mul_scalar(self.scale);
        plain + linear(narrow, &pair.b.clone().transpose())
    }
}

/// Returns `0` or `1 / (1 - rate)` per element, from the seed and the projection's name alone.
fn mask(dropout: Dropout, name: &str, like: &Tensor<2>) -> Tensor<2> {
    let mut rng = Rng::named(dropout.seed, name);
    let kept = 1.0 / (1.0 - dropout.rate);
    let [rows, columns] = like.dims();
    let values: Vec<f32> = (0..rows * columns).map(|_| if rng.unit() < dropout.rate { 0.0 } else { kept }).collect();
    Tensor::from_data(TensorData::new(values, [rows, columns]), &like.device().inner())
}

impl Adapter {
    /// Makes a fresh adapter as PEFT does: `A` uniform in `±1/sqrt(in)`, `B` zero. The same seed gives the same bytes anywhere.
    #[expect(clippy::cast_precision_loss, reason = "widths are far below 2^24")]
    pub fn init(config: LoraConfig, model: &ModelConfig, seed: u64, device: &Device) -> Self {
        let pair = |layer: usize, target: Target| {
            let (inputs, outputs) = target.widths(model);
            let mut rng = Rng::named(seed, &target.path(layer));
            let bound = 1.0 / (inputs as f32).sqrt();
            let a: Vec<f32> = (0..config.rank * inputs).map(|_| rng.symmetric(bound)).collect();
            Lora {
                a: Tensor::from_data(TensorData::new(a, [config.rank, inputs]), device),
                b: Tensor::zeros([outputs, config.rank], device),
            }
        };
        let layers = (0..model.layers).map(|layer| LayerAdapter {
            index: layer,
            scale: config.scale(),
            pairs: config.targets.iter().map(|target| (*target, pair(layer, *target))).collect(),
        });
        let layers = layers.collect();
        Self { config, layers }
    }

    /// Its shape.
    pub fn config(&self) -> &LoraConfig {
        &self.config
    }

    /// The pairs of one block.
    ///
    /// # Panics
    /// When the adapter has fewer blocks than the network: loading and making one checks that.
    pub fn layer(&self, index: usize) -> &LayerAdapter {
        &self.layers[index]
    }

    /// Every block's pairs.
    pub fn layers(&self) -> &[LayerAdapter] {
        &self.layers
    }

    /// Every matrix with its path, such as `model.layers.0.self_attn.q_proj.lora_A`, in a fixed order.
    pub fn parameters(&self) -> impl Iterator<Item = (String, &Tensor<2>)> {
        self.layers.iter().flat_map(LayerAdapter::parameters)
    }

    /// Replaces every matrix by a function of its path and value, in the order of [`Adapter::parameters`].
    #[must_use]
    pub fn map(&self, mut change: impl FnMut(&str, Tensor<2>) -> Tensor<2>) -> Self {
        let layers = self.layers.iter().map(|layer| {
            let pairs = layer.pairs.iter().map(|(target, pair)| {
                let path = target.path(layer.index);
                let a = change(&format!("{path}.lora_A"), pair.a.clone());
                let b = change(&format!("{path}.lora_B"), pair.b.clone());
                (*target, Lora { a, b })
            });
            LayerAdapter { index: layer.index, scale: layer.scale, pairs: pairs.collect() }
        });
        Self { layers: layers.collect(), config: self.config.clone() }
    }

    /// Returns the adapter as leaves of a new graph. A backward pass gives each matrix its gradient.
    #[must_use]
    pub fn tracked(&self) -> Self {
        self.map(|_, matrix| matrix.inner().autodiff().require_grad())
    }

    /// Returns the adapter without a graph.
    #[must_use]
    pub fn detached(&self) -> Self {
        self.map(|_, matrix| matrix.inner())
    }

    /// Number of trainable parameters.
    pub fn parameter_count(&self) -> u64 {
        self.parameters().map(|(_, matrix)| matrix.dims().iter().product::<usize>() as u64).sum()
    }
}

//! `LoRA` adapters: low-rank pairs laid over the projections of a frozen network, never composed into a dense weight.
//!
//! Matrices are named and shaped as PEFT has them (`lora_A` `[rank, in]`, `lora_B` `[out, rank]`), so that a folder moves
//! between `peft` and this crate as it is.

mod compose;
mod config;
mod pair;
mod pattern;
mod peft;
mod stored;
mod target;

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};

pub use config::{AdapterKind, LoraConfig, Scaling, Site};
pub use pair::Lora;
use pair::mask;
pub(crate) use pair::{Frozen, row_norms};
pub use pattern::Pattern;
pub(crate) use stored::{StoredAdapter, StoredPair};
pub use target::Target;

use crate::{Dropout, ModelConfig, Network, rng::Rng};

const A: &str = "lora_A";
const B: &str = "lora_B";
const MAGNITUDE: &str = "lora_magnitude_vector";

/// The pairs of one block.
#[derive(Clone, Debug)]
pub struct LayerAdapter {
    index: usize,
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
            let magnitude = pair.magnitude.as_ref().map(|magnitude| (MAGNITUDE, magnitude));
            let parts = [(A, &pair.a), (B, &pair.b)].into_iter().chain(magnitude);
            parts.map(|(part, matrix)| (format!("{path}.{part}"), matrix)).collect::<Vec<_>>()
        })
    }

    /// Runs a projection with its pair, if it has one. The graph keeps no copy of the input for the frozen part.
    pub(crate) fn forward(
        &self,
        target: Target,
        base: &Frozen<'_>,
        (input, dropout): (&Tensor<2>, Option<Dropout>),
    ) -> Tensor<2> {
        let Some(pair) = self.pairs.get(&target) else { return base.forward(input) };
        let dropped = dropout.map(|dropout| input.clone() * mask(dropout, &target.path(self.index), input));
        match &pair.magnitude {
            Some(magnitude) => pair.lengthen(magnitude, base, (input, dropped.as_ref())),
            None => pair.add(base.forward(input), dropped.as_ref().unwrap_or(input)),
        }
    }
}

impl Adapter {
    /// Makes a fresh adapter as PEFT does: `A` uniform in `±1/sqrt(in)`, `B` zero, and the lengths of `DoRA` those of the network's
    /// rows. The same seed gives the same bytes anywhere.
    pub fn fresh(config: LoraConfig, network: &Network, seed: u64) -> Self {
        let kind = config.kind;
        let mut adapter = Self::init(config, network.config(), seed, &network.device());
        if kind == AdapterKind::Dora {
            for (layer, own) in adapter.layers.iter_mut().zip(network.layers()) {
                for (target, pair) in &mut layer.pairs {
                    pair.magnitude = own.row_norms(*target);
                }
            }
        }
        adapter
    }

    /// [`Adapter::fresh`] for a shape without lengths, for which no network need be at hand.
    #[expect(clippy::cast_precision_loss, reason = "widths are far below 2^24")]
    pub fn init(config: LoraConfig, model: &ModelConfig, seed: u64, device: &Device) -> Self {
        let pair = |layer: usize, target: Target| {
            let Site { rank, scale } = config.site(target, layer)?;
            let (inputs, outputs) = target.widths(model);
            let mut rng = Rng::named(seed, &target.path(layer));
            let bound = 1.0 / (inputs as f32).sqrt();
            let a: Vec<f32> = (0..rank * inputs).map(|_| rng.symmetric(bound)).collect();
            Some(Lora {
                a: Tensor::from_data(TensorData::new(a, [rank, inputs]), device),
                b: Tensor::zeros([outputs, rank], device),
                magnitude: None,
                scale,
            })
        };
        let pairs = |layer| config.targets.iter().filter_map(|target| Some((*target, pair(layer, *target)?))).collect();
        let layers = (0..model.layers).map(|layer| LayerAdapter { index: layer, pairs: pairs(layer) }).collect();
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
                let mut part = |part: &str, value: &Tensor<2>| change(&format!("{path}.{part}"), value.clone());
                let (a, b) = (part(A, &pair.a), part(B, &pair.b));
                let magnitude = pair.magnitude.as_ref().map(|magnitude| part(MAGNITUDE, magnitude));
                (*target, Lora { a, b, magnitude, scale: pair.scale })
            });
            LayerAdapter { index: layer.index, pairs: pairs.collect() }
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

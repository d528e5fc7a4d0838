//! The shape of an adapter, and the projections that can carry a pair.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ModelConfig;

/// A projection that can carry a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Queries.
    QProj,
    /// Keys.
    KProj,
    /// Values.
    VProj,
    /// The output of attention.
    OProj,
    /// The gate of the feed-forward part.
    GateProj,
    /// Its rise.
    UpProj,
    /// Its fall.
    DownProj,
}

impl Target {
    /// Every projection of a block: PEFT's `all-linear`.
    pub const ALL: [Self; 7] = [Self::QProj, Self::KProj, Self::VProj, Self::OProj, Self::GateProj, Self::UpProj, Self::DownProj];

    /// Its field name in Hugging Face models.
    pub fn name(self) -> &'static str {
        match self {
            Self::QProj => "q_proj",
            Self::KProj => "k_proj",
            Self::VProj => "v_proj",
            Self::OProj => "o_proj",
            Self::GateProj => "gate_proj",
            Self::UpProj => "up_proj",
            Self::DownProj => "down_proj",
        }
    }

    /// Finds a projection by its field name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    /// Its path in block `layer`, such as `model.layers.0.self_attn.q_proj`.
    pub fn path(self, layer: usize) -> String {
        let part = match self {
            Self::QProj | Self::KProj | Self::VProj | Self::OProj => "self_attn",
            Self::GateProj | Self::UpProj | Self::DownProj => "mlp",
        };
        format!("model.layers.{layer}.{part}.{}", self.name())
    }

    /// Its input and output widths.
    pub fn widths(self, config: &ModelConfig) -> (usize, usize) {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        match self {
            Self::QProj => (hidden, config.query_width()),
            Self::KProj | Self::VProj => (hidden, config.kv_width()),
            Self::OProj => (config.query_width(), hidden),
            Self::GateProj | Self::UpProj => (hidden, inner),
            Self::DownProj => (inner, hidden),
        }
    }
}

/// The shape of an adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoraConfig {
    /// Width of the bottleneck.
    pub rank: usize,
    /// The pair's product is scaled by `alpha / rank`.
    pub alpha: f64,
    /// Share of the pair's inputs dropped in training.
    pub dropout: f64,
    /// The projections that carry a pair.
    pub targets: BTreeSet<Target>,
}

impl LoraConfig {
    /// The factor on every pair's product.
    #[expect(clippy::cast_precision_loss, reason = "ranks are far below 2^52")]
    pub fn scale(&self) -> f64 {
        self.alpha / self.rank as f64
    }
}

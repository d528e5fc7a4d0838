//! The projections that can carry a pair.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ModelConfig, weights::Family};

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
    /// Queries, keys, and values of Falcon.
    QueryKeyValue,
    /// The output of Falcon's attention.
    Dense,
    /// The rise of Falcon's feed-forward part.
    #[serde(rename = "dense_h_to_4h")]
    DenseHTo4h,
    /// Its fall.
    #[serde(rename = "dense_4h_to_h")]
    Dense4hToH,
}

impl Target {
    /// Every projection of any family.
    pub const ALL: [Self; 11] = [
        Self::QProj,
        Self::KProj,
        Self::VProj,
        Self::OProj,
        Self::GateProj,
        Self::UpProj,
        Self::DownProj,
        Self::QueryKeyValue,
        Self::Dense,
        Self::DenseHTo4h,
        Self::Dense4hToH,
    ];

    /// Every projection of a Llama block.
    pub const LLAMA: [Self; 7] =
        [Self::QProj, Self::KProj, Self::VProj, Self::OProj, Self::GateProj, Self::UpProj, Self::DownProj];

    /// Every projection of a Falcon block.
    pub const FALCON: [Self; 4] = [Self::QueryKeyValue, Self::Dense, Self::DenseHTo4h, Self::Dense4hToH];

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
            Self::QueryKeyValue => "query_key_value",
            Self::Dense => "dense",
            Self::DenseHTo4h => "dense_h_to_4h",
            Self::Dense4hToH => "dense_4h_to_h",
        }
    }

    /// Finds a projection by its field name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    /// Finds the first projection that blocks of a family do not have, and says so.
    pub fn refuse_foreign<'a>(targets: impl IntoIterator<Item = &'a Self>, family: Family) -> Result<(), String> {
        let own = family.projections();
        match targets.into_iter().find(|target| !own.contains(target)) {
            Some(target) => {
                let names: Vec<&str> = own.iter().map(|own| own.name()).collect();
                let (name, family) = (target.name(), family.model_type());
                Err(format!("{name} is no projection of a {family} block: those are {}", names.join(", ")))
            }
            None => Ok(()),
        }
    }

    /// Its path in block `layer`, such as `model.layers.0.self_attn.q_proj`.
    pub fn path(self, layer: usize) -> String {
        let (blocks, part) = match self {
            Self::QProj | Self::KProj | Self::VProj | Self::OProj => ("model.layers", "self_attn"),
            Self::GateProj | Self::UpProj | Self::DownProj => ("model.layers", "mlp"),
            Self::QueryKeyValue | Self::Dense => ("transformer.h", "self_attention"),
            Self::DenseHTo4h | Self::Dense4hToH => ("transformer.h", "mlp"),
        };
        format!("{blocks}.{layer}.{part}.{}", self.name())
    }

    /// Its input and output widths.
    pub fn widths(self, config: &ModelConfig) -> (usize, usize) {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        match self {
            Self::QProj => (hidden, config.query_width()),
            Self::KProj | Self::VProj => (hidden, config.kv_width()),
            Self::QueryKeyValue => (hidden, config.query_width() + 2 * config.kv_width()),
            Self::OProj | Self::Dense => (config.query_width(), hidden),
            Self::GateProj | Self::UpProj | Self::DenseHTo4h => (hidden, inner),
            Self::DownProj | Self::Dense4hToH => (inner, hidden),
        }
    }
}

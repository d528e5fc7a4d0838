//! The families of networks that run, and what tells them apart: names, projections, and how a block is wired.

use serde::{Deserialize, Serialize};

use crate::Target;

/// A family of networks, as `model_type` of `config.json` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Llama 1 to 3 and everything that uses its `model_type`, such as SmolLM.
    Llama,
    /// Llama with a sliding window.
    Mistral,
    /// Llama with biases on queries, keys, and values; Qwen2.5 is the same network.
    Qwen2,
    /// Llama with norms on the heads of queries and keys.
    Qwen3,
    /// Attention and feed-forward side by side, layer norms, one fused projection for queries, keys, and values.
    Falcon,
}

/// How attention and the feed-forward part of a block are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wiring {
    /// One after the other, each behind its norm and beside its residual.
    Sequential,
    /// Side by side behind one norm: Falcon 7B.
    Parallel,
    /// Side by side, each behind a norm of its own: Falcon 40B.
    ParallelTwoNorms,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 5] = [Self::Llama, Self::Mistral, Self::Qwen2, Self::Qwen3, Self::Falcon];

    /// Its `model_type`.
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Falcon => "falcon",
        }
    }

    /// Finds a family by its `model_type`.
    pub fn by_model_type(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.model_type() == name)
    }

    /// Every `model_type` that runs, for people.
    pub fn names() -> String {
        Self::ALL.map(Self::model_type).join(", ")
    }

    /// The class that `transformers` loads it with.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Mistral => "MistralForCausalLM",
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
            Self::Falcon => "FalconForCausalLM",
        }
    }

    /// The projections of a block, in the order of its arithmetic: what `all_linear` means.
    pub fn projections(self) -> &'static [Target] {
        match self {
            Self::Llama | Self::Mistral | Self::Qwen2 | Self::Qwen3 => &Target::LLAMA,
            Self::Falcon => &Target::FALCON,
        }
    }

    /// Where its blocks lie among the tensors.
    pub(crate) fn blocks(self) -> &'static str {
        match self {
            Self::Falcon => "transformer.h",
            _ => "model.layers",
        }
    }

    /// The table of token embeddings.
    pub(crate) fn embedding(self) -> &'static str {
        match self {
            Self::Falcon => "transformer.word_embeddings.weight",
            _ => "model.embed_tokens.weight",
        }
    }

    /// The norm before the head, without `.weight`.
    pub(crate) fn final_norm(self) -> &'static str {
        match self {
            Self::Falcon => "transformer.ln_f",
            _ => "model.norm",
        }
    }

    /// Whether its norms subtract the mean and add a bias.
    pub(crate) fn layer_norms(self) -> bool {
        self == Self::Falcon
    }

    /// Whether queries, keys, and values come out of one projection, key head by key head.
    pub(crate) fn fused(self) -> bool {
        self == Self::Falcon
    }

    /// Whether a gate decides how much of the feed-forward part's rise passes.
    pub(crate) fn gated(self) -> bool {
        self != Self::Falcon
    }

    /// Whether every head of queries and keys goes through a norm.
    pub(crate) fn head_norms(self) -> bool {
        self == Self::Qwen3
    }
}

impl Wiring {
    /// The norms of a block, without `.weight`: before attention, and before the feed-forward part if that has its own.
    pub(crate) fn norms(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Sequential => ("input_layernorm", Some("post_attention_layernorm")),
            Self::Parallel => ("input_layernorm", None),
            Self::ParallelTwoNorms => ("ln_attn", Some("ln_mlp")),
        }
    }
}

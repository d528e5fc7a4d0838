//! The shape of a network: read from `config.json` or from GGUF metadata, written to `config.json`.

mod family;
mod gguf;
mod hf;
mod rope;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use family::{Family, Wiring};
pub use rope::{Llama3Scaling, RopeScaling, YarnScaling};

use super::names;
use crate::Target;

/// Everything the forward pass of a network needs to know besides its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// Which network it is.
    pub family: Family,
    /// How the parts of a block are joined.
    pub wiring: Wiring,
    /// Tokens in the vocabulary.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward part.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head; even.
    pub head_dim: usize,
    /// Longest sequence.
    pub context: usize,
    /// How many tokens a token sees, itself included, if not all before it.
    pub window: Option<usize>,
    /// Added to the mean square before its root.
    pub norm_eps: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f32,
    /// How the frequencies are stretched, if they are.
    pub rope_scaling: Option<RopeScaling>,
    /// The projections that add a bias.
    pub biases: BTreeSet<Target>,
    /// Whether the head is the embedding.
    pub tied_head: bool,
}

impl ModelConfig {
    /// Returns a network small enough for any test, with grouped heads and a head of its own.
    pub fn tiny(family: Family) -> Self {
        let falcon = family == Family::Falcon;
        Self {
            family,
            wiring: if falcon { Wiring::ParallelTwoNorms } else { Wiring::Sequential },
            vocab_size: 97,
            hidden_size: 32,
            intermediate_size: 48,
            layers: 2,
            heads: 4,
            kv_heads: 2,
            head_dim: 8,
            context: 64,
            window: None,
            norm_eps: 1e-5,
            rope_theta: 10_000.0,
            rope_scaling: None,
            biases: match family {
                Family::Qwen2 => [Target::QProj, Target::KProj, Target::VProj].into(),
                _ => BTreeSet::new(),
            },
            tied_head: false,
        }
    }

    /// Refuses shapes that cannot be a network, before anything is allocated by them.
    fn checked(self) -> Result<Self, String> {
        let sizes = [
            ("vocabulary", self.vocab_size),
            ("hidden size", self.hidden_size),
            ("intermediate size", self.intermediate_size),
            ("number of layers", self.layers),
            ("number of heads", self.heads),
            ("number of key-value heads", self.kv_heads),
            ("head width", self.head_dim),
            ("context", self.context),
            ("sliding window", self.window.unwrap_or(1)),
        ];
        for (name, size) in sizes {
            if size == 0 || size > 1 << 28 {
                return Err(format!("{name} is {size}"));
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(format!("{} heads cannot share {} key-value heads", self.heads, self.kv_heads));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(format!("head width {} is odd", self.head_dim));
        }
        if self.family == Family::Falcon && self.query_width() != self.hidden_size {
            return Err(format!("hidden size {} does not split into {} heads", self.hidden_size, self.heads));
        }
        if !(self.norm_eps > 0.0 && self.norm_eps < 1.0 && self.rope_theta >= 1.0) {
            return Err(format!("norm epsilon {} or rope base {} is out of range", self.norm_eps, self.rope_theta));
        }
        Ok(self)
    }

    /// Returns the `config.json` that describes this network.
    pub fn to_hf(&self) -> Value {
        if self.family == Family::Falcon { self.falcon_to_hf() } else { self.gated_to_hf() }
    }

    fn rope_to_hf(&self) -> Value {
        self.rope_scaling.map_or(Value::Null, RopeScaling::to_hf)
    }

    fn gated_to_hf(&self) -> Value {
        let mut config = json!({
            "architectures": [self.family.class()], "model_type": self.family.model_type(), "torch_dtype": "float32",
            "vocab_size": self.vocab_size, "hidden_size": self.hidden_size, "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.layers, "num_attention_heads": self.heads, "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim, "max_position_embeddings": self.context, "rms_norm_eps": self.norm_eps,
            "rope_theta": self.rope_theta, "rope_scaling": self.rope_to_hf(), "tie_word_embeddings": self.tied_head,
            "hidden_act": "silu",
        });
        let (attention, mlp) = (self.biases.contains(&Target::OProj), self.biases.contains(&Target::DownProj));
        match self.family {
            Family::Mistral => config["sliding_window"] = json!(self.window),
            Family::Qwen2 => config["use_sliding_window"] = json!(false),
            Family::Qwen3 => {
                config["use_sliding_window"] = json!(false);
                config["attention_bias"] = json!(attention);
            }
            Family::Llama | Family::Falcon => {
                config["attention_bias"] = json!(attention);
                config["mlp_bias"] = json!(mlp);
            }
        }
        config
    }

    fn falcon_to_hf(&self) -> Value {
        let grouped = match self.wiring {
            Wiring::ParallelTwoNorms => true,
            // The older spelling knows only these two.
            Wiring::Parallel | Wiring::Sequential => self.kv_heads != 1 && self.kv_heads != self.heads,
        };
        let norms = match self.wiring {
            Wiring::ParallelTwoNorms => json!(2),
            Wiring::Parallel if grouped => json!(1),
            Wiring::Parallel | Wiring::Sequential => Value::Null,
        };
        json!({
            "architectures": [self.family.class()], "model_type": self.family.model_type(), "torch_dtype": "float32",
            "vocab_size": self.vocab_size, "hidden_size": self.hidden_size, "ffn_hidden_size": self.intermediate_size,
            "num_hidden_layers": self.layers, "num_attention_heads": self.heads, "num_kv_heads": self.kv_heads,
            "max_position_embeddings": self.context, "layer_norm_epsilon": self.norm_eps,
            "rope_theta": self.rope_theta, "rope_scaling": self.rope_to_hf(), "tie_word_embeddings": self.tied_head,
            "activation": "gelu", "alibi": false, "bias": !self.biases.is_empty(), "new_decoder_architecture": grouped,
            "multi_query": self.kv_heads == 1, "parallel_attn": self.wiring != Wiring::Sequential,
            "num_ln_in_parallel_attn": norms,
        })
    }

    /// Width of all query heads together.
    pub fn query_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of all key heads together.
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Number of parameters, a tied head counted once.
    pub fn parameters(&self) -> u64 {
        names::all(self).iter().map(|tensor| (tensor.shape[0] * tensor.shape[1]) as u64).sum()
    }
}

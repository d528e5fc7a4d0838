//! Reads the shape of a network from the metadata of a GGUF file.

use std::collections::BTreeSet;

use super::{Family, ModelConfig, Wiring, hf::DEFAULT_THETA};
use crate::{ModelError, gguf::Gguf};

impl ModelConfig {
    /// Reads the metadata of a GGUF file.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, ModelError> {
        let found = gguf.text("general.architecture").unwrap_or("none").to_owned();
        if found != "llama" {
            return Err(ModelError::GgufArchitecture { path: gguf.path().to_owned(), found });
        }
        Self::read_gguf(gguf).and_then(Self::checked).map_err(|reason| ModelError::format(gguf.path(), reason))
    }

    fn read_gguf(gguf: &Gguf) -> Result<Self, String> {
        let size = |key: &str| {
            let found = gguf.number(&format!("llama.{key}")).and_then(|number| usize::try_from(number).ok());
            found.ok_or_else(|| format!("metadata llama.{key} is missing or not a size"))
        };
        let scaling = gguf.text("llama.rope.scaling.type").filter(|kind| *kind != "none");
        if let Some(kind) = scaling {
            return Err(format!("rope scaling {kind:?} is not supported in GGUF files"));
        }
        let (hidden_size, heads) = (size("embedding_length")?, size("attention.head_count")?);
        let embedding = gguf.tensor("token_embd.weight").ok_or("tensor token_embd.weight is missing")?;
        Ok(Self {
            family: Family::Llama,
            wiring: Wiring::Sequential,
            vocab_size: embedding.shape.first().copied().unwrap_or(0),
            hidden_size,
            intermediate_size: size("feed_forward_length")?,
            layers: size("block_count")?,
            heads,
            kv_heads: size("attention.head_count_kv").unwrap_or(heads),
            head_dim: size("attention.key_length").ok().or_else(|| hidden_size.checked_div(heads)).unwrap_or(0),
            context: size("context_length")?,
            window: None,
            norm_eps: gguf.float("llama.attention.layer_norm_rms_epsilon").unwrap_or(1e-5),
            rope_theta: gguf.float("llama.rope.freq_base").unwrap_or(DEFAULT_THETA),
            rope_scaling: None,
            biases: BTreeSet::new(),
            tied_head: gguf.tensor("output.weight").is_none(),
        })
    }
}

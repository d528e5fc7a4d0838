//! Hugging Face names of a Llama network's tensors, with their shapes.

use crate::{ModelConfig, Target};

pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";
pub(crate) const NORM: &str = "model.norm.weight";
pub(crate) const HEAD: &str = "lm_head.weight";
pub(crate) const ATTENTION_NORM: &str = "input_layernorm.weight";
pub(crate) const MLP_NORM: &str = "post_attention_layernorm.weight";

/// Names a tensor of block `index`.
pub(crate) fn layer(index: usize, name: &str) -> String {
    format!("model.layers.{index}.{name}")
}

/// Returns every tensor that a network has: name and `[rows, columns]`, vectors as one row.
pub(crate) fn all(config: &ModelConfig) -> Vec<(String, [usize; 2])> {
    let table = [config.vocab_size, config.hidden_size];
    let norm = [1, config.hidden_size];
    let mut found = vec![(EMBEDDING.to_owned(), table), (NORM.to_owned(), norm)];
    if !config.tied_head {
        found.push((HEAD.to_owned(), table));
    }
    for index in 0..config.layers {
        found.push((layer(index, ATTENTION_NORM), norm));
        found.push((layer(index, MLP_NORM), norm));
        for target in Target::ALL {
            let (inputs, outputs) = target.widths(config);
            found.push((format!("{}.weight", target.path(index)), [outputs, inputs]));
        }
    }
    found
}

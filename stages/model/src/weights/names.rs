//! Hugging Face names of a network's tensors, with their shapes.

use crate::{ModelConfig, Target};

pub(crate) const HEAD: &str = "lm_head.weight";

/// A tensor that a network has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) name: String,
    /// `[rows, columns]`, vectors as one row.
    pub(crate) shape: [usize; 2],
    pub(crate) kind: Kind,
}

/// What a tensor is to its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A table or a projection.
    Matrix,
    /// The scale of a norm.
    Scale,
    /// What a norm or a projection adds.
    Bias,
}

impl Spec {
    fn matrix(name: String, shape: [usize; 2]) -> Self {
        Self { name, shape, kind: Kind::Matrix }
    }

    fn vector(name: String, width: usize, kind: Kind) -> Self {
        Self { name, shape: [1, width], kind }
    }

    /// Its shape as files have it: vectors have one dimension.
    pub(crate) fn dimensions(&self) -> Vec<usize> {
        let [rows, columns] = self.shape;
        if self.kind == Kind::Matrix { vec![rows, columns] } else { vec![columns] }
    }
}

/// Names a part of block `index`.
pub(crate) fn layer(config: &ModelConfig, index: usize, name: &str) -> String {
    format!("{}.{index}.{name}", config.family.blocks())
}

/// The norms on the heads of queries and keys, without `.weight`.
pub(crate) const HEAD_NORMS: [&str; 2] = ["self_attn.q_norm", "self_attn.k_norm"];

/// Returns every tensor that a network has.
pub(crate) fn all(config: &ModelConfig) -> Vec<Spec> {
    let table = [config.vocab_size, config.hidden_size];
    let mut found = vec![Spec::matrix(config.family.embedding().to_owned(), table)];
    norm(config, config.family.final_norm(), config.hidden_size, &mut found);
    if !config.tied_head {
        found.push(Spec::matrix(HEAD.to_owned(), table));
    }
    for index in 0..config.layers {
        block(config, index, &mut found);
    }
    found
}

fn block(config: &ModelConfig, index: usize, found: &mut Vec<Spec>) {
    let (first, second) = config.wiring.norms();
    for name in std::iter::once(first).chain(second) {
        norm(config, &layer(config, index, name), config.hidden_size, found);
    }
    if config.family.head_norms() {
        for name in HEAD_NORMS {
            norm(config, &layer(config, index, name), config.head_dim, found);
        }
    }
    for target in config.family.projections() {
        let (inputs, outputs) = target.widths(config);
        found.push(Spec::matrix(weight(*target, index), [outputs, inputs]));
        if config.biases.contains(target) {
            found.push(Spec::vector(bias(*target, index), outputs, Kind::Bias));
        }
    }
}

/// Names the weight of a projection.
pub(crate) fn weight(target: Target, index: usize) -> String {
    format!("{}.weight", target.path(index))
}

/// Names the bias of a projection.
pub(crate) fn bias(target: Target, index: usize) -> String {
    format!("{}.bias", target.path(index))
}

fn norm(config: &ModelConfig, path: &str, width: usize, found: &mut Vec<Spec>) {
    found.push(Spec::vector(format!("{path}.weight"), width, Kind::Scale));
    if config.family.layer_norms() {
        found.push(Spec::vector(format!("{path}.bias"), width, Kind::Bias));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{Family, Wiring};

    fn names(config: &ModelConfig) -> Vec<String> {
        all(config).into_iter().map(|tensor| tensor.name).collect()
    }

    #[test]
    fn falcon_has_its_own_names_and_fused_shapes() {
        let falcon = ModelConfig { tied_head: true, layers: 1, ..ModelConfig::tiny(Family::Falcon) };
        let want = [
            "transformer.word_embeddings.weight",
            "transformer.ln_f.weight",
            "transformer.ln_f.bias",
            "transformer.h.0.ln_attn.weight",
            "transformer.h.0.ln_attn.bias",
            "transformer.h.0.ln_mlp.weight",
            "transformer.h.0.ln_mlp.bias",
            "transformer.h.0.self_attention.query_key_value.weight",
            "transformer.h.0.self_attention.dense.weight",
            "transformer.h.0.mlp.dense_h_to_4h.weight",
            "transformer.h.0.mlp.dense_4h_to_h.weight",
        ];
        assert_eq!(names(&falcon), want);
        let seven = ModelConfig { wiring: Wiring::Parallel, kv_heads: 1, ..falcon };
        assert!(names(&seven).contains(&"transformer.h.0.input_layernorm.bias".to_owned()));
        let fused = all(&seven).into_iter().find(|tensor| tensor.name.ends_with("query_key_value.weight"));
        assert_eq!(fused.expect("present").shape, [(4 + 2) * 8, 32]);
    }

    #[test]
    fn qwen_adds_biases_or_head_norms() {
        let two = names(&ModelConfig::tiny(Family::Qwen2));
        assert!(two.contains(&"model.layers.1.self_attn.k_proj.bias".to_owned()));
        assert!(!two.contains(&"model.layers.1.self_attn.o_proj.bias".to_owned()));
        let three = names(&ModelConfig::tiny(Family::Qwen3));
        assert!(three.contains(&"model.layers.1.self_attn.q_norm.weight".to_owned()));
    }

    #[test]
    fn parameters_are_what_the_tensors_hold() {
        let config = ModelConfig::tiny(Family::Llama);
        let layer = 32 * (32 + 16 + 16 + 32) + 3 * 32 * 48 + 2 * 32;
        assert_eq!(config.parameters(), 2 * layer + 2 * 97 * 32 + 32);
    }
}

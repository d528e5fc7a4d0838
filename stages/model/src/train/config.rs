//! What `train/sft` accepts. Names and defaults are those of the field's trainers, cut to what is built.

use std::{
    collections::BTreeMap,
    num::{NonZeroU32, NonZeroU64},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{OptimConfig, step::Recompute, targets::Targets};
use crate::{
    AdapterKind, LoraConfig, ModelConfig, Pattern, Scaling, Target,
    ranges::{BelowOne, Positive},
    weights::Precision,
};

/// Teach a language model from examples by LoRA: the base stays frozen, a small adapter learns.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SftConfig {
    /// The model to teach: `pip:`, `hf:`, `file:`, or `registry:`, then where it is.
    pub base: String,
    /// What learns.
    #[serde(default)]
    pub method: MethodConfig,
    /// How it learns.
    #[serde(default)]
    pub optim: OptimConfig,
    /// How many rows one optimizer step sees.
    #[serde(default)]
    pub batch: BatchConfig,
    /// How long it learns.
    #[serde(default)]
    pub duration: DurationConfig,
    /// What is kept in memory.
    #[serde(default)]
    pub memory: MemoryConfig,
    /// What a crash may cost.
    #[serde(default)]
    pub checkpoint: CheckpointConfig,
    /// How the validation loss is taken.
    #[serde(default)]
    pub eval: EvalConfig,
    /// What it leaves behind besides the adapter.
    #[serde(default, skip_serializing_if = "OutputConfig::is_default")]
    pub output: OutputConfig,
    /// Where tensors live: `auto`, `cpu`, `cuda`, or `cuda:N`.
    #[serde(default = "auto")]
    pub device: String,
    /// Decides the adapter's first weights, the order of the rows, and dropout; the workflow's seed if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// The adapter.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MethodConfig {
    /// The kind of adapter.
    pub r#type: Method,
    /// Rank of each update; more can learn more and costs more.
    pub rank: NonZeroU32,
    /// Scale of the update: it is multiplied by alpha / rank.
    pub alpha: Positive,
    /// Divides alpha by the root of the rank instead, so that an update stays as large at any rank (rsLoRA).
    #[serde(skip_serializing_if = "is_false")]
    pub rslora: bool,
    /// Share of an adapted layer's inputs that is switched off at random while training.
    pub dropout: BelowOne,
    /// The matrices that get an update: `all_linear`, names such as `[q_proj, v_proj]`, or one regular expression over whole paths
    /// such as `model.layers.0.self_attn.q_proj`.
    pub targets: Targets,
    /// Ranks of some matrices, by a regular expression over the end of their paths, such as `layers.0.self_attn.q_proj`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rank_pattern: BTreeMap<String, NonZeroU32>,
    /// Alphas of some matrices, likewise.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub alpha_pattern: BTreeMap<String, Positive>,
}

impl Default for MethodConfig {
    fn default() -> Self {
        Self {
            r#type: Method::Lora,
            rank: count(16),
            alpha: Positive::of(32.0),
            dropout: BelowOne::default(),
            targets: Targets::AllLinear,
            rslora: false,
            rank_pattern: BTreeMap::new(),
            alpha_pattern: BTreeMap::new(),
        }
    }
}

impl MethodConfig {
    /// The adapter's shape for a network.
    pub fn lora(&self, model: &ModelConfig) -> Result<LoraConfig, String> {
        let every = || model.family.projections().iter().copied().collect();
        let (targets, only) = match &self.targets {
            Targets::AllLinear => (every(), None),
            Targets::Only(targets) => (Target::refuse_foreign(targets, model.family).map(|()| targets.clone())?, None),
            Targets::Matching(pattern) => (every(), Some(Pattern::whole(pattern)?)),
        };
        let ranks = self.rank_pattern.iter().map(|(text, rank)| Ok((Pattern::end(text)?, rank.get() as usize)));
        let alphas = self.alpha_pattern.iter().map(|(text, alpha)| Ok((Pattern::end(text)?, alpha.get())));
        let config = LoraConfig {
            rank: self.rank.get() as usize,
            alpha: self.alpha.get(),
            dropout: self.dropout.get(),
            targets,
            only,
            scaling: if self.rslora { Scaling::RootOfRank } else { Scaling::Rank },
            kind: self.r#type.kind(),
            ranks: ranks.collect::<Result<_, String>>()?,
            alphas: alphas.collect::<Result<_, String>>()?,
        };
        config.check(model).map(|()| config)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Kinds of adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// A low-rank update beside each frozen matrix.
    Lora,
    /// A low-rank update of the direction of every row of a matrix, and a length of the row that is learned beside it.
    Dora,
}

impl Method {
    fn kind(self) -> AdapterKind {
        match self {
            Self::Lora => AdapterKind::Lora,
            Self::Dora => AdapterKind::Dora,
        }
    }
}

/// Rows per step.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BatchConfig {
    /// Rows of one optimizer step; under `packing` bins of them.
    pub global: NonZeroU32,
    /// Rows, or bins, that go through the network together; changes memory and speed, not what is learned.
    pub micro: NonZeroU32,
    /// Whether rows share bins. A row keeps its own positions and sees no other row, so that this changes speed and which rows
    /// share a step, not what a row teaches.
    #[serde(skip_serializing_if = "Packing::is_none")]
    pub packing: Packing,
    /// Tokens of a row at most, and of a bin; what `text/tokenize` had as its `max_length` if left out. A longer row is an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<NonZeroU32>,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self { global: count(32), micro: count(8), packing: Packing::default(), max_length: None }
    }
}

/// Ways to fill bins with rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Packing {
    /// Every row is alone, padded to the longest beside it.
    #[default]
    None,
    /// Best-fit decreasing: the longest rows first, each into the fullest bin that takes it.
    Bfd,
}

impl Packing {
    /// Whether nothing was asked for: such configurations read and hash as before there was a choice.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// The end of training: whichever limit comes first.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DurationConfig {
    /// Times every row is seen.
    pub epochs: NonZeroU32,
    /// Optimizer steps at most.
    pub max_steps: Option<NonZeroU64>,
}

impl Default for DurationConfig {
    fn default() -> Self {
        Self { epochs: count(3), max_steps: None }
    }
}

/// Memory against time.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MemoryConfig {
    /// What happens to activations; changes memory and speed, not what is learned.
    pub recompute: Recompute,
}

/// Checkpoints, from which a stopped run goes on to the same bytes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointConfig {
    /// Optimizer steps between two checkpoints.
    pub every_steps: NonZeroU32,
    /// Checkpoints kept while training; its end is kept beyond it.
    pub keep: NonZeroU32,
    /// What a run may go on from.
    pub resume: Resume,
}

/// What training goes on from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Resume {
    /// From a checkpoint that this very training would have passed: its own, or one of a shorter or longer training under a
    /// schedule that does not look ahead.
    #[default]
    Auto,
    /// From any shorter training that differs only in its length, although another schedule made it.
    Prefix,
    /// From nothing.
    Never,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { every_steps: count(10), keep: count(2), resume: Resume::default() }
    }
}

/// The validation loss: before training and after it, over the same rows.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EvalConfig {
    /// Rows that are scored at most, drawn by a hash of their ids; `null` scores every row.
    pub max_examples: Option<NonZeroU32>,
    /// Decides which rows are drawn. It is not the seed of training, so that losses of several seeds compare.
    pub seed: u64,
}

impl Default for EvalConfig {
    fn default() -> Self {
        Self { max_examples: Some(count(500)), seed: 0 }
    }
}

/// What training writes besides the adapter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OutputConfig {
    /// Whether base and adapter are written as one model too, as the output `merged`.
    pub merged: Merged,
    /// The numbers of the merged model.
    pub dtype: Precision,
}

impl OutputConfig {
    /// Whether nothing was asked for: such configurations read and hash as before there was a choice.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Forms of a merged model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Merged {
    /// There is none.
    #[default]
    None,
    /// A Hugging Face folder, sharded where it is large.
    Safetensors,
}

fn auto() -> String {
    "auto".to_owned()
}

/// A default that is not zero.
fn count(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{Family, weights::config::tests::tiny};

    fn parse(json: &str) -> Result<SftConfig, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn only_the_base_is_required_and_defaults_survive_a_round_trip() {
        let config = parse(r#"{"base": "file:model"}"#).unwrap();
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::to_string(&parse(&json).unwrap()).unwrap(), json);
        assert_eq!(config.method.lora(&tiny()).unwrap().targets.len(), 7);
        assert_eq!(config.method.lora(&ModelConfig::tiny(Family::Falcon)).unwrap().targets, BTreeSet::from(Target::FALCON));
        assert!(json.contains(r#""lr":0.0002"#) && json.contains(r#""targets":"all_linear""#), "{json}");
    }

    #[test]
    fn null_switches_clipping_off() {
        let config = parse(r#"{"base": "file:model", "optim": {"max_grad_norm": null}}"#).unwrap();
        assert_eq!(config.optim.max_grad_norm, None);
    }

    #[test]
    fn the_validation_sample_has_a_size_that_null_lifts() {
        let most = |json: &str| parse(json).unwrap().eval.max_examples.map(NonZeroU32::get);
        assert_eq!(most(r#"{"base": "file:m"}"#), Some(500));
        assert_eq!(most(r#"{"base": "file:m", "eval": {"max_examples": null}}"#), None);
        assert!(parse(r#"{"base": "file:m", "eval": {"max_examples": 0}}"#).is_err());
    }

    #[test]
    fn targets_by_name() {
        let config = parse(r#"{"base": "file:m", "method": {"targets": ["v_proj", "q_proj"]}}"#).unwrap();
        let lora = config.method.lora(&ModelConfig::tiny(Family::Qwen3)).unwrap();
        assert_eq!(lora.targets, BTreeSet::from([Target::QProj, Target::VProj]));
        let refusal = config.method.lora(&ModelConfig::tiny(Family::Falcon)).unwrap_err();
        assert!(refusal.contains("q_proj") && refusal.contains("query_key_value, dense, dense_h_to_4h"), "{refusal}");
    }

    #[test]
    fn patterns_pick_matrices_and_change_some() {
        let config = parse(
            r#"{"base": "file:m", "method": {"type": "dora", "rslora": true, "targets": ".*layers\\.1\\..*_proj",
                "rank_pattern": {"q_proj": 2}, "alpha_pattern": {"down_proj": 4}}}"#,
        )
        .unwrap();
        let lora = config.method.lora(&tiny()).unwrap();
        assert_eq!((lora.kind, lora.scaling), (AdapterKind::Dora, Scaling::RootOfRank));
        assert!(lora.site(Target::QProj, 0).is_none());
        assert_eq!(lora.site(Target::QProj, 1).unwrap().rank, 2);
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::to_string(&parse(&json).unwrap()).unwrap(), json);
        let unmatched = parse(r#"{"base": "file:m", "method": {"rank_pattern": {"w_proj": 2}}}"#).unwrap();
        assert!(unmatched.method.lora(&tiny()).unwrap_err().contains("w_proj"));
    }

    #[test]
    fn a_merged_model_is_asked_for_and_changes_nothing_else() {
        let plain = parse(r#"{"base": "file:m"}"#).unwrap();
        assert!(!serde_json::to_string(&plain).unwrap().contains("output"), "the key of a plain training stays");
        let config = parse(r#"{"base": "file:m", "output": {"merged": "safetensors", "dtype": "f16"}}"#).unwrap();
        assert_eq!(config.output, OutputConfig { merged: Merged::Safetensors, dtype: Precision::F16 });
        assert!(serde_json::to_string(&config).unwrap().contains(r#""merged":"safetensors""#));
        assert!(parse(r#"{"base": "file:m", "output": {"merged": "gguf"}}"#).is_err());
    }

    #[test]
    fn packing_is_asked_for_and_changes_nothing_else() {
        let plain = serde_json::to_string(&parse(r#"{"base": "file:m", "batch": {"packing": "none"}}"#).unwrap()).unwrap();
        assert!(plain.contains(r#""batch":{"global":32,"micro":8}"#), "the key of a plain training stays: {plain}");
        let packed = parse(r#"{"base": "file:m", "batch": {"packing": "bfd", "max_length": 512}}"#).unwrap();
        assert_eq!((packed.batch.packing, packed.batch.max_length), (Packing::Bfd, NonZeroU32::new(512)));
        assert!(serde_json::to_string(&packed).unwrap().contains(r#""packing":"bfd","max_length":512"#));
        assert!(parse(r#"{"base": "file:m", "batch": {"packing": true}}"#).is_err());
    }

    #[test]
    fn wrong_values_are_refused() {
        for wrong in [
            r#"{"base": "file:m", "optim": {"lr": 0}}"#,
            r#"{"base": "file:m", "optim": {"betas": [0.9, 1.0]}}"#,
            r#"{"base": "file:m", "batch": {"global": 0}}"#,
            r#"{"base": "file:m", "method": {"targets": "attention"}}"#,
            r#"{"base": "file:m", "method": {"targets": []}}"#,
            r#"{"base": "file:m", "learning_rate": 1}"#,
        ] {
            assert!(parse(wrong).is_err(), "{wrong} was accepted");
        }
    }
}

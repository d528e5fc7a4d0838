//! What `eval/suite` accepts.

use std::num::NonZeroU32;

use flow_text::score::{Bootstrap, Normalizer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::metric::Metric;

/// Let the base and the tuned model answer the same held-out questions and say what the difference is worth.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SuiteConfig {
    /// The model under the adapter: `pip:`, `hf:`, `file:`, or `registry:`, then where it is.
    pub base: String,
    /// What is scored.
    #[serde(default = "default_metrics")]
    pub metrics: Vec<Metric>,
    /// Fields that `field_match` and `field_accuracy` look at; all of the reference's when left out.
    #[serde(default)]
    pub fields: Vec<String>,
    /// What counts as the same text.
    #[serde(default)]
    pub normalize: Normalizer,
    /// Examples that the base sees before the question, in an arm of its own; 0 leaves that arm out.
    #[serde(default)]
    pub shots: u32,
    /// Tokens an answer may have.
    #[serde(default = "default_tokens")]
    pub max_new_tokens: NonZeroU32,
    /// Items at most, drawn by a hash of their ids; all when left out.
    #[serde(default)]
    pub limit: Option<NonZeroU32>,
    /// Prompts answered together; changes memory and speed, not answers.
    #[serde(default = "default_batch")]
    pub batch: NonZeroU32,
    /// How the intervals are found.
    #[serde(default)]
    pub bootstrap: BootstrapConfig,
    /// Where tensors live while likelihoods are scored: `auto`, `cpu`, `cuda`, or `cuda:N`.
    #[serde(default = "auto")]
    pub device: String,
    /// Decides which items and examples are drawn; the workflow's seed if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// The bootstrap behind the 95 % intervals.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BootstrapConfig {
    /// Resamples of the items.
    pub resamples: NonZeroU32,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for BootstrapConfig {
    fn default() -> Self {
        Self { resamples: count(1_000), seed: Bootstrap::default().seed }
    }
}

impl BootstrapConfig {
    /// As the statistics take it.
    pub fn get(self) -> Bootstrap {
        Bootstrap { resamples: self.resamples.get() as usize, seed: self.seed }
    }
}

fn default_metrics() -> Vec<Metric> {
    vec![Metric::ExactMatch, Metric::Nll]
}

fn default_tokens() -> NonZeroU32 {
    count(128)
}

fn default_batch() -> NonZeroU32 {
    count(16)
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
    use super::*;

    #[test]
    fn only_the_base_is_required_and_unknown_keys_are_refused() {
        let config: SuiteConfig = serde_json::from_str(r#"{"base": "file:m", "metrics": ["rougeLsum", "field_match"]}"#).unwrap();
        assert_eq!(config.metrics, [Metric::RougeLsum, Metric::FieldMatch]);
        assert!(serde_json::from_str::<SuiteConfig>(r#"{"base": "file:m", "metric": ["nll"]}"#).is_err());
        assert!(serde_json::from_str::<SuiteConfig>(r#"{"base": "file:m", "metrics": ["bleu"]}"#).is_err());
    }
}

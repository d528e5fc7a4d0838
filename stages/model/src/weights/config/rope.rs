//! How rotary frequencies are stretched beyond the context that a network was first trained on.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A way to stretch rotary frequencies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RopeScaling {
    /// Positions are divided by a factor.
    Linear {
        /// How much longer the context became.
        factor: f32,
    },
    /// The base grows with sequences beyond the context. Within it, where alone this crate runs, nothing changes.
    Dynamic {
        /// How much longer the context may become.
        factor: f32,
    },
    /// Slow pairs are stretched, fast ones stay: Llama 3.1.
    Llama3(Llama3Scaling),
    /// The same with a ramp between them and warmer attention: `YaRN`.
    Yarn(YarnScaling),
}

/// The frequency scaling of Llama 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Llama3Scaling {
    /// How much longer the context became.
    pub factor: f32,
    /// Below this share of the old context frequencies stay.
    pub low_freq_factor: f32,
    /// Above this share frequencies are divided by `factor`.
    pub high_freq_factor: f32,
    /// The old context.
    pub original_max_position_embeddings: f32,
}

/// The frequency scaling of `YaRN`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct YarnScaling {
    /// How much longer the context became.
    pub factor: f32,
    /// Pairs that turn more often than this over the old context stay.
    pub beta_fast: f32,
    /// Pairs that turn less often than this are divided by `factor`.
    pub beta_slow: f32,
    /// The old context.
    pub original_max_position_embeddings: f32,
    /// What cosine and sine are multiplied by.
    pub attention_factor: f32,
    /// Whether the ends of the ramp are whole pairs.
    pub truncate: bool,
}

impl RopeScaling {
    /// Reads `rope_scaling` or `rope_parameters`, in the old spelling and the new. `context` is the network's own.
    pub(super) fn read(rope: &Value, context: usize) -> Result<Option<Self>, String> {
        let kind = rope.get("rope_type").or_else(|| rope.get("type")).and_then(Value::as_str).unwrap_or("default");
        if number(rope, "partial_rotary_factor").is_some_and(|part| (part - 1.0).abs() > f32::EPSILON) {
            return Err("rotation of a part of each head (partial_rotary_factor) is not supported".to_owned());
        }
        let factor = || required(rope, "factor");
        let scaling = match kind {
            "default" => return Ok(None),
            "linear" => Self::Linear { factor: factor()? },
            "dynamic" => Self::Dynamic { factor: factor()? },
            "llama3" => Self::Llama3(Llama3Scaling {
                factor: factor()?,
                low_freq_factor: required(rope, "low_freq_factor")?,
                high_freq_factor: required(rope, "high_freq_factor")?,
                original_max_position_embeddings: original(rope, context),
            }),
            "yarn" => Self::Yarn(YarnScaling::read(rope, context)?),
            other => return Err(format!("rope scaling {other:?} is not supported: linear, dynamic, llama3, and yarn are")),
        };
        scaling.checked().map(Some)
    }

    fn checked(self) -> Result<Self, String> {
        let positive: &[f32] = match &self {
            Self::Linear { factor } | Self::Dynamic { factor } => &[*factor],
            Self::Llama3(llama3) => &[
                llama3.factor,
                llama3.low_freq_factor,
                llama3.high_freq_factor - llama3.low_freq_factor,
                llama3.original_max_position_embeddings,
            ],
            Self::Yarn(yarn) => {
                &[yarn.factor, yarn.beta_fast, yarn.beta_slow, yarn.original_max_position_embeddings, yarn.attention_factor]
            }
        };
        let good = positive.iter().all(|value| value.is_finite() && *value > 0.0);
        if good { Ok(self) } else { Err(format!("rope scaling {self:?} has numbers that make no sense")) }
    }

    /// Its part of `config.json`.
    pub(super) fn to_hf(self) -> Value {
        match self {
            Self::Linear { factor } => json!({"rope_type": "linear", "factor": factor}),
            Self::Dynamic { factor } => json!({"rope_type": "dynamic", "factor": factor}),
            Self::Llama3(scaling) => json!({
                "rope_type": "llama3", "factor": scaling.factor, "low_freq_factor": scaling.low_freq_factor,
                "high_freq_factor": scaling.high_freq_factor,
                "original_max_position_embeddings": scaling.original_max_position_embeddings,
            }),
            Self::Yarn(scaling) => json!({
                "rope_type": "yarn", "factor": scaling.factor, "beta_fast": scaling.beta_fast, "beta_slow": scaling.beta_slow,
                "original_max_position_embeddings": scaling.original_max_position_embeddings,
                "attention_factor": scaling.attention_factor, "truncate": scaling.truncate,
            }),
        }
    }
}

impl YarnScaling {
    fn read(rope: &Value, context: usize) -> Result<Self, String> {
        let factor = required(rope, "factor")?;
        let warmth = |scale: f32, times: f32| if scale <= 1.0 { 1.0 } else { 0.1 * times * scale.ln() + 1.0 };
        let nonzero = |key: &str| number(rope, key).filter(|value| *value != 0.0);
        let attention_factor = match (number(rope, "attention_factor"), nonzero("mscale"), nonzero("mscale_all_dim")) {
            (Some(given), ..) => given,
            (None, Some(some), Some(all)) => warmth(factor, some) / warmth(factor, all),
            (None, ..) => warmth(factor, 1.0),
        };
        Ok(Self {
            factor,
            beta_fast: nonzero("beta_fast").unwrap_or(32.0),
            beta_slow: nonzero("beta_slow").unwrap_or(1.0),
            original_max_position_embeddings: original(rope, context),
            attention_factor,
            truncate: rope.get("truncate").and_then(Value::as_bool).unwrap_or(true),
        })
    }
}

/// The context before it was stretched; a file that does not say means its own.
#[expect(clippy::cast_precision_loss, reason = "contexts are far below 2^24")]
fn original(rope: &Value, context: usize) -> f32 {
    number(rope, "original_max_position_embeddings").unwrap_or(context as f32)
}

fn required(rope: &Value, key: &str) -> Result<f32, String> {
    number(rope, key).ok_or_else(|| format!("rope scaling lacks {key}"))
}

#[expect(clippy::cast_possible_truncation, reason = "the network computes in f32")]
pub(super) fn number(value: &Value, key: &str) -> Option<f32> {
    value.get(key).and_then(Value::as_f64).map(|number| number as f32)
}

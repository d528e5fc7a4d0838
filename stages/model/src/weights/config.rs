//! The shape of a network: read from `config.json` or from GGUF metadata, written to `config.json`.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{ModelError, gguf::Gguf};

/// Everything the forward pass of a Llama network needs to know besides its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
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
    /// Added to the mean square before its root.
    pub norm_eps: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f32,
    /// How the frequencies are stretched, if they are.
    pub rope_scaling: Option<Llama3Scaling>,
    /// Whether the head is the embedding.
    pub tied_head: bool,
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

/// The part of `config.json` that matters.
#[derive(Deserialize)]
struct HfConfig {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    #[serde(default = "default_context")]
    max_position_embeddings: usize,
    #[serde(default = "default_eps")]
    rms_norm_eps: f32,
    rope_theta: Option<f32>,
    rope_scaling: Option<Value>,
    rope_parameters: Option<Value>,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    hidden_act: Option<String>,
    sliding_window: Option<usize>,
}

fn default_context() -> usize {
    2048
}

fn default_eps() -> f32 {
    1e-6
}

const DEFAULT_THETA: f32 = 10_000.0;

impl ModelConfig {
    /// Reads the `config.json` of a Hugging Face folder.
    pub fn from_hf(path: &Path) -> Result<Self, ModelError> {
        let text = std::fs::read_to_string(path).map_err(|source| ModelError::Read { path: path.to_owned(), source })?;
        let value: Value = serde_json::from_str(&text).map_err(|error| ModelError::format(path, error.to_string()))?;
        let found = value.get("model_type").and_then(Value::as_str).unwrap_or("none").to_owned();
        if !matches!(found.as_str(), "llama" | "mistral") {
            return Err(ModelError::Architecture { path: path.to_owned(), found });
        }
        let hf: HfConfig = serde_json::from_value(value).map_err(|error| ModelError::format(path, error.to_string()))?;
        hf.refuse_variants().map_err(|reason| ModelError::format(path, reason))?;
        hf.convert().and_then(Self::checked).map_err(|reason| ModelError::format(path, reason))
    }

    /// Reads the metadata of a GGUF file.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, ModelError> {
        let found = gguf.text("general.architecture").unwrap_or("none").to_owned();
        if found != "llama" {
            return Err(ModelError::Architecture { path: gguf.path().to_owned(), found });
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
            vocab_size: embedding.shape.first().copied().unwrap_or(0),
            hidden_size,
            intermediate_size: size("feed_forward_length")?,
            layers: size("block_count")?,
            heads,
            kv_heads: size("attention.head_count_kv").unwrap_or(heads),
            head_dim: size("attention.key_length").ok().or_else(|| hidden_size.checked_div(heads)).unwrap_or(0),
            context: size("context_length")?,
            norm_eps: gguf.float("llama.attention.layer_norm_rms_epsilon").unwrap_or(1e-5),
            rope_theta: gguf.float("llama.rope.freq_base").unwrap_or(DEFAULT_THETA),
            rope_scaling: None,
            tied_head: gguf.tensor("output.weight").is_none(),
        })
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
        if !(self.norm_eps > 0.0 && self.norm_eps < 1.0 && self.rope_theta >= 1.0) {
            return Err(format!("norm epsilon {} or rope base {} is out of range", self.norm_eps, self.rope_theta));
        }
        Ok(self)
    }

    /// Returns the `config.json` that describes this network.
    pub fn to_hf(&self) -> Value {
        let scaling = self.rope_scaling.map_or(Value::Null, |scaling| {
            json!({
                "rope_type": "llama3", "factor": scaling.factor, "low_freq_factor": scaling.low_freq_factor,
                "high_freq_factor": scaling.high_freq_factor,
                "original_max_position_embeddings": scaling.original_max_position_embeddings,
            })
        });
        json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "float32",
            "vocab_size": self.vocab_size, "hidden_size": self.hidden_size, "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.layers, "num_attention_heads": self.heads, "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim, "max_position_embeddings": self.context, "rms_norm_eps": self.norm_eps,
            "rope_theta": self.rope_theta, "rope_scaling": scaling, "tie_word_embeddings": self.tied_head,
            "hidden_act": "silu", "attention_bias": false, "mlp_bias": false,
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
        let (width, inner) = (self.hidden_size as u64, self.intermediate_size as u64);
        let attention = 2 * width * (self.query_width() + self.kv_width()) as u64;
        let layer = attention + 3 * width * inner + 2 * width;
        let tables = if self.tied_head { 1 } else { 2 };
        layer * self.layers as u64 + tables * self.vocab_size as u64 * width + width
    }
}

impl HfConfig {
    fn refuse_variants(&self) -> Result<(), String> {
        if self.attention_bias || self.mlp_bias {
            return Err("projections with biases are not supported".to_owned());
        }
        match self.hidden_act.as_deref() {
            None | Some("silu" | "swish") => {}
            Some(other) => return Err(format!("activation {other:?} is not supported")),
        }
        match self.sliding_window {
            Some(window) if window < self.max_position_embeddings => {
                Err(format!("sliding-window attention over {window} tokens is not supported"))
            }
            _ => Ok(()),
        }
    }

    fn convert(self) -> Result<ModelConfig, String> {
        let rope = self.rope_parameters.as_ref().or(self.rope_scaling.as_ref()).filter(|value| !value.is_null());
        let theta = rope.and_then(|rope| float(rope, "rope_theta")).or(self.rope_theta).unwrap_or(DEFAULT_THETA);
        let kv_heads = self.num_key_value_heads.unwrap_or(self.num_attention_heads);
        let head_dim = self.head_dim.or_else(|| self.hidden_size.checked_div(self.num_attention_heads));
        Ok(ModelConfig {
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            kv_heads,
            head_dim: head_dim.unwrap_or(0),
            context: self.max_position_embeddings,
            norm_eps: self.rms_norm_eps,
            rope_theta: theta,
            rope_scaling: rope.map(scaling).transpose()?.flatten(),
            tied_head: self.tie_word_embeddings,
        })
    }
}

/// Reads `rope_scaling` or `rope_parameters`, in the old spelling and the new.
fn scaling(rope: &Value) -> Result<Option<Llama3Scaling>, String> {
    let kind = rope.get("rope_type").or_else(|| rope.get("type")).and_then(Value::as_str).unwrap_or("default");
    match kind {
        "default" => Ok(None),
        "llama3" => {
            let read = |key: &str| float(rope, key).ok_or_else(|| format!("rope scaling lacks {key}"));
            Ok(Some(Llama3Scaling {
                factor: read("factor")?,
                low_freq_factor: read("low_freq_factor")?,
                high_freq_factor: read("high_freq_factor")?,
                original_max_position_embeddings: read("original_max_position_embeddings")?,
            }))
        }
        other => Err(format!("rope scaling {other:?} is not supported")),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the network computes in f32")]
fn float(value: &Value, key: &str) -> Option<f32> {
    value.get(key).and_then(Value::as_f64).map(|number| number as f32)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A network small enough for any test, with grouped heads and an untied head.
    pub(crate) fn tiny() -> ModelConfig {
        ModelConfig {
            vocab_size: 97,
            hidden_size: 32,
            intermediate_size: 48,
            layers: 2,
            heads: 4,
            kv_heads: 2,
            head_dim: 8,
            context: 64,
            norm_eps: 1e-5,
            rope_theta: 10_000.0,
            rope_scaling: None,
            tied_head: false,
        }
    }

    fn read(change: impl FnOnce(&mut Value)) -> Result<ModelConfig, ModelError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("config.json");
        let mut value = tiny().to_hf();
        change(&mut value);
        std::fs::write(&path, value.to_string()).expect("written");
        ModelConfig::from_hf(&path)
    }

    #[test]
    fn config_json_round_trips() {
        assert_eq!(read(|_| {}).expect("valid"), tiny());
        let scaling =
            Llama3Scaling { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 8192.0 };
        let with = ModelConfig { rope_scaling: Some(scaling), ..tiny() };
        assert_eq!(read(|value| *value = with.to_hf()).expect("valid"), with);
    }

    #[test]
    fn the_new_spelling_of_rope_is_read() {
        let config = read(|value| value["rope_parameters"] = json!({"rope_type": "default", "rope_theta": 500_000.0}));
        assert!((config.expect("valid").rope_theta - 500_000.0).abs() < f32::EPSILON);
    }

    #[test]
    fn other_networks_are_refused_by_name() {
        let error = read(|value| value["model_type"] = json!("gpt2")).expect_err("not a Llama");
        assert!(error.to_string().contains("\"gpt2\""), "{error}");
        assert!(read(|value| value["attention_bias"] = json!(true)).is_err());
        assert!(read(|value| value["hidden_act"] = json!("gelu")).is_err());
        assert!(read(|value| value["num_key_value_heads"] = json!(3)).is_err());
        assert!(read(|value| value["rope_scaling"] = json!({"rope_type": "yarn"})).is_err());
        assert!(read(|value| value["num_attention_heads"] = json!(0)).is_err());
    }
}

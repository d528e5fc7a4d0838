//! Reads `config.json` of a Hugging Face folder.

use std::{collections::BTreeSet, path::Path};

use serde::Deserialize;
use serde_json::Value;

use super::{Family, ModelConfig, RopeScaling, Wiring, rope::number};
use crate::{ModelError, Target};

pub(super) const DEFAULT_THETA: f32 = 10_000.0;
/// The norm epsilon of Llama's relatives; Falcon's is ten times as large.
const RMS_EPS: f32 = 1e-6;
const LAYER_EPS: f32 = 1e-5;
/// The window of a Mistral whose file does not say.
const MISTRAL_WINDOW: usize = 4096;

/// What all families spell the same way.
#[derive(Deserialize)]
struct Common {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    max_position_embeddings: Option<usize>,
    rope_theta: Option<f32>,
    rope_scaling: Option<Value>,
    rope_parameters: Option<Value>,
    tie_word_embeddings: Option<bool>,
}

/// What Llama and its relatives say besides.
#[derive(Deserialize)]
struct Gated {
    intermediate_size: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    rms_norm_eps: Option<f32>,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    hidden_act: Option<String>,
    sliding_window: Option<usize>,
    #[serde(default)]
    use_sliding_window: bool,
    layer_types: Option<Vec<String>>,
}

/// What Falcon says besides.
#[derive(Deserialize)]
struct Falcon {
    ffn_hidden_size: Option<usize>,
    layer_norm_epsilon: Option<f32>,
    num_kv_heads: Option<usize>,
    num_ln_in_parallel_attn: Option<usize>,
    alibi: Option<bool>,
    new_decoder_architecture: Option<bool>,
    multi_query: Option<bool>,
    parallel_attn: Option<bool>,
    bias: Option<bool>,
    activation: Option<String>,
}

impl ModelConfig {
    /// Reads the `config.json` of a Hugging Face folder.
    pub fn from_hf(path: &Path) -> Result<Self, ModelError> {
        let text = std::fs::read_to_string(path).map_err(|source| ModelError::Read { path: path.to_owned(), source })?;
        let value: Value = serde_json::from_str(&text).map_err(|error| ModelError::format(path, error.to_string()))?;
        let found = value.get("model_type").and_then(Value::as_str).unwrap_or("none");
        let unknown = || ModelError::Architecture { path: path.to_owned(), found: found.to_owned() };
        let family = Family::by_model_type(found).ok_or_else(unknown)?;
        Self::from_value(family, &value).and_then(Self::checked).map_err(|reason| ModelError::format(path, reason))
    }

    fn from_value(family: Family, value: &Value) -> Result<Self, String> {
        let common = Common::deserialize(value).map_err(|error| error.to_string())?;
        if family == Family::Falcon {
            Falcon::deserialize(value).map_err(|error| error.to_string())?.convert(&common)
        } else {
            let gated = Gated::deserialize(value).map_err(|error| error.to_string())?;
            let silent = value.get("sliding_window").is_none();
            gated.refuse_variants(family)?;
            gated.convert(family, &common, silent)
        }
    }
}

impl Common {
    /// The sizes, with what the family adds left as a Llama has it.
    fn start(&self, family: Family) -> Result<ModelConfig, String> {
        let rope = self.rope_parameters.as_ref().or(self.rope_scaling.as_ref()).filter(|value| !value.is_null());
        let context = self.max_position_embeddings.unwrap_or(match family {
            Family::Llama | Family::Falcon => 2048,
            Family::Mistral => 131_072,
            Family::Qwen2 | Family::Qwen3 => 32_768,
        });
        let theta = rope.and_then(|rope| number(rope, "rope_theta")).or(self.rope_theta).unwrap_or(DEFAULT_THETA);
        Ok(ModelConfig {
            family,
            wiring: Wiring::Sequential,
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            intermediate_size: 0,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            kv_heads: self.num_attention_heads,
            head_dim: self.hidden_size.checked_div(self.num_attention_heads).unwrap_or(0),
            context,
            window: None,
            norm_eps: RMS_EPS,
            rope_theta: theta,
            rope_scaling: rope.map(|rope| RopeScaling::read(rope, context)).transpose()?.flatten(),
            biases: BTreeSet::new(),
            tied_head: self.tie_word_embeddings.unwrap_or(family == Family::Falcon),
        })
    }
}

impl Gated {
    fn refuse_variants(&self, family: Family) -> Result<(), String> {
        match self.hidden_act.as_deref() {
            None | Some("silu" | "swish") => {}
            Some(other) => return Err(format!("activation {other:?} is not supported")),
        }
        let others = self.layer_types.iter().flatten().find(|kind| *kind != "full_attention");
        if family != Family::Mistral
            && let Some(kind) = others
        {
            return Err(format!("blocks with {kind:?} are not supported"));
        }
        if matches!(family, Family::Qwen2 | Family::Qwen3) && self.use_sliding_window && self.layer_types.is_none() {
            return Err("sliding windows in some blocks (use_sliding_window) are not supported".to_owned());
        }
        Ok(())
    }

    fn convert(self, family: Family, common: &Common, silent: bool) -> Result<ModelConfig, String> {
        let start = common.start(family)?;
        let window = match family {
            Family::Mistral if silent => Some(MISTRAL_WINDOW),
            Family::Mistral => self.sliding_window,
            Family::Llama if self.sliding_window.is_some_and(|window| window < start.context) => {
                return Err("a sliding window in a llama is not supported: mistral has one".to_owned());
            }
            Family::Llama | Family::Qwen2 | Family::Qwen3 | Family::Falcon => None,
        };
        Ok(ModelConfig {
            intermediate_size: self.intermediate_size,
            kv_heads: self.num_key_value_heads.unwrap_or(start.kv_heads),
            head_dim: self.head_dim.unwrap_or(if family == Family::Qwen3 { 128 } else { start.head_dim }),
            window: window.filter(|window| *window < start.context),
            norm_eps: self.rms_norm_eps.unwrap_or(RMS_EPS),
            biases: self.biases(family),
            ..start
        })
    }

    /// The projections with a bias: Qwen2 always has them on what attention reads, others where the file says.
    fn biases(&self, family: Family) -> BTreeSet<Target> {
        let attention: &[Target] = match family {
            Family::Qwen2 => &[Target::QProj, Target::KProj, Target::VProj],
            Family::Llama | Family::Qwen3 if self.attention_bias => &[Target::QProj, Target::KProj, Target::VProj, Target::OProj],
            _ => &[],
        };
        let mlp: &[Target] = match family {
            Family::Llama if self.mlp_bias => &[Target::GateProj, Target::UpProj, Target::DownProj],
            _ => &[],
        };
        attention.iter().chain(mlp).copied().collect()
    }
}

impl Falcon {
    fn convert(self, common: &Common) -> Result<ModelConfig, String> {
        if self.alibi.unwrap_or(false) {
            return Err("ALiBi positions are not supported: only Falcons with rotary positions run".to_owned());
        }
        match self.activation.as_deref() {
            None | Some("gelu") => {}
            Some(other) => return Err(format!("activation {other:?} is not supported")),
        }
        let start = common.start(Family::Falcon)?;
        Ok(ModelConfig {
            wiring: self.wiring()?,
            intermediate_size: self.ffn_hidden_size.unwrap_or(start.hidden_size.saturating_mul(4)),
            kv_heads: self.kv_heads(start.heads),
            norm_eps: self.layer_norm_epsilon.unwrap_or(LAYER_EPS),
            biases: if self.bias.unwrap_or(false) { Target::FALCON.into() } else { BTreeSet::new() },
            ..start
        })
    }

    fn wiring(&self) -> Result<Wiring, String> {
        let (grouped, parallel) = (self.new_decoder_architecture.unwrap_or(false), self.parallel_attn.unwrap_or(true));
        match (grouped, parallel, self.num_ln_in_parallel_attn) {
            (true, true, None | Some(2)) => Ok(Wiring::ParallelTwoNorms),
            (true, true, Some(1)) | (false, true, None | Some(1)) => Ok(Wiring::Parallel),
            (false, false, _) => Ok(Wiring::Sequential),
            (true, false, _) => Err("new_decoder_architecture without parallel_attn is not supported".to_owned()),
            (_, true, Some(norms)) => Err(format!("{norms} norms before the two parts of a block are not supported")),
        }
    }

    fn kv_heads(&self, heads: usize) -> usize {
        if self.new_decoder_architecture.unwrap_or(false) {
            self.num_kv_heads.unwrap_or(heads)
        } else if self.multi_query.unwrap_or(true) {
            1
        } else {
            heads
        }
    }
}

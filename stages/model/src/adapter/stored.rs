//! An adapter on disk: read and checked, not yet decoded.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::Deserialize;
use serde_json::Value;

use super::{LoraConfig, Target};
use crate::{
    ModelConfig, ModelError,
    weights::{Family, Stored, finite, names, read_file},
};

pub(super) const CONFIG: &str = "adapter_config.json";
pub(super) const WEIGHTS: &str = "adapter_model.safetensors";
pub(super) const PREFIX: &str = "base_model.model.";

/// The part of `adapter_config.json` that matters.
#[derive(Deserialize)]
struct PeftConfig {
    peft_type: String,
    base_model_name_or_path: Option<String>,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    lora_dropout: f64,
    target_modules: Value,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    fan_in_fan_out: bool,
    bias: Option<String>,
    #[serde(default)]
    rank_pattern: BTreeMap<String, Value>,
    #[serde(default)]
    alpha_pattern: BTreeMap<String, Value>,
}

/// An adapter on disk, checked but not decoded.
pub(crate) struct StoredAdapter {
    pub(crate) config: LoraConfig,
    /// `lora_A` and `lora_B` by block and projection.
    pub(crate) layers: Vec<BTreeMap<Target, (Stored, Stored)>>,
}

impl StoredAdapter {
    /// Number of parameters.
    pub(crate) fn parameters(&self) -> u64 {
        let pairs = self.layers.iter().flat_map(BTreeMap::values);
        pairs.map(|(a, b)| (a.rows() * a.columns() + b.rows() * b.columns()) as u64).sum()
    }

    /// The pair of a weight, by the weight's name.
    pub(crate) fn pair(&self, weight: &str) -> Option<&(Stored, Stored)> {
        let layers = self.layers.iter().enumerate();
        let mut named =
            layers.flat_map(|(index, pairs)| pairs.iter().map(move |(target, pair)| (names::weight(*target, index), pair)));
        named.find(|(name, _)| name == weight).map(|(_, pair)| pair)
    }

    pub(crate) fn open(folder: &Path, model: &ModelConfig) -> Result<Self, ModelError> {
        let unsafe_weights = folder.join("adapter_model.bin");
        if unsafe_weights.exists() && !folder.join(WEIGHTS).exists() {
            return Err(ModelError::Pickle { path: unsafe_weights });
        }
        let (config, base) = read_config(&folder.join(CONFIG), model.family)?;
        let path = folder.join(WEIGHTS);
        let mut tensors = read_file(&path)?;
        let family = model.family.model_type();
        let foreign = |reason: String| ModelError::ForeignAdapter { path: path.clone(), family, base: base.clone(), reason };
        let mut take = |name: String, expected: [usize; 2]| {
            let stored = tensors.remove(&name).ok_or_else(|| foreign(format!("tensor {name} is missing")))?;
            let found = stored.shape();
            if found == expected {
                finite(stored.to_f32(), &name, &path)?;
                return Ok(stored);
            }
            Err(foreign(format!("tensor {name} has the shape {found:?}, not {expected:?}")))
        };
        let mut layers = Vec::with_capacity(model.layers);
        for layer in 0..model.layers {
            let mut pairs = BTreeMap::new();
            for target in &config.targets {
                let (inputs, outputs) = target.widths(model);
                let name = format!("{PREFIX}{}", target.path(layer));
                let a = take(format!("{name}.lora_A.weight"), [config.rank, inputs])?;
                let b = take(format!("{name}.lora_B.weight"), [outputs, config.rank])?;
                pairs.insert(*target, (a, b));
            }
            layers.push(pairs);
        }
        match tensors.keys().next() {
            Some(name) => Err(foreign(format!("tensor {name} has no place"))),
            None => Ok(Self { config, layers }),
        }
    }
}

/// Reads the shape of an adapter, and the base that it names as its own.
pub(super) fn read_config(path: &Path, family: Family) -> Result<(LoraConfig, String), ModelError> {
    let text = std::fs::read_to_string(path).map_err(|source| ModelError::Read { path: path.to_owned(), source })?;
    let peft: PeftConfig = serde_json::from_str(&text).map_err(|error| ModelError::format(path, error.to_string()))?;
    let base = peft.base_model_name_or_path.clone().unwrap_or_else(|| "a base that it does not name".to_owned());
    let foreign =
        |reason| ModelError::ForeignAdapter { path: path.to_owned(), family: family.model_type(), base: base.clone(), reason };
    let config = peft.convert().map_err(|reason| ModelError::format(path, reason))?;
    let targets = targets(&peft.target_modules, family).map_err(foreign)?;
    Ok((LoraConfig { targets, ..config }, base))
}

impl PeftConfig {
    /// Everything but the targets.
    fn convert(&self) -> Result<LoraConfig, String> {
        let plain = self.rank_pattern.is_empty() && self.alpha_pattern.is_empty();
        let variants = [
            (self.peft_type != "LORA", "another method than LoRA"),
            (self.use_rslora, "rank-stabilised scaling"),
            (self.use_dora, "DoRA"),
            (self.fan_in_fan_out, "transposed weights"),
            (self.bias.as_deref().is_some_and(|bias| bias != "none"), "trained biases"),
            (!plain, "ranks by pattern"),
        ];
        if let Some((_, what)) = variants.iter().find(|(present, _)| *present) {
            return Err(format!("{what} is not supported"));
        }
        if self.r == 0 || self.r > 1 << 16 || !self.lora_alpha.is_finite() {
            return Err(format!("rank {} with alpha {} is not usable", self.r, self.lora_alpha));
        }
        Ok(LoraConfig { rank: self.r, alpha: self.lora_alpha, dropout: self.lora_dropout, targets: BTreeSet::new() })
    }
}

fn targets(value: &Value, family: Family) -> Result<BTreeSet<Target>, String> {
    if value.as_str() == Some("all-linear") {
        return Ok(family.projections().iter().copied().collect());
    }
    let list = value.as_array().ok_or("target_modules is neither a list nor \"all-linear\"")?;
    let named = list.iter().map(|name| {
        let target = name.as_str().and_then(Target::by_name);
        target.ok_or_else(|| format!("target module {name} is not a projection of any block that runs here"))
    });
    let targets: BTreeSet<Target> = named.collect::<Result<_, _>>()?;
    Target::refuse_foreign(&targets, family)?;
    Ok(targets)
}

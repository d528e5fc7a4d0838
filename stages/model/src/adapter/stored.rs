//! An adapter on disk: read and checked, not yet decoded.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::Deserialize;
use serde_json::Value;

use super::{A, AdapterKind, B, LoraConfig, MAGNITUDE, Pattern, Scaling, Target};
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
    rank_pattern: BTreeMap<String, usize>,
    #[serde(default)]
    alpha_pattern: BTreeMap<String, f64>,
}

/// A pair on disk.
#[derive(Clone)]
pub(crate) struct StoredPair {
    /// `lora_A`, `[rank, in]`.
    pub(crate) a: Stored,
    /// `lora_B`, `[out, rank]`.
    pub(crate) b: Stored,
    /// The length of every row, of `DoRA` alone.
    pub(crate) magnitude: Option<Vec<f32>>,
    /// The factor on the product.
    pub(crate) scale: f64,
}

/// An adapter on disk, checked but not decoded.
pub(crate) struct StoredAdapter {
    pub(crate) config: LoraConfig,
    /// Pairs by block and projection.
    pub(crate) layers: Vec<BTreeMap<Target, StoredPair>>,
}

impl StoredAdapter {
    /// Number of parameters.
    pub(crate) fn parameters(&self) -> u64 {
        let size = |pair: &StoredPair| {
            let lengths = pair.magnitude.as_ref().map_or(0, Vec::len);
            (pair.a.rows() * pair.a.columns() + pair.b.rows() * pair.b.columns() + lengths) as u64
        };
        self.layers.iter().flat_map(BTreeMap::values).map(size).sum()
    }

    /// The pair of a weight, by the weight's name.
    pub(crate) fn pair(&self, weight: &str) -> Option<&StoredPair> {
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
        let foreign = {
            let (path, family) = (path.clone(), model.family.model_type());
            move |reason: String| ModelError::ForeignAdapter { path: path.clone(), family, base: base.clone(), reason }
        };
        config.check(model).map_err(&foreign)?;
        let mut tensors = Tensors { stored: read_file(&path)?, path: &path, foreign: &foreign };
        let mut layers = Vec::with_capacity(model.layers);
        for layer in 0..model.layers {
            let mut pairs = BTreeMap::new();
            for target in &config.targets {
                if let Some(pair) = tensors.pair(&config, (*target, layer), model)? {
                    pairs.insert(*target, pair);
                }
            }
            layers.push(pairs);
        }
        match tensors.stored.keys().next() {
            Some(name) => Err(foreign(format!("tensor {name} has no place"))),
            None => Ok(Self { config, layers }),
        }
    }
}

/// The tensors of an adapter that no pair has taken yet.
struct Tensors<'a, F> {
    stored: BTreeMap<String, Stored>,
    path: &'a Path,
    foreign: &'a F,
}

impl<F: Fn(String) -> ModelError> Tensors<'_, F> {
    fn pair(
        &mut self,
        config: &LoraConfig,
        (target, layer): (Target, usize),
        model: &ModelConfig,
    ) -> Result<Option<StoredPair>, ModelError> {
        let Some(site) = config.site(target, layer) else { return Ok(None) };
        let (inputs, outputs) = target.widths(model);
        let name = format!("{PREFIX}{}", target.path(layer));
        let a = self.take(&format!("{name}.{A}.weight"), [site.rank, inputs])?;
        let b = self.take(&format!("{name}.{B}.weight"), [outputs, site.rank])?;
        let magnitude = match config.kind {
            AdapterKind::Lora => None,
            AdapterKind::Dora => Some(self.take(&format!("{name}.{MAGNITUDE}"), [1, outputs])?.to_f32()),
        };
        Ok(Some(StoredPair { a, b, magnitude, scale: site.scale }))
    }

    fn take(&mut self, name: &str, expected: [usize; 2]) -> Result<Stored, ModelError> {
        let stored = self.stored.remove(name).ok_or_else(|| (self.foreign)(format!("tensor {name} is missing")))?;
        let found = stored.shape();
        if found == expected {
            finite(stored.to_f32(), name, self.path)?;
            return Ok(stored);
        }
        Err((self.foreign)(format!("tensor {name} has the shape {found:?}, not {expected:?}")))
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
    let (targets, only) = targets(&peft.target_modules, family).map_err(foreign)?;
    Ok((LoraConfig { targets, only, ..config }, base))
}

impl PeftConfig {
    /// Everything but the targets.
    fn convert(&self) -> Result<LoraConfig, String> {
        let variants = [
            (self.peft_type != "LORA", "another method than LoRA"),
            (self.fan_in_fan_out, "transposed weights"),
            (self.bias.as_deref().is_some_and(|bias| bias != "none"), "trained biases"),
        ];
        if let Some((_, what)) = variants.iter().find(|(present, _)| *present) {
            return Err(format!("{what} is not supported"));
        }
        for rank in self.rank_pattern.values().chain([&self.r]) {
            if *rank == 0 || *rank > 1 << 16 {
                return Err(format!("rank {rank} is not usable"));
            }
        }
        if let Some(alpha) = self.alpha_pattern.values().chain([&self.lora_alpha]).find(|alpha| !alpha.is_finite()) {
            return Err(format!("alpha {alpha} is not usable"));
        }
        Ok(LoraConfig {
            rank: self.r,
            alpha: self.lora_alpha,
            dropout: self.lora_dropout,
            scaling: if self.use_rslora { Scaling::RootOfRank } else { Scaling::Rank },
            kind: if self.use_dora { AdapterKind::Dora } else { AdapterKind::Lora },
            ranks: patterns(&self.rank_pattern)?,
            alphas: patterns(&self.alpha_pattern)?,
            ..LoraConfig::default()
        })
    }
}

fn patterns<T: Copy>(by_text: &BTreeMap<String, T>) -> Result<Vec<(Pattern, T)>, String> {
    by_text.iter().map(|(text, value)| Ok((Pattern::end(text)?, *value))).collect()
}

/// Which projections are named, or which pattern over their paths.
fn targets(value: &Value, family: Family) -> Result<(BTreeSet<Target>, Option<Pattern>), String> {
    let every = family.projections().iter().copied().collect();
    match value.as_str() {
        Some("all-linear") => return Ok((every, None)),
        Some(pattern) => return Ok((every, Some(Pattern::whole(pattern)?))),
        None => {}
    }
    let list = value.as_array().ok_or("target_modules is neither a list, nor a pattern, nor \"all-linear\"")?;
    let named = list.iter().map(|name| {
        let target = name.as_str().and_then(Target::by_name);
        target.ok_or_else(|| format!("target module {name} is not a projection of any block that runs here"))
    });
    let targets: BTreeSet<Target> = named.collect::<Result<_, _>>()?;
    Target::refuse_foreign(&targets, family)?;
    Ok((targets, None))
}

//! Adapters as PEFT folders: `adapter_config.json` and `adapter_model.safetensors`.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use serde_json::{Value, json};

use super::{
    Adapter, AdapterKind, LayerAdapter, Lora, MAGNITUDE, Pattern, Scaling, StoredPair,
    stored::{CONFIG, PREFIX, StoredAdapter, WEIGHTS},
};
use crate::{
    ModelConfig, ModelError,
    weights::{Named, Stored, write_atomic, write_tensors},
};

impl Adapter {
    /// Writes a PEFT folder. `base` is what `adapter_config.json` names as the base model.
    pub fn save(&self, folder: &Path, base: &str) -> Result<(), ModelError> {
        std::fs::create_dir_all(folder).map_err(|source| ModelError::Write { path: folder.to_owned(), source })?;
        let tensors: Result<Vec<Named>, ModelError> = self
            .parameters()
            .map(|(path, matrix)| {
                let read = matrix.clone().inner().try_into_vec_as::<f32>();
                let values = read.map_err(|error| ModelError::format(folder, format!("{path}: {error:?}")))?;
                // A vector is a parameter of the module itself and has no name below it.
                if path.ends_with(MAGNITUDE) {
                    return Ok((format!("{PREFIX}{path}"), vec![values.len()], values));
                }
                Ok((format!("{PREFIX}{path}.weight"), matrix.dims().to_vec(), values))
            })
            .collect();
        write_tensors(&folder.join(WEIGHTS), &tensors?)?;
        let config = format!("{:#}\n", self.to_peft(base));
        write_atomic(&folder.join(CONFIG), config.as_bytes())
    }

    fn to_peft(&self, base: &str) -> Value {
        let config = &self.config;
        let targets = match &config.only {
            Some(pattern) => json!(pattern.text()),
            None => config.targets.iter().map(|target| target.name()).collect(),
        };
        json!({
            "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base, "inference_mode": true,
            "r": config.rank, "lora_alpha": config.alpha, "lora_dropout": config.dropout,
            "target_modules": targets, "bias": "none", "fan_in_fan_out": false, "init_lora_weights": true,
            "use_rslora": config.scaling == Scaling::RootOfRank, "use_dora": config.kind == AdapterKind::Dora,
            "modules_to_save": null, "rank_pattern": by_text(&config.ranks), "alpha_pattern": by_text(&config.alphas),
        })
    }

    /// Reads a PEFT folder and checks it against the network it will be laid over.
    pub fn load(folder: &Path, model: &ModelConfig, device: &Device) -> Result<Self, ModelError> {
        let stored = StoredAdapter::open(folder, model)?;
        let matrix =
            |stored: &Stored| Tensor::from_data(TensorData::new(stored.to_f32(), [stored.rows(), stored.columns()]), device);
        let pair = |stored: &StoredPair| Lora {
            a: matrix(&stored.a),
            b: matrix(&stored.b),
            magnitude: stored.magnitude.as_ref().map(|lengths| row(lengths, device)),
            scale: stored.scale,
        };
        let layers = stored.layers.iter().enumerate().map(|(index, pairs)| LayerAdapter {
            index,
            pairs: pairs.iter().map(|(target, stored)| (*target, pair(stored))).collect(),
        });
        Ok(Self { layers: layers.collect(), config: stored.config })
    }
}

fn row(values: &[f32], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [1, values.len()]), device)
}

fn by_text<T: Copy + Into<Value>>(patterns: &[(Pattern, T)]) -> Value {
    patterns.iter().map(|(pattern, value)| (pattern.text().to_owned(), (*value).into())).collect::<serde_json::Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::{LoraConfig, Target, stored::read_config};
    use crate::weights::{Family, config::tests::tiny};

    fn config() -> LoraConfig {
        let targets = [Target::QProj, Target::DownProj].into();
        LoraConfig { rank: 4, alpha: 8.0, dropout: 0.1, targets, ..LoraConfig::default() }
    }

    fn values(adapter: &Adapter) -> Vec<(String, Vec<f32>)> {
        let read = |matrix: &Tensor<2>| matrix.clone().try_into_vec_as::<f32>().expect("floats");
        adapter.parameters().map(|(path, matrix)| (path, read(matrix))).collect()
    }

    #[test]
    fn a_folder_round_trips() {
        let (folder, device) = (tempfile::tempdir().expect("a temporary folder"), Device::flex());
        let adapter = Adapter::init(config(), &tiny(), 5, &device);
        adapter.save(folder.path(), "some/base").expect("saved");
        let read = Adapter::load(folder.path(), &tiny(), &device).expect("valid");
        assert_eq!(read.config(), adapter.config());
        assert_eq!(values(&read), values(&adapter));
        let text = std::fs::read_to_string(folder.path().join(CONFIG)).expect("readable");
        assert!(text.contains("some/base"));
    }

    #[test]
    fn a_fresh_adapter_is_uniform_times_zero() {
        let adapter = Adapter::init(config(), &tiny(), 5, &Device::flex());
        for (path, values) in values(&adapter) {
            let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            let bound = if path.contains("q_proj") { 1.0 / 32.0_f32.sqrt() } else { 1.0 / 48.0_f32.sqrt() };
            if path.ends_with("lora_B") {
                assert!(largest == 0.0, "{path}");
            } else {
                assert!(largest <= bound && largest > 0.9 * bound, "{path}: {largest}");
            }
        }
    }

    #[test]
    fn another_network_is_refused() {
        let (folder, device) = (tempfile::tempdir().expect("a temporary folder"), Device::flex());
        Adapter::init(config(), &tiny(), 5, &device).save(folder.path(), "base").expect("saved");
        let wider = ModelConfig { hidden_size: 64, ..tiny() };
        let refusal = |model: &ModelConfig| match Adapter::load(folder.path(), model, &device).expect_err("another network") {
            error @ ModelError::ForeignAdapter { .. } => (error.to_string(), error.help().expect("names the base")),
            other => panic!("{other}"),
        };
        let (message, help) = refusal(&wider);
        assert!(message.contains("q_proj.lora_A.weight has the shape [4, 32], not [4, 64]"), "{message}");
        assert!(message.contains(WEIGHTS) && help.contains("trained for base"), "{message} {help}");
        let deeper = ModelConfig { layers: 3, ..tiny() };
        assert!(refusal(&deeper).0.contains("model.layers.2.self_attn.q_proj.lora_A.weight is missing"));
        let shallower = ModelConfig { layers: 1, ..tiny() };
        assert!(refusal(&shallower).0.contains("has no place"));
        let falcon = ModelConfig::tiny(Family::Falcon);
        assert!(refusal(&falcon).0.contains("q_proj is no projection of a falcon block"));
    }

    #[test]
    fn variants_are_refused_by_name() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(CONFIG);
        let adapter = Adapter::init(config(), &tiny(), 5, &Device::flex());
        let mut value = adapter.to_peft("base");
        value["bias"] = json!("lora_only");
        std::fs::write(&path, value.to_string()).expect("written");
        assert!(read_config(&path, Family::Llama).expect_err("biases").to_string().contains("trained biases"));
        value["bias"] = json!("none");
        value["target_modules"] = json!(["embed_tokens"]);
        std::fs::write(&path, value.to_string()).expect("written");
        assert!(read_config(&path, Family::Llama).expect_err("a table").to_string().contains("embed_tokens"));
        value["target_modules"] = json!(["query_key_value"]);
        std::fs::write(&path, value.to_string()).expect("written");
        assert!(read_config(&path, Family::Llama).expect_err("Falcon").to_string().contains("query_key_value"));
        value["target_modules"] = json!("all-linear");
        std::fs::write(&path, value.to_string()).expect("written");
        assert_eq!(read_config(&path, Family::Llama).expect("valid").0.targets.len(), 7);
        assert_eq!(read_config(&path, Family::Falcon).expect("valid").0.targets, Target::FALCON.into());
    }
}

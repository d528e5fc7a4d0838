//! Broken models and adapters: each is an error that names the file and the tensor, before anything is trained.

use std::{
    fs,
    path::{Path, PathBuf},
};

use burn::tensor::Device;
use flow_model::{Adapter, Checkpoint, Family, LoraConfig, ModelConfig, ModelError, Network, Target, weights::save_folder};
use serde_json::{Value, json};
use tempfile::TempDir;

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const QUERY: &str = "model.layers.0.self_attn.q_proj.weight";

/// A whole model in a folder of its own.
fn model() -> TempDir {
    let folder = tempfile::tempdir().expect("works");
    save_folder(&Checkpoint::random(&ModelConfig::tiny(Family::Llama), 1), folder.path()).expect("works");
    folder
}

/// What opening the model and putting it on a device says.
fn refusal(folder: &Path) -> ModelError {
    Network::load(folder, &Device::flex()).expect_err("a broken model")
}

fn header(bytes: &[u8]) -> (Value, &[u8]) {
    let (length, rest) = bytes.split_first_chunk::<8>().expect("works");
    let (header, data) = rest.split_at(usize::try_from(u64::from_le_bytes(*length)).expect("works"));
    (serde_json::from_slice(header).expect("works"), data)
}

/// Changes the header and the data of a file.
fn change(path: &Path, change: impl FnOnce(&mut Value, &mut Vec<u8>)) {
    let bytes = fs::read(path).expect("works");
    let (mut header, data) = header(&bytes);
    let mut data = data.to_vec();
    change(&mut header, &mut data);
    let header = header.to_string();
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header.as_bytes());
    out.extend(data);
    fs::write(path, out).expect("works");
}

/// Asserts that a message has all of these.
fn says(error: &ModelError, parts: &[&str]) {
    let text = format!("{error} {}", error.help().unwrap_or_default());
    for part in parts {
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    }
}

#[test]
fn a_file_cut_anywhere_is_an_error_and_one_cut_in_its_data_names_the_tensor() {
    let folder = model();
    let path = folder.path().join(WEIGHTS);
    let whole = fs::read(&path).expect("works");
    let data = header(&whole).1.len();
    for length in (0..whole.len()).step_by(whole.len() / 40).chain([whole.len() - 1]) {
        fs::write(&path, &whole[..length]).expect("works");
        let error = refusal(folder.path());
        says(&error, &[WEIGHTS]);
        if length > whole.len() - data {
            says(&error, &["cut short: tensor ", "but there are"]);
        }
    }
}

#[test]
fn a_header_that_lies_names_the_tensor() {
    let lies: [(&str, Value, &str); 5] = [
        ("shape", json!([32, 33]), "needs 4224 bytes, but has 4096"),
        ("dtype", json!("F16"), "needs 2048 bytes, but has 4096"),
        ("data_offsets", json!([0, 1_u64 << 60]), "cut short"),
        ("data_offsets", json!([0]), "makes no sense"),
        ("shape", json!([1_u64 << 40, 1_u64 << 40]), "impossible shape"),
    ];
    for (key, lie, expected) in lies {
        let folder = model();
        change(&folder.path().join(WEIGHTS), |header, _| header[QUERY][key] = lie);
        says(&refusal(folder.path()), &[WEIGHTS, QUERY, expected]);
    }
    let folder = model();
    change(&folder.path().join(WEIGHTS), |header, _| header[QUERY]["shape"] = json!([16, 64]));
    says(&refusal(folder.path()), &[WEIGHTS, QUERY, "[16, 64]", "[32, 32]", "config.json"]);
    let folder = model();
    change(&folder.path().join(WEIGHTS), |header, _| header[QUERY]["dtype"] = json!("I32"));
    says(&refusal(folder.path()), &[WEIGHTS, QUERY, "I32"]);
}

/// Spreads the model over two files.
fn shard(folder: &Path) -> [PathBuf; 2] {
    let path = folder.join(WEIGHTS);
    let bytes = fs::read(&path).expect("works");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("works");
    let mut names: Vec<String> = tensors.names().into_iter().map(str::to_owned).collect();
    names.sort();
    let halves = names.split_at(names.len() / 2);
    let mut places = serde_json::Map::new();
    let files = [("model-00001-of-00002.safetensors", halves.0), ("model-00002-of-00002.safetensors", halves.1)];
    for (file, names) in &files {
        let views = names.iter().map(|name| (name.clone(), tensors.tensor(name).expect("works")));
        fs::write(folder.join(file), safetensors::serialize(views, None).expect("works")).expect("works");
        places.extend(names.iter().map(|name| (name.clone(), json!(file))));
    }
    fs::write(folder.join(INDEX), json!({"weight_map": places}).to_string()).expect("works");
    fs::remove_file(path).expect("works");
    files.map(|(file, _)| folder.join(file))
}

#[test]
fn shards_that_are_missing_mixed_up_or_broken_are_named() {
    let folder = model();
    let [first, second] = shard(folder.path());
    assert!(Network::load(folder.path(), &Device::flex()).is_ok());

    let kept = fs::read(&second).expect("works");
    fs::remove_file(&second).expect("works");
    says(&refusal(folder.path()), &["model-00002-of-00002.safetensors", "model.layers.", " more", INDEX, "fetch"]);

    fs::write(&second, &kept[..kept.len() - 7]).expect("works");
    says(&refusal(folder.path()), &["model-00002-of-00002.safetensors", "cut short: tensor model."]);

    // The other shard under this one's name.
    fs::copy(&first, &second).expect("works");
    says(&refusal(folder.path()), &["model-00002-of-00002.safetensors", "is in", "already"]);

    change(&second, |header, data| {
        *header = json!({"stray": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}});
        data.truncate(4);
    });
    says(&refusal(folder.path()), &["model-00002-of-00002.safetensors", "is not in it", INDEX]);

    fs::write(folder.path().join(INDEX), "{\"weight_map\": {").expect("works");
    says(&refusal(folder.path()), &[INDEX, "EOF"]);
}

#[test]
fn a_weight_that_is_no_number_is_named_with_its_place() {
    for (number, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        for name in [QUERY, "model.norm.weight", "model.embed_tokens.weight", "lm_head.weight"] {
            let folder = model();
            change(&folder.path().join(WEIGHTS), |header, data| {
                let start = usize::try_from(header[name]["data_offsets"][0].as_u64().expect("works")).expect("works");
                data[start + 20..start + 24].copy_from_slice(&number.to_le_bytes());
            });
            says(&refusal(folder.path()), &[WEIGHTS, name, &format!("value 5 is {shown}"), "diverged"]);
        }
    }
}

#[test]
fn a_configuration_that_is_torn_or_of_another_model_is_named() {
    let folder = model();
    let path = folder.path().join("config.json");
    let whole = fs::read_to_string(&path).expect("works");
    fs::write(&path, &whole[..whole.len() / 2]).expect("works");
    says(&refusal(folder.path()), &["config.json", "EOF"]);
    fs::write(&path, whole.replace("\"vocab_size\": 97", "\"vocab_size\": -1")).expect("works");
    says(&refusal(folder.path()), &["config.json", "-1"]);
    fs::write(&path, ModelConfig::tiny(Family::Falcon).to_hf().to_string()).expect("works");
    says(&refusal(folder.path()), &["transformer.word_embeddings.weight", "config.json"]);
    fs::remove_file(&path).expect("works");
    says(&refusal(folder.path()), &["config.json"]);
}

#[test]
fn an_adapter_that_is_torn_or_no_number_or_for_another_base_is_named() {
    let (folder, base) = (tempfile::tempdir().expect("works"), ModelConfig::tiny(Family::Llama));
    let config = LoraConfig { rank: 4, alpha: 8.0, targets: Target::LLAMA.into(), ..LoraConfig::default() };
    Adapter::init(config, &base, 5, &Device::flex()).save(folder.path(), "hf:some/base").expect("works");
    let load = |model: &ModelConfig| Adapter::load(folder.path(), model, &Device::flex()).expect_err("broken");
    let path = folder.path().join("adapter_model.safetensors");
    let whole = fs::read(&path).expect("works");

    says(&load(&ModelConfig { intermediate_size: 64, ..base.clone() }), &["lora_", "mlp.", "hf:some/base"]);
    says(&load(&ModelConfig::tiny(Family::Falcon)), &["adapter_config.json", "query_key_value", "hf:some/base"]);

    fs::write(&path, &whole[..whole.len() - 3]).expect("works");
    says(&load(&base), &["adapter_model.safetensors", "cut short: tensor base_model.model."]);

    fs::write(&path, &whole).expect("works");
    let name = "base_model.model.model.layers.1.mlp.up_proj.lora_A.weight";
    change(&path, |header, data| {
        let start = usize::try_from(header[name]["data_offsets"][0].as_u64().expect("works")).expect("works");
        data[start..start + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    says(&load(&base), &["adapter_model.safetensors", name, "NaN"]);
}

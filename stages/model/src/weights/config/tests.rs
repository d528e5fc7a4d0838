//! `config.json` of every family, there and back, and what is refused.

use std::path::PathBuf;

use super::*;
use crate::ModelError;

/// A Llama small enough for any test, with grouped heads and an untied head.
pub(crate) fn tiny() -> ModelConfig {
    ModelConfig::tiny(Family::Llama)
}

fn read_value(value: &Value) -> Result<ModelConfig, ModelError> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path: PathBuf = folder.path().join("config.json");
    std::fs::write(&path, value.to_string()).expect("written");
    ModelConfig::from_hf(&path)
}

fn read(family: Family, change: impl FnOnce(&mut Value)) -> Result<ModelConfig, ModelError> {
    let mut value = ModelConfig::tiny(family).to_hf();
    change(&mut value);
    read_value(&value)
}

fn refusal(family: Family, key: &str, value: Value) -> String {
    read(family, |config| config[key] = value).expect_err(key).to_string()
}

#[test]
fn config_json_round_trips() {
    for family in Family::ALL {
        assert_eq!(read(family, |_| {}).expect("valid"), ModelConfig::tiny(family));
    }
    let variants = [
        ModelConfig { window: Some(16), ..ModelConfig::tiny(Family::Mistral) },
        ModelConfig { biases: Target::LLAMA.into(), tied_head: true, ..tiny() },
        ModelConfig {
            biases: [Target::QProj, Target::KProj, Target::VProj, Target::OProj].into(),
            ..ModelConfig::tiny(Family::Qwen3)
        },
        ModelConfig { wiring: Wiring::Parallel, kv_heads: 1, tied_head: true, ..ModelConfig::tiny(Family::Falcon) },
        ModelConfig { wiring: Wiring::Parallel, kv_heads: 2, ..ModelConfig::tiny(Family::Falcon) },
        ModelConfig { wiring: Wiring::Sequential, kv_heads: 4, ..ModelConfig::tiny(Family::Falcon) },
        ModelConfig { biases: Target::FALCON.into(), ..ModelConfig::tiny(Family::Falcon) },
    ];
    for config in variants {
        assert_eq!(read_value(&config.to_hf()).expect("valid"), config);
    }
}

#[test]
fn rope_scaling_round_trips() {
    let llama3 =
        Llama3Scaling { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 8192.0 };
    let yarn = YarnScaling {
        factor: 4.0,
        beta_fast: 16.0,
        beta_slow: 2.0,
        original_max_position_embeddings: 32.0,
        attention_factor: 1.25,
        truncate: false,
    };
    let all = [
        RopeScaling::Linear { factor: 2.0 },
        RopeScaling::Dynamic { factor: 4.0 },
        RopeScaling::Llama3(llama3),
        RopeScaling::Yarn(yarn),
    ];
    for scaling in all {
        let with = ModelConfig { rope_scaling: Some(scaling), ..tiny() };
        assert_eq!(read_value(&with.to_hf()).expect("valid"), with);
    }
}

#[test]
fn yarn_has_the_defaults_of_its_paper() {
    let config = read(Family::Qwen2, |value| value["rope_scaling"] = json!({"type": "yarn", "factor": 4.0})).expect("valid");
    let Some(RopeScaling::Yarn(yarn)) = config.rope_scaling else { panic!("{config:?}") };
    assert_eq!((yarn.beta_fast, yarn.beta_slow, yarn.original_max_position_embeddings), (32.0, 1.0, 64.0));
    assert!((yarn.attention_factor - (0.1 * 4.0_f32.ln() + 1.0)).abs() < 1e-6);
}

#[test]
fn the_new_spelling_of_rope_is_read() {
    let rope = json!({"rope_type": "default", "rope_theta": 500_000.0});
    let config = read(Family::Llama, |value| value["rope_parameters"] = rope);
    assert!((config.expect("valid").rope_theta - 500_000.0).abs() < f32::EPSILON);
}

#[test]
fn a_mistral_that_says_nothing_has_a_window() {
    let long = |value: &mut Value| value["max_position_embeddings"] = json!(32_768);
    let silent = read(Family::Mistral, |value| {
        long(value);
        value.as_object_mut().expect("an object").remove("sliding_window");
    });
    assert_eq!(silent.expect("valid").window, Some(4096));
    let none = read(Family::Mistral, |value| {
        long(value);
        value["sliding_window"] = Value::Null;
    });
    assert_eq!(none.expect("valid").window, None);
}

#[test]
fn other_networks_are_refused_by_name() {
    let error = read(Family::Llama, |value| value["model_type"] = json!("gpt2")).expect_err("not a Llama");
    assert!(error.to_string().contains("\"gpt2\""), "{error}");
    let help = error.help().expect("says what runs");
    assert!(Family::ALL.iter().all(|family| help.contains(family.model_type())), "{help}");
}

#[test]
fn variants_are_refused_by_name() {
    let llama = Family::Llama;
    assert!(refusal(llama, "hidden_act", json!("gelu")).contains("\"gelu\""));
    assert!(refusal(llama, "num_key_value_heads", json!(3)).contains("3 key-value heads"));
    assert!(refusal(llama, "num_attention_heads", json!(0)).contains("number of heads is 0"));
    assert!(refusal(llama, "rope_scaling", json!({"rope_type": "longrope"})).contains("\"longrope\""));
    assert!(refusal(llama, "rope_scaling", json!({"rope_type": "linear"})).contains("factor"));
    assert!(refusal(llama, "rope_scaling", json!({"rope_type": "linear", "factor": -1.0})).contains("no sense"));
    assert!(refusal(llama, "rope_parameters", json!({"partial_rotary_factor": 0.5})).contains("partial_rotary_factor"));
    assert!(refusal(llama, "sliding_window", json!(8)).contains("sliding window"));
    assert!(refusal(Family::Qwen2, "use_sliding_window", json!(true)).contains("use_sliding_window"));
    assert!(refusal(Family::Qwen3, "layer_types", json!(["sliding_attention"])).contains("sliding_attention"));
    assert!(refusal(Family::Falcon, "alibi", json!(true)).contains("ALiBi"));
    assert!(refusal(Family::Falcon, "activation", json!("relu")).contains("\"relu\""));
    assert!(refusal(Family::Falcon, "parallel_attn", json!(false)).contains("parallel_attn"));
    assert!(refusal(Family::Falcon, "hidden_size", json!(34)).contains("does not split"));
}

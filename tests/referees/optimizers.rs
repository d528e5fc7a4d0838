//! Every update rule for 200 steps against the field's own: PyTorch's, transformers', and bitsandbytes'.

use std::collections::BTreeMap;

use flow_model::{optimizer::Walk, rng::Rng, train::OptimConfig};
use serde_json::{Value, json};

use super::{Hearing, read_json, text_of};

const STEPS: u64 = 200;
/// Large enough for 8-bit moments, with a last block that is not whole.
const SHAPE: [usize; 2] = [36, 120];
/// Different gradients; they come again in turn.
const GRADIENTS: usize = 8;
/// The share of the parameter in its gradient, so that an error of one step enters the next.
const PULL: f32 = 0.1;
/// No share: PyTorch's root is not always the nearest number, and through the gradient its last bit would sooner or later choose
/// another 8-bit code.
const NO_PULL: f32 = 0.0;
/// Largest difference of a number after all steps.
const BOUND: f64 = 1e-6;

fn numbers(rng: &mut Rng, bound: f32) -> Vec<f32> {
    (0..SHAPE[0] * SHAPE[1]).map(|_| rng.symmetric(bound)).collect()
}

/// The matrix as PyTorch reads it.
fn rows(numbers: &[f32]) -> Vec<&[f32]> {
    numbers.chunks(SHAPE[1]).collect()
}

/// The options of `optim`, as a workflow has them, and the label of the case.
fn rules() -> Vec<Value> {
    vec![
        json!({"label": "AdamW", "name": "adamw", "lr": 1e-3, "betas": [0.9, 0.999], "weight_decay": 0.0}),
        json!({"label": "AdamW with decay", "name": "adamw", "lr": 1e-3, "betas": [0.8, 0.95], "weight_decay": 0.1}),
        json!({"label": "8-bit AdamW", "name": "adamw8bit", "lr": 1e-4, "betas": [0.9, 0.999], "weight_decay": 0.01, "pull": NO_PULL}),
        json!({"label": "SGD", "name": "sgd", "lr": 1e-2, "momentum": 0.0, "nesterov": false, "weight_decay": 0.0}),
        json!({"label": "SGD, momentum", "name": "sgd", "lr": 1e-3, "momentum": 0.9, "nesterov": false, "weight_decay": 0.01}),
        json!({"label": "SGD, Nesterov", "name": "sgd", "lr": 1e-3, "momentum": 0.9, "nesterov": true, "weight_decay": 0.01}),
        json!({"label": "Lion", "name": "lion", "lr": 1e-4, "betas": [0.9, 0.99], "weight_decay": 0.1}),
        json!({"label": "Adafactor", "name": "adafactor", "lr": 1e-3, "weight_decay": 0.01}),
        json!({"label": "Muon", "name": "muon", "lr": 1e-3, "momentum": 0.95, "nesterov": true, "weight_decay": 0.1}),
    ]
}

/// The rule as a workflow would have it.
fn walk(rule: &Value) -> Walk {
    let mut options = rule.as_object().expect("a map").clone();
    options.retain(|name, _| name != "label" && name != "pull");
    let config: OptimConfig = serde_json::from_value(Value::Object(options)).expect("options of `optim`");
    Walk { algorithm: config.algorithm(), steps: STEPS, rate: config.lr.get() }
}

#[test]
fn every_rule_moves_as_its_reference_does() {
    let Some(hearing) = Hearing::open() else { return };
    let mut rng = Rng::new(17);
    let start = numbers(&mut rng, 0.5);
    let gradients: Vec<Vec<f32>> = (0..GRADIENTS).map(|_| numbers(&mut rng, 1.0)).collect();
    let shown: Vec<_> = gradients.iter().map(|gradient| rows(gradient)).collect();
    let told: Vec<Value> = rules().into_iter().map(|rule| json!({"rule": rule, "pull": pull_of(&rule)})).collect();
    let request = json!({"start": rows(&start), "gradients": shown, "steps": STEPS, "rules": told});
    let (request, out) = (hearing.submit("request.json", &request), hearing.path("matrices.json"));
    hearing.ask("optimizers.py", &["--request", text_of(&request), "--out", text_of(&out)]);

    let theirs: BTreeMap<String, Vec<Vec<f32>>> = read_json(&out);
    for rule in rules() {
        let label = rule["label"].as_str().expect("a text");
        let pull = pull_of(&rule);
        let pulled = |step: u64, matrix: &[f32]| {
            let gradient = gradients.iter().cycle().nth(usize::try_from(step).expect("fits"));
            gradient.into_iter().flatten().zip(matrix).map(|(gradient, number)| gradient + pull * number).collect()
        };
        let ours = walk(&rule).from(&start, SHAPE, pulled);
        let apart = largest_difference(&ours, &theirs[label].concat());
        eprintln!("{label}: {apart:.1e} apart after {STEPS} steps");
        assert!(apart <= BOUND, "{label}: {apart:e}");
    }
}

fn pull_of(rule: &Value) -> f32 {
    if rule["pull"] == json!(NO_PULL) { NO_PULL } else { PULL }
}

fn largest_difference(ours: &[f32], theirs: &[f32]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(our, their)| (f64::from(*our) - f64::from(*their)).abs()).fold(0.0, f64::max)
}

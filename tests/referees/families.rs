//! Adapters over every family: what ours gives under peft, and twelve steps of training against TRL.

use std::path::{Path, PathBuf};

use flow_model::{
    Adapter, Checkpoint, Family, LoraConfig, Network, Padding, device, generator,
    rng::Rng,
    train::{Replay, Replayed, replay},
};
use flow_rows::TokenRow;
use serde_json::json;

use super::{
    Hearing,
    answers::{Answers, apart},
    read_json, text_of,
    training::{Step, options, product_difference},
};

/// Largest difference of a logit.
const LOGITS: f64 = 5e-6;
/// Largest difference of a step's loss, and of its gradient's norm as a share of it.
const STEPS: f64 = 1e-5;
/// Largest relative difference of the product of all pairs.
const PRODUCTS: f64 = 1e-3;
/// What an adapter must move for the comparison to mean something.
const MOVED: f64 = 0.05;
const COUNT: usize = 12;
const BATCH: usize = 2;

/// Rows of a question that is not learned and an answer that is.
struct Rows(Vec<(Vec<u32>, Vec<i32>)>);

impl Rows {
    fn random(count: usize, vocabulary: usize) -> Self {
        let mut rng = Rng::new(11);
        let mut below = |bound: usize| usize::try_from(rng.next_u64() % bound as u64).expect("small");
        let row = |_| {
            let (question, answer) = (2 + below(5), 2 + below(5));
            let ids: Vec<u32> = (0..question + answer).map(|_| u32::try_from(below(vocabulary)).expect("small")).collect();
            let label = |(at, id): (usize, &u32)| if at < question { -100 } else { i32::try_from(*id).expect("small") };
            let labels = ids.iter().enumerate().map(label).collect();
            (ids, labels)
        };
        Self((0..count).map(row).collect())
    }

    fn get(&self) -> Vec<TokenRow<'_>> {
        self.0.iter().map(|(input_ids, labels)| TokenRow { row_id: "", input_ids, labels }).collect()
    }
}

/// Models of a family, with a tokenizer beside them, because TRL asks for one.
fn models(hearing: &Hearing, family: Family, count: usize) -> Vec<PathBuf> {
    let (out, count_text) = (hearing.path(family.model_type()), count.to_string());
    let drawn = ["--family", family.model_type(), "--seed", "5", "--count", &count_text, "--tokenizer"];
    hearing.ask("families.py", &[&drawn[..], &["--out", text_of(&out)]].concat());
    (0..count).map(|index| out.join(format!("{}-{index}", family.model_type()))).collect()
}

/// One model of every family, but of Falcon, which has several architectures, so many.
fn one_of_each(hearing: &Hearing, falcons: usize) -> Vec<PathBuf> {
    let count = |family| if family == Family::Falcon { falcons } else { 1 };
    Family::ALL.into_iter().flat_map(|family| models(hearing, family, count(family))).collect()
}

/// Trains from a fresh adapter over every projection.
fn train(model: &Path, start: &Path, rows: &Rows, steps: usize) -> Replayed {
    let network = Network::load(model, &device::open("cpu").expect("a processor")).expect("loads");
    let targets = network.config().family.projections().iter().copied().collect();
    let config = LoraConfig { rank: 4, alpha: 8.0, dropout: 0.0, targets };
    Adapter::init(config, network.config(), 7, &network.device()).save(start, "base").expect("saves");
    let rows = rows.get();
    let request = Replay { base: model, adapter: start, rows: &rows, batch: BATCH, steps, options: options(1e-2, steps) };
    replay(&request).expect("trains")
}

#[test]
fn adapters_of_every_family_agree_with_peft() {
    let Some(hearing) = Hearing::open() else { return };
    // Every architecture of Falcon, with biases and without.
    for model in one_of_each(&hearing, 6) {
        faces_peft(&hearing, &model);
    }
}

fn faces_peft(hearing: &Hearing, model: &Path) {
    let what = model.file_name().expect("a name").to_string_lossy().into_owned();
    let checkpoint = Checkpoint::open(model).expect("opens");
    let network = Network::from_checkpoint(&checkpoint, &device::open("cpu").expect("a processor")).expect("loads");
    let rows = Rows::random(BATCH * 4, network.config().vocab_size);
    let (trained, out) = (hearing.path(&format!("{what}-trained")), hearing.path(&format!("{what}.safetensors")));
    train(model, &hearing.path(&format!("{what}-start")), &rows, 20).adapter.save(&trained, "base").expect("saves");
    let prompts: Vec<&[u32]> = rows.0.iter().take(3).map(|(ids, _)| ids.as_slice()).collect();
    let asked = hearing.submit(&format!("{what}.json"), &prompts);
    let model_text = text_of(model);
    let arguments = ["--model", model_text, "--adapter", text_of(&trained), "--prompts", text_of(&asked), "--out", text_of(&out)];
    hearing.ask("peft_logits.py", &arguments);

    let answers = Answers::read(&out);
    let adapter = Adapter::load(&trained, network.config(), &network.device()).expect("the adapter fits");
    for (number, prompt) in prompts.iter().enumerate() {
        let want = answers.numbers(&format!("float32.{number}"));
        let moved = apart(&answers.numbers(&format!("base.{number}")), &want);
        assert!(moved >= MOVED, "{what}: the adapter moves logits by {moved:e} only");
        let (ids, cx) = network.batch(&[prompt], Padding::Right);
        let whole = network.logits(ids, &cx, Some(&adapter)).into_data().iter::<f32>().map(f64::from).collect();
        let decoder = generator::logits(&checkpoint, Some(&trained), prompt).expect("decodes");
        for (who, found) in [("network", whole), ("decoder", decoder.into_iter().map(f64::from).collect::<Vec<f64>>())] {
            let distance = apart(&found, &want);
            eprintln!("{what}, {who}: {distance:.1e} apart, moved {moved:.2}");
            assert!(distance <= LOGITS, "{what}: the {who} is {distance:e} apart");
        }
    }
}

#[test]
fn twelve_steps_of_every_family_agree_with_trl() {
    let Some(hearing) = Hearing::open() else { return };
    // Falcon 7B and 40B.
    for model in one_of_each(&hearing, 2) {
        faces_trl(&hearing, &model);
    }
}

fn faces_trl(hearing: &Hearing, model: &Path) {
    let what = model.file_name().expect("a name").to_string_lossy().into_owned();
    let network = Network::load(model, &device::open("cpu").expect("a processor")).expect("loads");
    let rows = Rows::random(COUNT * BATCH, network.config().vocab_size);
    let (start, theirs) = (hearing.path(&format!("{what}-trl-start")), hearing.path(&format!("{what}-trl")));
    let ours = train(model, &start, &rows, COUNT);
    let given: Vec<_> = rows.0.iter().map(|(ids, labels)| json!({"input_ids": ids, "labels": labels})).collect();
    let settings =
        json!({"steps": COUNT, "batch": BATCH, "accumulation": 1, "lr": 1e-2, "warmup_steps": 2, "schedule": "cosine"});
    let (given, settings) = (hearing.submit("rows.json", &given), hearing.submit("settings.json", &settings));
    let files = ["--rows", text_of(&given), "--settings", text_of(&settings), "--out", text_of(&theirs)];
    hearing.ask("trl_steps.py", &[&["--model", text_of(model), "--adapter", text_of(&start)], &files[..]].concat());

    let steps: Vec<Step> = read_json(&theirs.join("steps.json"));
    assert_eq!((ours.history.len(), steps.len()), (COUNT, COUNT));
    for (number, (our, their)) in ours.history.iter().zip(&steps).enumerate() {
        let (loss, norm) = ((our.loss - their.loss).abs(), (our.grad_norm - their.grad_norm).abs() / their.grad_norm);
        assert!(loss <= STEPS, "{what}, step {number}: loss {} is not {}", our.loss, their.loss);
        assert!(norm <= STEPS, "{what}, step {number}: gradient norm {} is not {}", our.grad_norm, their.grad_norm);
    }
    let theirs = Adapter::load(&theirs, network.config(), &network.device()).expect("PEFT's folder opens");
    let difference = product_difference(&ours.adapter, &theirs);
    eprintln!("{what}: product of all pairs {difference:.1e} apart");
    assert!(difference <= PRODUCTS, "{what}: {difference:e}");
}

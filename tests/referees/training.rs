//! Twelve optimizer steps against TRL's `SFTTrainer`: the same adapter to start from, the same token ids, the same order.

use flow_model::{
    Adapter, Lora, LoraConfig, Network, Target, device,
    optimizer::{AdamW, Algorithm, BelowOne},
    schedule::{Portion, Schedule, ScheduleConfig, Shape},
    train::{Recompute, Replay, TrainerOptions, replay},
};
use flow_rows::TokenRow;
use flow_text::encode::{Encoded, Fitted, Limit, Overflow, encode_conversation};
use serde::Deserialize;
use serde_json::json;

use super::{Hearing, field, message, read_json, smollm2, text_of, tickets};

/// Optimizer steps of the comparison.
pub(crate) const STEPS: usize = 12;
/// Rows of one step.
const BATCH: usize = 4;
const WARMUP: u64 = 2;
/// Rows stay short, so that the comparison takes a minute.
const MAX_LENGTH: usize = 76;
/// Largest difference of a step's loss.
const LOSS_BOUND: f64 = 1e-5;
/// Largest relative difference of the product of all pairs.
const PRODUCT_BOUND: f64 = 1e-3;

/// One token row that owns its numbers.
pub(crate) struct Row(Encoded);

impl Row {
    /// The row as the trainer takes it.
    pub(crate) fn get(&self) -> TokenRow<'_> {
        TokenRow { row_id: "", input_ids: &self.0.input_ids, labels: &self.0.labels }
    }
}

/// Enough rows for every step: tickets to their triage, in the model's own chat template.
pub(crate) fn ticket_rows() -> Vec<Row> {
    let tokenizer = flow_model::open(&smollm2()).expect("opens").tokenizer;
    let limit = Limit { max_length: MAX_LENGTH, overflow: Overflow::Drop };
    let encode = |ticket: &serde_json::Value| {
        let asked = format!("{}\n{}", field(ticket, "subject"), field(ticket, "body"));
        let answer = ["category", "priority", "team", "sentiment"].map(|name| format!("{name}: {}", field(ticket, name)));
        let messages = [message("system", "Triage."), message("user", &asked), message("assistant", &answer.join("\n"))];
        match encode_conversation(&tokenizer, &messages, limit).expect("encodes") {
            Fitted::Whole(encoded) => Some(Row(encoded)),
            Fitted::Truncated { .. } | Fitted::Dropped { .. } => None,
        }
    };
    let rows: Vec<Row> = tickets().iter().filter_map(encode).take(STEPS * BATCH).collect();
    assert_eq!(rows.len(), STEPS * BATCH);
    rows
}

/// An adapter over every projection, as training starts with.
pub(crate) fn fresh_adapter(network: &Network) -> Adapter {
    let config = LoraConfig { rank: 8, alpha: 16.0, targets: Target::LLAMA.into(), ..LoraConfig::default() };
    Adapter::init(config, network.config(), 7, &network.device())
}

/// AdamW as PyTorch has it by default, without decay; a cosine after a short warm-up.
pub(crate) fn options(rate: f64, steps: usize) -> TrainerOptions {
    let beta = |value: f64| BelowOne::try_from(value).expect("below one");
    let shape = ScheduleConfig { name: Shape::Cosine, warmup: Portion::Steps(WARMUP), ..ScheduleConfig::default() };
    TrainerOptions {
        algorithm: Algorithm::AdamW(AdamW { betas: [beta(0.9), beta(0.999)], eps: 1e-8, weight_decay: 0.0 }),
        schedule: Schedule::new(&shape, rate, steps as u64),
        max_grad_norm: Some(1.0),
        micro: BATCH,
        recompute: Recompute::None,
        seed: 0,
    }
}

/// What TRL says about one step.
#[derive(Deserialize)]
pub(crate) struct Step {
    /// Its loss.
    pub(crate) loss: f64,
    /// Its gradient norm before clipping.
    pub(crate) grad_norm: f64,
}

#[test]
fn twelve_steps_agree_with_trl() {
    let Some(hearing) = Hearing::open() else { return };
    let network = Network::load(&smollm2(), &device::open("cpu").expect("a processor")).expect("loads");
    let (start, theirs, rows, rate) = (hearing.path("start"), hearing.path("theirs"), ticket_rows(), 5e-4);
    fresh_adapter(&network).save(&start, "base").expect("saves");
    let given: Vec<_> = rows.iter().map(|row| json!({"input_ids": row.0.input_ids, "labels": row.0.labels})).collect();
    let settings = json!({
        "steps": STEPS, "batch": BATCH, "accumulation": 1, "lr": rate, "warmup_steps": WARMUP, "schedule": "cosine",
    });
    let (given, settings) = (hearing.submit("rows.json", &given), hearing.submit("settings.json", &settings));
    let arguments =
        ["--adapter", text_of(&start), "--rows", text_of(&given), "--settings", text_of(&settings), "--out", text_of(&theirs)];
    hearing.ask_about_smollm2("trl_steps.py", &arguments);

    let rows: Vec<_> = rows.iter().map(Row::get).collect();
    let request =
        Replay { base: &smollm2(), adapter: &start, rows: &rows, batch: BATCH, steps: STEPS, options: options(rate, STEPS) };
    let ours = replay(&request).expect("trains");
    let steps: Vec<Step> = read_json(&theirs.join("steps.json"));
    assert_eq!((ours.history.len(), steps.len()), (STEPS, STEPS));
    for (number, (our, their)) in ours.history.iter().zip(&steps).enumerate() {
        let norms = (our.grad_norm - their.grad_norm).abs() / their.grad_norm;
        eprintln!(
            "step {number}: loss {:.6}, {:.1e} apart; gradient norm {norms:.1e} apart",
            our.loss,
            (our.loss - their.loss).abs()
        );
        assert!((our.loss - their.loss).abs() <= LOSS_BOUND, "step {number}: {} is not {}", our.loss, their.loss);
    }
    let theirs = Adapter::load(&theirs, network.config(), &network.device()).expect("PEFT's folder opens");
    let difference = product_difference(&ours.adapter, &theirs);
    eprintln!("product of all pairs: {difference:.1e} apart");
    assert!(difference <= PRODUCT_BOUND, "{difference:e}");
}

/// The length of the difference of all `B·A`, as a share of the second adapter's length.
pub(crate) fn product_difference(ours: &Adapter, theirs: &Adapter) -> f64 {
    let (mut apart, mut length) = (0.0, 0.0);
    for (our, their) in ours.layers().iter().zip(theirs.layers()) {
        assert!(our.pairs().keys().eq(their.pairs().keys()));
        for (our, their) in our.pairs().values().zip(their.pairs().values()) {
            for (ours, theirs) in product(our).into_iter().zip(product(their)) {
                apart += (ours - theirs).powi(2);
                length += theirs.powi(2);
            }
        }
    }
    (apart / length).sqrt()
}

/// `B·A` in float64, row by row.
fn product(pair: &Lora) -> Vec<f64> {
    let wide = |values: Vec<f32>| -> Vec<f64> { values.into_iter().map(f64::from).collect() };
    let (a, b) = (wide(pair.a.to_data().iter::<f32>().collect()), wide(pair.b.to_data().iter::<f32>().collect()));
    let [rank, inputs] = pair.a.dims();
    let row = |factors: &[f64]| {
        let mut row = vec![0.0; inputs];
        for (factor, line) in factors.iter().zip(a.chunks(inputs)) {
            row.iter_mut().zip(line).for_each(|(sum, value)| *sum += factor * value);
        }
        row
    };
    b.chunks(rank).flat_map(row).collect()
}

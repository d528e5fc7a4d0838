//! Training on a tiny random network: against the plain whole-graph formula, across groupings, and across a stop.

mod packed;

use std::collections::BTreeMap;

use burn::tensor::{Device, Int, Tensor, TensorData, activation::log_softmax};
use flow_rows::TokenRow;
use flow_text::encode::IGNORED;

use super::{OptimConfig, Recompute, TrainError, Trainer, TrainerOptions, mean_loss};
use crate::{
    Adapter, LoraConfig, ModelConfig, Network, Padding, Target,
    batch::{group, supervised},
    checkpoint::{Checkpoint, Cursor},
    optimizer::{AdamW, Algorithm, BelowOne},
    rng::Rng,
    schedule::{Portion, Schedule, ScheduleConfig, Shape},
    weights::config::tests::tiny,
};

/// Rows of different lengths: a question that is not supervised, then an answer that is.
struct Rows(Vec<(Vec<u32>, Vec<i32>)>);

impl Rows {
    fn random(count: usize, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut below = |bound: u64| u32::try_from(rng.next_u64() % bound).unwrap();
        let row = |_| {
            let (question, answer) = (3 + below(6) as usize, 2 + below(5) as usize);
            let ids: Vec<u32> = (0..question + answer).map(|_| below(97)).collect();
            let labels = ids.iter().enumerate().map(|(at, id)| if at < question { IGNORED } else { i32::try_from(*id).unwrap() });
            (ids.clone(), labels.collect())
        };
        Self((0..count).map(row).collect())
    }

    fn get(&self) -> Vec<TokenRow<'_>> {
        self.0.iter().map(|(input_ids, labels)| TokenRow { row_id: "", input_ids, labels }).collect()
    }
}

fn network() -> Network {
    Network::random(&tiny(), 7, &Device::flex()).unwrap()
}

fn lora(dropout: f64) -> LoraConfig {
    LoraConfig { rank: 4, alpha: 8.0, dropout, targets: Target::LLAMA.into(), ..LoraConfig::default() }
}

/// An adapter that has learned something: a fresh one has a zero half, which hides half of every gradient.
fn adapter(dropout: f64) -> Adapter {
    let mut rng = Rng::new(3);
    Adapter::init(lora(dropout), &tiny(), 11, &Device::flex()).map(|name, matrix| {
        let shape = matrix.dims();
        let noise: Vec<f32> = (0..shape[0] * shape[1]).map(|_| rng.symmetric(0.1)).collect();
        if name.ends_with("lora_B") { Tensor::from_data(TensorData::new(noise, shape), &Device::flex()) } else { matrix }
    })
}

fn options(micro: usize, rate: f64, steps: u64) -> TrainerOptions {
    let shape = ScheduleConfig { name: Shape::Cosine, warmup: Portion::Steps(2), ..ScheduleConfig::default() };
    TrainerOptions {
        algorithm: Algorithm::AdamW(AdamW { betas: [BelowOne::of(0.9), BelowOne::of(0.999)], eps: 1e-8, weight_decay: 0.01 }),
        schedule: Schedule::new(&shape, rate, steps),
        max_grad_norm: Some(1.0),
        micro,
        recompute: Recompute::None,
        seed: 5,
    }
}

fn bits(adapter: &Adapter) -> BTreeMap<String, Vec<u32>> {
    let read = |matrix: &Tensor<2>| matrix.to_data().iter::<f32>().map(f32::to_bits).collect();
    adapter.parameters().map(|(name, matrix)| (name, read(matrix))).collect()
}

/// The whole network in one graph, all logits at once, row by row.
fn plain(network: &Network, adapter: &Adapter, rows: &[TokenRow<'_>]) -> (f64, BTreeMap<String, Tensor<2>>) {
    let tracked = adapter.tracked();
    let mut total = Tensor::<1>::zeros([1], &Device::flex().autodiff());
    for row in rows {
        let (ids, cx) = network.batch(&[row.input_ids], Padding::Right);
        let logits = network.logits(ids, &cx, Some(&tracked));
        let [_, width, vocabulary] = logits.dims();
        let likely = log_softmax(logits.reshape([width, vocabulary]), 1);
        for (position, label) in row.labels.iter().enumerate().skip(1).filter(|(_, label)| **label != IGNORED) {
            let target = Tensor::<2, Int>::from_data([[*label]], &Device::flex());
            total = total - likely.clone().narrow(0, position - 1, 1).gather(1, target).reshape([1]);
        }
    }
    let sum = f64::from(total.clone().inner().into_data().iter::<f32>().next().unwrap());
    let mut graph = total.backward();
    let gradients = tracked.parameters().map(|(name, matrix)| (name, matrix.grad_remove(&mut graph).unwrap())).collect();
    (sum, gradients)
}

/// The length of the difference as a share of the first one's length.
fn distance(a: &Tensor<2>, b: Tensor<2>) -> f32 {
    let length: f32 = a.clone().square().sum().sqrt().into_scalar();
    let apart: f32 = (a.clone() - b).square().sum().sqrt().into_scalar();
    apart / length
}

#[test]
fn loss_and_gradients_equal_the_plain_formula() {
    let (network, adapter, rows) = (network(), adapter(0.0), Rows::random(6, 1));
    let (want, expected) = plain(&network, &adapter, &rows.get());
    let (sum, gradients) = Trainer::new(&network, &adapter, options(4, 1e-3, 10)).gradients(&group(&rows.get(), 4), 1.0);
    assert!((sum - want).abs() / want < 1e-6, "{sum} is not {want}");
    assert_eq!(gradients.names().count(), expected.len());
    for (name, gradient) in expected {
        let ours = gradients.get(&name).unwrap().clone();
        assert!(distance(&gradient, ours) <= 1e-5, "{name}");
    }
    let supervised: u64 = rows.get().iter().map(supervised).sum();
    let mean = mean_loss(&network, Some(&adapter), &rows.get(), 3).unwrap();
    assert!((mean * f64::from(u32::try_from(supervised).unwrap()) - want).abs() / want < 1e-6);
}

#[test]
fn the_gradient_does_not_depend_on_how_rows_are_grouped() {
    let (network, adapter, rows) = (network(), adapter(0.0), Rows::random(8, 2));
    let gradients =
        |micro| Trainer::new(&network, &adapter, options(micro, 1e-3, 10)).gradients(&group(&rows.get(), micro), 0.01).1;
    let whole = gradients(8);
    for micro in [1, 2, 3] {
        let parts = gradients(micro);
        for name in whole.names() {
            assert!(distance(whole.get(name).unwrap(), parts.get(name).unwrap().clone()) <= 1e-5, "micro {micro}, {name}");
        }
    }
}

#[test]
fn recomputed_activations_give_the_same_bits() {
    let (network, rows) = (network(), Rows::random(8, 2));
    let train = |recompute| {
        let mut trainer = Trainer::new(&network, &adapter(0.2), TrainerOptions { recompute, ..options(3, 1e-2, 4) });
        (0..4).for_each(|_| _ = trainer.step(&rows.get()).unwrap());
        bits(trainer.adapter())
    };
    assert_eq!(train(Recompute::None), train(Recompute::Block));
}

#[test]
fn a_run_stopped_at_any_step_ends_with_the_same_bits() {
    stops(&network(), &adapter(0.1), options(2, 1e-2, 4));
}

#[test]
fn every_rule_goes_on_to_the_same_bits() {
    // Wide enough for 8-bit moments.
    let wide = ModelConfig { hidden_size: 128, head_dim: 32, ..tiny() };
    let network = Network::random(&wide, 7, &Device::flex()).unwrap();
    let fresh = Adapter::init(LoraConfig { rank: 32, ..lora(0.1) }, &wide, 1, &Device::flex());
    for name in ["adamw8bit", "sgd", "lion", "adafactor", "muon"] {
        let config: OptimConfig = serde_json::from_value(serde_json::json!({"name": name})).unwrap();
        stops(&network, &fresh, TrainerOptions { algorithm: config.algorithm(), ..options(2, 1e-2, 4) });
    }
}

/// Stops a run after each of its steps, goes on from the checkpoint, and compares all with the run that never stopped.
fn stops(network: &Network, fresh: &Adapter, options: TrainerOptions) {
    let rows = Rows::random(12, 4);
    let batches: Vec<Vec<TokenRow<'_>>> = rows.get().chunks(3).map(<[_]>::to_vec).collect();
    let start = || Trainer::new(network, fresh, options);
    let mut straight = start();
    for batch in &batches {
        straight.step(batch).unwrap();
    }

    for stop in 1..batches.len() {
        let folder = tempfile::tempdir().unwrap();
        let cursor = Cursor { step: stop as u64, epoch: 0, row: 3 * stop as u64, rows: 12, seed: 5 };
        let mut first = start();
        batches.iter().take(stop).for_each(|batch| _ = first.step(batch).unwrap());
        first.checkpoint().write(folder.path(), &cursor).unwrap();

        let mut second = start();
        second.restore(Checkpoint::read(folder.path()).unwrap().0).unwrap();
        batches.iter().skip(stop).for_each(|batch| _ = second.step(batch).unwrap());
        assert_eq!(second.history(), straight.history(), "stopped after step {stop}");
        assert_eq!(bits(second.adapter()), bits(straight.adapter()), "stopped after step {stop}");
    }
}

#[test]
fn a_checkpoint_of_another_adapter_is_refused() {
    let network = network();
    let checkpoint = Trainer::new(&network, &adapter(0.0), options(2, 1e-2, 4)).checkpoint();
    let wider = Adapter::init(LoraConfig { rank: 8, ..lora(0.0) }, &tiny(), 1, &Device::flex());
    let error = Trainer::new(&network, &wider, options(2, 1e-2, 4)).restore(checkpoint).unwrap_err();
    assert!(matches!(error, TrainError::Foreign { .. }), "{error}");
}

#[test]
fn eight_rows_are_learned_by_heart_and_said_again() {
    // The norm before a frozen head bounds every logit by the width: a narrow network cannot be sure of anything.
    let wide = ModelConfig { hidden_size: 128, head_dim: 32, ..tiny() };
    let (network, rows) = (Network::random(&wide, 7, &Device::flex()).unwrap(), Rows::random(8, 6));
    let fresh = Adapter::init(LoraConfig { rank: 16, alpha: 32.0, ..lora(0.0) }, &wide, 1, &Device::flex());
    let mut trainer = Trainer::new(&network, &fresh, options(8, 1e-2, 200));
    let loss = (0..200).map(|_| trainer.step(&rows.get()).unwrap().loss).last().unwrap();
    assert!(loss < 0.01, "the loss is still {loss}");
    for row in rows.get() {
        let answer = row.labels.iter().position(|label| *label != IGNORED).unwrap();
        let mut ids = row.input_ids[..answer].to_vec();
        while ids.len() < row.input_ids.len() {
            let (input, cx) = network.batch(&[&ids], Padding::Right);
            let logits = network.logits(input, &cx, Some(trainer.adapter()));
            let next = logits.narrow(1, ids.len() - 1, 1).argmax(2).into_data().iter::<u32>().next().unwrap();
            ids.push(next);
        }
        assert_eq!(ids, row.input_ids);
    }
}

#[test]
fn training_leaves_the_base_as_it_was() {
    let (network, rows) = (network(), Rows::random(4, 8));
    let before = mean_loss(&network, None, &rows.get(), 4).unwrap();
    let mut trainer = Trainer::new(&network, &adapter(0.0), options(2, 1e-2, 5));
    (0..5).for_each(|_| _ = trainer.step(&rows.get()).unwrap());
    assert_eq!(mean_loss(&network, None, &rows.get(), 4).unwrap().to_bits(), before.to_bits());
    assert!(mean_loss(&network, Some(trainer.adapter()), &rows.get(), 4).unwrap() < before);
}

#[test]
fn warm_up_starts_at_rate_zero() {
    let (network, rows) = (network(), Rows::random(4, 8));
    let mut trainer = Trainer::new(&network, &adapter(0.0), options(4, 1e-2, 5));
    trainer.step(&rows.get()).unwrap();
    assert_eq!(bits(trainer.adapter()), bits(&adapter(0.0)));
}

#[test]
fn dropout_draws_another_mask_each_step_and_the_same_one_again() {
    let (network, rows) = (network(), Rows::random(4, 8));
    let losses = || {
        let mut trainer = Trainer::new(&network, &adapter(0.5), options(4, 1e-30, 5));
        (0..3).map(|_| trainer.step(&rows.get()).unwrap().loss.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(losses(), losses());
    assert_ne!(losses()[1], losses()[2]);
}

#[test]
fn a_step_without_supervision_and_a_loss_that_is_no_number_are_errors() {
    let (network, rows) = (network(), Rows::random(4, 8));
    let mut trainer = Trainer::new(&network, &adapter(0.0), options(4, 1e30, 9));
    let silent = [TokenRow { row_id: "", input_ids: &[1, 2], labels: &[IGNORED, IGNORED] }];
    assert!(matches!(trainer.step(&silent), Err(TrainError::NothingSupervised { step: 0 })));
    let error = (0..9).find_map(|_| trainer.step(&rows.get()).err()).unwrap();
    assert!(matches!(error, TrainError::Diverged { .. }), "{error}");
}

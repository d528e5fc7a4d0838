//! A training run without files: a network, an adapter, an optimizer, and the steps taken so far.

use std::{collections::BTreeMap, convert::Infallible, panic::resume_unwind, thread};

use burn::tensor::{Device, Tensor};
use flow_rows::TokenRow;

use super::{
    state,
    step::{self, Pass, Recompute},
};
use crate::{
    Adapter, Dropout, Network,
    batch::{self, Batch, Group},
    checkpoint::{Checkpoint, HostTensor, PARAMETER, StepRecord},
    optimizer::{Algorithm, Gradients, Layout, Optimizer, Slots, Update, clip_factor},
    rng::Rng,
    schedule::Schedule,
};

/// Passes at the same time on the processor. A graphics card is filled by one.
const LANES: usize = 2;

/// How a run learns, but for the rows it sees.
#[derive(Clone, Copy, Debug)]
pub struct TrainerOptions {
    /// The update rule.
    pub algorithm: Algorithm,
    /// The learning rate by step.
    pub schedule: Schedule,
    /// Longest gradient; `None` switches clipping off.
    pub max_grad_norm: Option<f64>,
    /// Rows that go through the network together.
    pub micro: usize,
    /// What happens to activations.
    pub recompute: Recompute,
    /// Seed of the dropout masks.
    pub seed: u64,
}

/// Why a step could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// No row of the step has a supervised token.
    #[error("step {step} has no supervised token")]
    NothingSupervised {
        /// The step, counted from 0.
        step: usize,
    },
    /// The loss or the gradient is no longer a number.
    #[error("training diverged at step {step}: loss {loss}, gradient norm {grad_norm}")]
    Diverged {
        /// The step, counted from 0.
        step: usize,
        /// Its loss.
        loss: f64,
        /// Its gradient norm.
        grad_norm: f64,
    },
    /// A checkpoint belongs to another run.
    #[error("checkpoint does not fit this run: tensor {name} is missing or has another shape")]
    Foreign {
        /// The first tensor that does not fit.
        name: String,
    },
}

/// A run between two steps.
#[derive(Debug)]
pub struct Trainer<'a> {
    network: &'a Network,
    adapter: Adapter,
    optimizer: Optimizer,
    options: TrainerOptions,
    history: Vec<StepRecord>,
}

impl<'a> Trainer<'a> {
    /// Starts at step 0 from an adapter.
    pub fn new(network: &'a Network, adapter: &Adapter, options: TrainerOptions) -> Self {
        let optimizer = Optimizer::new(options.algorithm);
        Self { network, adapter: adapter.detached(), optimizer, options, history: Vec::new() }
    }

    /// The frozen base.
    pub fn network(&self) -> &'a Network {
        self.network
    }

    /// The adapter as it is now.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// Rows that go through the network together.
    pub fn micro(&self) -> usize {
        self.options.micro
    }

    /// One record for each step taken.
    pub fn history(&self) -> &[StepRecord] {
        &self.history
    }

    /// The number of steps taken.
    pub fn steps(&self) -> u64 {
        self.history.len() as u64
    }

    /// Takes one optimizer step on all of `rows`. Its loss is the mean over their supervised tokens, however they are grouped.
    pub fn step(&mut self, rows: &[TokenRow<'_>]) -> Result<StepRecord, TrainError> {
        self.step_groups(&batch::group(rows, self.options.micro))
    }

    /// Takes one optimizer step on all rows of `bins`, which go through the network packed.
    pub fn step_packed(&mut self, bins: &[Vec<TokenRow<'_>>]) -> Result<StepRecord, TrainError> {
        self.step_groups(&batch::group_bins(bins, self.options.micro))
    }

    /// Takes one optimizer step on all rows of `groups`.
    pub fn step_groups(&mut self, groups: &[Group<'_>]) -> Result<StepRecord, TrainError> {
        let step = self.history.len();
        let supervised: u64 = groups.iter().flat_map(|group| &group.rows).map(batch::supervised).sum();
        if supervised == 0 {
            return Err(TrainError::NothingSupervised { step });
        }
        let (sum, gradients) = self.gradients(groups, 1.0 / float(supervised));
        let (loss, grad_norm) = (sum / float(supervised), gradients.norm());
        if !loss.is_finite() || !grad_norm.is_finite() {
            return Err(TrainError::Diverged { step, loss, grad_norm });
        }
        self.update(&gradients, grad_norm);
        let record = StepRecord { loss, grad_norm, supervised };
        self.history.push(record);
        Ok(record)
    }

    /// Returns the summed loss of all rows and the gradient of `factor` times it.
    pub fn gradients(&self, groups: &[Group<'_>], factor: f64) -> (f64, Gradients) {
        let numbered: Vec<(usize, &Group<'_>)> = groups.iter().enumerate().collect();
        let mut gradients = Gradients::default();
        let mut sum = 0.0;
        let lanes = if self.network.device() == Device::flex() { LANES } else { 1 };
        for lanes in numbered.chunks(lanes) {
            // In the order of the groups, so that the sums do not depend on which lane ends first.
            for (loss, part) in self.side_by_side(lanes, factor) {
                sum += loss;
                gradients.merge(part);
            }
        }
        (sum, gradients)
    }

    /// Runs groups at the same time: burn computes everything but matrix products on one thread, so another pass fills the gap.
    fn side_by_side(&self, groups: &[(usize, &Group<'_>)], factor: f64) -> Vec<(f64, Gradients)> {
        let Some((first, others)) = groups.split_first() else { return Vec::new() };
        thread::scope(|scope| {
            let others: Vec<_> = others.iter().map(|group| scope.spawn(|| self.pass(*group, factor))).collect();
            let mut results = vec![self.pass(*first, factor)];
            results.extend(others.into_iter().map(|other| other.join().unwrap_or_else(|panic| resume_unwind(panic))));
            results
        })
    }

    /// One pass of one group, with leaves of its own: passes that share none share no graph either.
    fn pass(&self, (index, group): (usize, &Group<'_>), factor: f64) -> (f64, Gradients) {
        let mut gradients = Gradients::default();
        let Some(batch) = Batch::new(&group.rows, group.layout, &self.network.device()) else { return (0.0, gradients) };
        let pass = Pass { factor, dropout: self.dropout(index), recompute: self.options.recompute };
        let loss = step::backward(self.network, &self.adapter.tracked(), (&batch, pass), &mut gradients);
        (loss, gradients)
    }

    /// The dropout of one group of this step: another mask for every group, the same one after a resume.
    #[expect(clippy::cast_possible_truncation, reason = "a rate needs no more than 24 bits")]
    fn dropout(&self, group: usize) -> Option<Dropout> {
        let rate = self.adapter.config().dropout as f32;
        let seed = Rng::named(self.options.seed, &format!("dropout {} {group}", self.history.len())).next_u64();
        (rate > 0.0).then_some(Dropout { rate, seed })
    }

    fn update(&mut self, gradients: &Gradients, grad_norm: f64) {
        let update = Update {
            step: self.steps() + 1,
            rate: self.options.schedule.rate(self.steps()),
            clip: clip_factor(grad_norm, self.options.max_grad_norm),
        };
        let optimizer = &mut self.optimizer;
        self.adapter = self.adapter.map(|name, parameter| match gradients.get(name) {
            Some(gradient) => optimizer.step(name, parameter, gradient.clone(), &update),
            None => parameter,
        });
    }

    /// Everything a later process needs to go on.
    pub fn checkpoint(&self) -> Checkpoint {
        let mut tensors: BTreeMap<String, HostTensor> = BTreeMap::new();
        for (name, parameter) in self.adapter.parameters() {
            tensors.insert(parameter_key(&name), state::host_floats(parameter));
        }
        for (name, slots) in self.optimizer.slots() {
            tensors.extend(slots.iter().flat_map(|(slot, held)| state::to_host(&format!("{slot}/{name}"), held)));
        }
        Checkpoint { tensors, history: self.history.clone() }
    }

    /// What the optimizer remembered of a parameter; none when it had not moved it yet.
    fn slots(&self, checkpoint: &Checkpoint, name: &str, parameter: &Tensor<2>) -> Result<Option<Slots>, TrainError> {
        let layout = self.options.algorithm.layout(parameter.dims());
        let key = |slot: &str| format!("{slot}/{name}");
        if !layout.iter().any(|slot| state::is_there(checkpoint, &key(slot.name))) {
            return Ok(None);
        }
        let device = parameter.device();
        let take = |slot: &Layout| Ok((slot.name, state::to_device(checkpoint, (&key(slot.name), slot), &device)?));
        layout.iter().map(take).collect::<Result<Slots, _>>().map(Some)
    }

    /// Goes on from a checkpoint of the same run.
    pub fn restore(&mut self, checkpoint: Checkpoint) -> Result<(), TrainError> {
        let mut restored = BTreeMap::new();
        let mut optimizer = Optimizer::new(self.options.algorithm);
        for (name, parameter) in self.adapter.parameters() {
            if let Some(slots) = self.slots(&checkpoint, &name, parameter)? {
                optimizer.restore(name.clone(), slots);
            }
            let stored = state::floats(&checkpoint, &parameter_key(&name), parameter.dims(), &parameter.device())?;
            restored.insert(name, stored);
        }
        self.adapter = self.adapter.map(|name, parameter| restored.remove(name).unwrap_or(parameter));
        self.optimizer = optimizer;
        self.history = checkpoint.history;
        Ok(())
    }
}

/// The mean negative log-likelihood of rows over all their supervised tokens, if they have any.
pub fn mean_loss(network: &Network, adapter: Option<&Adapter>, rows: &[TokenRow<'_>], micro: usize) -> Option<f64> {
    let mut unwatched = |_: usize| Ok::<_, Infallible>(());
    mean_loss_watched((network, adapter), rows, micro, &mut unwatched).unwrap_or_else(|never| match never {})
}

/// [`mean_loss`] that tells `watch` how many rows went through the network after each group, and ends with its error.
pub(super) fn mean_loss_watched<E>(
    (network, adapter): (&Network, Option<&Adapter>),
    rows: &[TokenRow<'_>],
    micro: usize,
    watch: &mut dyn FnMut(usize) -> Result<(), E>,
) -> Result<Option<f64>, E> {
    let supervised: u64 = rows.iter().map(batch::supervised).sum();
    let mut sum = 0.0;
    for group in batch::group(rows, micro) {
        if let Some(batch) = Batch::new(&group.rows, group.layout, &network.device()) {
            sum += step::losses(network, adapter, &batch).into_iter().map(f64::from).sum::<f64>();
        }
        watch(group.rows.len())?;
    }
    Ok((supervised > 0).then(|| sum / float(supervised)))
}

fn parameter_key(name: &str) -> String {
    format!("{PARAMETER}{name}")
}

#[expect(clippy::cast_precision_loss, reason = "token counts stay far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}

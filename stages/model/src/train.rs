//! `train/sft`: teaches an adapter from tokens, with checkpoints from which a stopped run goes on to the same bytes.
//!
//! The stage reads tokens and writes files; [`Trainer`] does the learning and is what tests and referees drive.

mod config;
mod order;
mod replay;
mod report;
mod step;
#[cfg(test)]
mod tests;
mod trainer;
mod validation;

use std::{path::Path, time::Instant};

use flow_engine::{
    ArtifactKind::{Adapter as AdapterFolder, Report as ReportFolder, Tokens},
    Determinism, Ports, Resources, SourceRef, Stage, StageContext, StageError,
};
use flow_rows::{TokenRow, TokensReader};

pub use self::{
    config::{
        BatchConfig, CheckpointConfig, DurationConfig, EvalConfig, MemoryConfig, Method, MethodConfig, OptimConfig, Positive,
        SftConfig, Targets,
    },
    order::Order,
    replay::{Replay, Replayed, replay},
    step::{Pass, Recompute, backward, losses},
    trainer::{TrainError, Trainer, TrainerOptions, mean_loss},
};
use crate::{
    Adapter, Network, Opened, base,
    checkpoint::{CheckpointError, Checkpoints},
    device,
    schedule::Schedule,
};

/// Teaches a model from examples.
pub struct Sft;

impl Stage for Sft {
    type Config = SftConfig;
    const KIND: &'static str = "train/sft";
    const REVISION: u32 = 2;
    const DETERMINISM: Determinism = Determinism::Seeded;

    fn ports(_: &SftConfig) -> Ports {
        Ports::new()
            .reads("train", Tokens)
            .reads_optional("validation", Tokens)
            .writes("adapter", AdapterFolder)
            .writes("report", ReportFolder)
    }

    fn sources(config: &SftConfig) -> Vec<SourceRef> {
        vec![SourceRef::Pinned(config.base.clone())]
    }

    fn resources(_: &SftConfig) -> Resources {
        Resources::all_cpus()
    }

    fn run(config: &SftConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        let opened = crate::open(&base::locate(cx, &config.base)?)?;
        let network = Network::from_checkpoint(&opened.checkpoint, &device::open(&config.device)?)?;
        let train = open_tokens(cx.input("train")?, &opened)?;
        let validation = cx.input_optional("validation").map(|path| open_tokens(path, &opened)).transpose()?;
        if train.is_empty() {
            return Err(StageError::input("input train has no rows").help("look at the report of the stage that tokenized it"));
        }

        let run = Run::new(config, cx, train.len());
        let fresh = Adapter::init(config.method.lora(), network.config(), cx.seed().0, &network.device());
        let mut trainer = Trainer::new(&network, &fresh, run.options(config));
        run.train(&mut trainer, &train, cx)?;

        let validation = validation.map(|tokens| validation::validate(&trainer, &tokens, &config.eval, cx));
        let validation = validation.transpose()?.flatten();
        trainer.adapter().save(cx.output("adapter")?, &config.base)?;
        report::measure(cx, &trainer, validation);
        report::build(config, &run, &trainer, validation).write(cx.output("report")?)
    }
}

/// Maps tokens and refuses those that another tokenizer made, and ids that the model does not have.
fn open_tokens(path: &Path, opened: &Opened) -> Result<TokensReader, StageError> {
    let tokens = TokensReader::open(path)?;
    if tokens.meta().tokenizer != opened.tokenizer.digest() {
        let message = "the tokens were made by another tokenizer than that of `base`";
        return Err(StageError::input(message).help("give text/tokenize the same model as train/sft"));
    }
    let vocabulary = opened.checkpoint.config().vocab_size;
    for row in tokens.iter() {
        let row = row?;
        if let Some(id) = row.input_ids.iter().find(|id| **id as usize >= vocabulary) {
            let message = format!("row {} has token id {id}, but the model has {vocabulary} tokens", row.row_id);
            return Err(StageError::input(message).help("tokenize with the same model as `base`"));
        }
    }
    Ok(tokens)
}

/// The plan of one run: how many steps, over which rows, and where its checkpoints are.
struct Run {
    order: Order,
    schedule: Schedule,
    steps: u64,
    micro: usize,
    every: u64,
    seed: u64,
    checkpoints: Checkpoints,
}

impl Run {
    fn new(config: &SftConfig, cx: &StageContext<'_>, rows: usize) -> Self {
        let seed = cx.seed().0;
        let order = Order::new(rows, config.batch.global.get() as usize, seed);
        let all = order.steps_per_epoch() * u64::from(config.duration.epochs.get());
        let steps = config.duration.max_steps.map_or(all, |most| all.min(most.get()));
        Self {
            order,
            schedule: Schedule::new(&config.optim.schedule, config.optim.lr.get(), steps),
            steps,
            micro: config.batch.micro.get() as usize,
            every: u64::from(config.checkpoint.every_steps.get()),
            seed,
            checkpoints: Checkpoints::new(cx.scratch().join("checkpoints"), config.checkpoint.keep.get() as usize),
        }
    }

    fn options(&self, config: &SftConfig) -> TrainerOptions {
        TrainerOptions {
            adamw: config.optim.adamw(),
            schedule: self.schedule,
            max_grad_norm: config.optim.max_grad_norm.map(Positive::get),
            micro: self.micro,
            recompute: config.memory.recompute,
            seed: self.seed,
        }
    }

    /// Goes on from the newest checkpoint to the last step.
    fn train(&self, trainer: &mut Trainer<'_>, tokens: &TokensReader, cx: &StageContext<'_>) -> Result<(), StageError> {
        if let Some(checkpoint) = self.checkpoints.latest()? {
            trainer.restore(checkpoint)?;
            tracing::info!(step = trainer.steps(), "Resumed from a checkpoint.");
        }
        let mut speed = Speed::new();
        let mut epoch = Epoch::default();
        while trainer.steps() < self.steps {
            if let Err(stop) = cx.check_cancelled() {
                self.checkpoints.save(&trainer.checkpoint())?;
                return Err(stop);
            }
            let rows = epoch.rows(&self.order, trainer.steps()).iter().map(|&row| tokens.get(row));
            let rows = rows.collect::<Result<Vec<_>, _>>()?;
            let record = trainer.step(&rows)?;
            let note = format!("loss {:.3} · {:.0} tok/s", record.loss, speed.after(&rows));
            cx.progress_note(trainer.steps(), Some(self.steps), "steps", note);
            // The last one too: a kill while the validation rows are scored costs no step.
            if trainer.steps().is_multiple_of(self.every) || trainer.steps() == self.steps {
                self.checkpoints.save(&trainer.checkpoint())?;
            }
        }
        cx.measure("volatile.tokens_per_second", speed.overall());
        Ok(())
    }
}

/// The shuffled rows of the current epoch, made once an epoch.
#[derive(Default)]
struct Epoch {
    current: Option<(u64, Vec<usize>)>,
}

impl Epoch {
    fn rows(&mut self, order: &Order, step: u64) -> &[usize] {
        let number = order.epoch(step);
        if self.current.as_ref().is_none_or(|(current, _)| *current != number) {
            self.current = Some((number, order.epoch_rows(number)));
        }
        let shuffled = self.current.as_ref().map_or(&[][..], |(_, rows)| rows);
        shuffled.get(order.window(step)).unwrap_or_default()
    }
}

/// Tokens per second, for people only: it never enters an output.
struct Speed {
    start: Instant,
    last: Instant,
    tokens: u64,
}

impl Speed {
    fn new() -> Self {
        let now = Instant::now();
        Self { start: now, last: now, tokens: 0 }
    }

    /// Counts the rows of a step and returns its speed.
    fn after(&mut self, rows: &[TokenRow<'_>]) -> f64 {
        let tokens: u64 = rows.iter().map(|row| row.input_ids.len() as u64).sum();
        let now = Instant::now();
        let speed = per_second(tokens, now - self.last);
        (self.last, self.tokens) = (now, self.tokens + tokens);
        speed
    }

    fn overall(&self) -> f64 {
        per_second(self.tokens, self.last - self.start)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn per_second(tokens: u64, time: std::time::Duration) -> f64 {
    tokens as f64 / time.as_secs_f64().max(f64::EPSILON)
}

impl From<TrainError> for StageError {
    fn from(error: TrainError) -> Self {
        let made = Self::input(error.to_string());
        match error {
            TrainError::NothingSupervised { .. } => made.help("check `loss_on` and the report of the tokenize stage"),
            TrainError::Diverged { .. } => {
                made.help("lower `optim.lr`, raise `optim.schedule.warmup`, or set `optim.max_grad_norm`")
            }
            TrainError::Foreign { .. } => Self::internal(made.message),
        }
    }
}

impl From<CheckpointError> for StageError {
    fn from(error: CheckpointError) -> Self {
        Self::resource(error.to_string()).because(&error).help("check the disk's free space, then `flow resume`")
    }
}

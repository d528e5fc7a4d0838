//! `train/sft`: teaches an adapter from tokens, with checkpoints from which a stopped run goes on to the same bytes.
//!
//! The stage reads tokens and writes files; [`Trainer`] does the learning and is what tests and referees drive.

mod config;
mod feed;
mod horizon;
mod optim;
mod order;
mod replay;
mod report;
mod state;
mod step;
mod targets;
#[cfg(test)]
mod tests;
mod trainer;
mod validation;

use std::{path::Path, time::Instant};

use flow_engine::{
    ArtifactKind::{Adapter as AdapterFolder, Model as ModelFolder, Report as ReportFolder, Tokens},
    Determinism, Ports, Resources, SourceRef, Stage, StageContext, StageError,
    horizon::{Horizon, Milestone, Reach},
};
use flow_rows::TokensReader;

use self::feed::Feed;
pub use self::{
    config::{
        BatchConfig, CheckpointConfig, DurationConfig, EvalConfig, MemoryConfig, Merged, Method, MethodConfig, OutputConfig,
        Packing, Resume, SftConfig,
    },
    optim::{OptimConfig, OptimizerName},
    order::Order,
    replay::{Replay, Replayed, replay},
    step::{Pass, Recompute, backward, losses},
    targets::Targets,
    trainer::{TrainError, Trainer, TrainerOptions, mean_loss},
};
pub use crate::ranges::Positive;
use crate::{
    Adapter, ModelConfig, Network, Opened, base,
    batch::Group,
    chat_defaults,
    checkpoint::{Checkpoint, CheckpointError, Cursor},
    device,
    merge::merge,
    pack::Forecast,
    schedule::Schedule,
};

/// Teaches a model from examples.
pub struct Sft;

impl Stage for Sft {
    type Config = SftConfig;
    const KIND: &'static str = "train/sft";
    const REVISION: u32 = 2;
    const DETERMINISM: Determinism = Determinism::Seeded;
    const STALL: Option<std::time::Duration> = Some(std::time::Duration::from_mins(15));

    fn ports(config: &SftConfig) -> Ports {
        let ports = Ports::new()
            .reads("train", Tokens)
            .reads_optional("validation", Tokens)
            .writes("adapter", AdapterFolder)
            .writes("report", ReportFolder);
        match config.output.merged {
            Merged::None => ports,
            Merged::Safetensors => ports.writes("merged", ModelFolder),
        }
    }

    fn sources(config: &SftConfig) -> Vec<SourceRef> {
        vec![SourceRef::Pinned(config.base.clone())]
    }

    fn resources(_: &SftConfig) -> Resources {
        Resources::all_cpus()
    }

    fn horizon(config: &SftConfig) -> Option<Horizon> {
        Some(horizon::of(config))
    }

    fn run(config: &SftConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        let opened = crate::open(&base::locate(cx, &config.base)?)?;
        let lora = config.method.lora(opened.checkpoint.config()).map_err(|reason| {
            StageError::input(format!("method does not fit {}: {reason}", config.base)).help("write `targets: all_linear`")
        })?;
        let train = open_tokens(cx.input("train")?, &opened)?;
        let validation = cx.input_optional("validation").map(|path| open_tokens(path, &opened)).transpose()?;
        if train.is_empty() {
            return Err(StageError::input("input train has no rows").help("look at the report of the stage that tokenized it"));
        }
        let mut feed = Feed::new(&train, &config.batch, cx.seed().0)?;
        let network = Network::from_checkpoint(&opened.checkpoint, &device::open(&config.device)?)?;

        let run = Run::new(config, cx, &feed);
        let fresh = Adapter::fresh(lora, &network, cx.seed().0);
        let mut trainer = Trainer::new(&network, &fresh, run.options(config));
        run.train(&mut trainer, &mut feed, cx)?;

        let validation = validation.map(|tokens| validation::validate(&trainer, &tokens, &config.eval, cx));
        let validation = validation.transpose()?.flatten();
        trainer.adapter().save(cx.output("adapter")?, &config.base)?;
        chat_defaults::write(cx.output("adapter")?, train.meta().system.as_deref())?;
        if config.output.merged == Merged::Safetensors {
            let (adapter, out) = (cx.output("adapter")?, cx.output("merged")?);
            let fidelity = merge(&opened.checkpoint, adapter, out, config.output.dtype)?;
            let saved = opened.tokenizer.save(out);
            saved.map_err(|error| StageError::resource("cannot write the tokenizer of the merged model").because(&error))?;
            cx.measure("merged_logit_distance", f64::from(fidelity.distance));
        }
        report::measure(cx, &run, &trainer, validation);
        report::build(config, &run, &trainer, validation).write(cx.output("report")?)
    }
}

/// Maps tokens and refuses those that another tokenizer made, ids that the model does not have, and rows that it cannot read.
fn open_tokens(path: &Path, opened: &Opened) -> Result<TokensReader, StageError> {
    let tokens = TokensReader::open(path)?;
    if tokens.meta().tokenizer != opened.tokenizer.digest() {
        let message = "the tokens were made by another tokenizer than that of `base`";
        return Err(StageError::input(message).help("give text/tokenize the same model as train/sft"));
    }
    let ModelConfig { vocab_size: vocabulary, context, .. } = *opened.checkpoint.config();
    for row in tokens.iter() {
        let row = row?;
        if row.input_ids.len() > context {
            let message = format!("row {} has {} tokens, but the model reads {context}", row.row_id, row.input_ids.len());
            return Err(StageError::input(message).help(format!("tokenize with `max_length: {context}` or less")));
        }
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
    /// What packing comes to in an epoch, and the tokens that a bin may hold.
    packed: Option<(Forecast, usize)>,
    schedule: Schedule,
    steps: u64,
    micro: usize,
    seed: u64,
    checkpoint: CheckpointConfig,
}

impl Run {
    fn new(config: &SftConfig, cx: &StageContext<'_>, feed: &Feed<'_>) -> Self {
        let order = feed.order();
        let all = order.steps_per_epoch() * u64::from(config.duration.epochs.get());
        let steps = config.duration.max_steps.map_or(all, |most| all.min(most.get()));
        Self {
            order,
            packed: feed.packed(),
            schedule: Schedule::new(&config.optim.schedule, config.optim.lr.get(), steps),
            steps,
            micro: config.batch.micro.get() as usize,
            seed: cx.seed().0,
            checkpoint: config.checkpoint,
        }
    }

    fn options(&self, config: &SftConfig) -> TrainerOptions {
        TrainerOptions {
            algorithm: config.optim.algorithm(),
            schedule: self.schedule,
            max_grad_norm: config.optim.max_grad_norm.map(Positive::get),
            micro: self.micro,
            recompute: config.memory.recompute,
            seed: self.seed,
        }
    }

    /// Goes on from the farthest checkpoint to the last step.
    fn train(&self, trainer: &mut Trainer<'_>, feed: &mut Feed<'_>, cx: &StageContext<'_>) -> Result<(), StageError> {
        self.resume(trainer, cx)?;
        let mut speed = Speed::new();
        while trainer.steps() < self.steps {
            if let Err(stop) = cx.check_cancelled() {
                self.save(trainer, cx)?;
                return Err(stop);
            }
            let groups = feed.groups(trainer.steps())?;
            let record = trainer.step_groups(&groups)?;
            let note = format!("loss {:.3} · {:.0} tok/s", record.loss, speed.after(&groups));
            cx.progress_note(trainer.steps(), Some(self.steps), "steps", note);
            if self.saves_at(trainer.steps()) {
                self.save(trainer, cx)?;
            }
        }
        if speed.tokens > 0 {
            cx.measure("volatile.tokens_per_second", speed.overall());
        }
        Ok(())
    }

    /// Whether a checkpoint is due: regularly, at the end, and where the learning rate begins to depend on the end.
    fn saves_at(&self, step: u64) -> bool {
        let every = u64::from(self.checkpoint.every_steps.get());
        step.is_multiple_of(every) || step == self.steps || step == self.schedule.shared()
    }

    fn resume(&self, trainer: &mut Trainer<'_>, cx: &StageContext<'_>) -> Result<(), StageError> {
        let Some(keeper) = cx.keeper().filter(|_| self.checkpoint.resume != Resume::Never) else { return Ok(()) };
        let reach = Reach { total: self.steps, shared: self.schedule.shared() };
        let found = keeper.resume(reach, &mut |milestone, folder| {
            let (checkpoint, cursor) = Checkpoint::read(folder).map_err(|error| error.to_string())?;
            if cursor != self.cursor(milestone.step) {
                return Err("its place in the data is another one".to_owned());
            }
            trainer.restore(checkpoint).map_err(|error| error.to_string())
        })?;
        if let Some(Milestone { step, .. }) = found {
            tracing::info!(step, "Resumed from a checkpoint.");
        }
        Ok(())
    }

    fn save(&self, trainer: &Trainer<'_>, cx: &StageContext<'_>) -> Result<(), StageError> {
        let Some(keeper) = cx.keeper() else { return Ok(()) };
        let (step, folder) = (trainer.steps(), cx.scratch().join("checkpoint"));
        trainer.checkpoint().write(&folder, &self.cursor(step))?;
        let epochs = step.div_ceil(self.order.steps_per_epoch().max(1));
        let milestone = Milestone {
            step,
            total: self.steps,
            position: [(horizon::EPOCHS.to_owned(), epochs), (horizon::STEPS.to_owned(), step)].into(),
            shared: step <= self.schedule.shared(),
        };
        keeper.save(&milestone, &folder, self.checkpoint.keep.get() as usize)
    }

    fn cursor(&self, step: u64) -> Cursor {
        let row = self.order.window(step).start as u64;
        Cursor { step, epoch: self.order.epoch(step), row, rows: self.order.rows() as u64, seed: self.seed }
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
    fn after(&mut self, groups: &[Group<'_>]) -> f64 {
        let tokens: u64 = groups.iter().flat_map(|group| &group.rows).map(|row| row.input_ids.len() as u64).sum();
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

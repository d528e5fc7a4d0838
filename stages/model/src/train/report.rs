//! The report of a training run: what was asked for, how the loss fell, and what the gate expressions can read.

use flow_engine::{
    StageContext,
    report::{Plot, Report, Table},
};

use super::{Method, Run, SftConfig, Trainer, validation::Validation};
use crate::{
    Adapter,
    checkpoint::StepRecord,
    schedule::{ScheduleConfig, Shape},
};

/// Steps averaged for the first and the last loss.
const ENDS: usize = 5;

/// Records the numbers that gates read.
pub(super) fn measure(cx: &StageContext<'_>, run: &Run, trainer: &Trainer<'_>, validation: Option<Validation>) {
    let history = trainer.history();
    cx.measure("steps", count(history.len() as u64));
    cx.measure("tokens_supervised", count(supervised(history)));
    if let Some((packed, _)) = run.packed {
        cx.measure("packing_efficiency", packed.efficiency());
    }
    for (name, value) in [("loss_first", mean(first(history))), ("loss_last", mean(last(history)))] {
        if let Some(value) = value {
            cx.measure(name, value);
        }
    }
    if let Some(validation) = validation {
        cx.measure("validation_loss_first", validation.before);
        cx.measure("validation_loss_last", validation.after);
        cx.measure("validation_rows", count(validation.rows as u64));
    }
}

/// Builds the report. It holds no times, so that the same work gives the same bytes.
pub(super) fn build(config: &SftConfig, run: &Run, trainer: &Trainer<'_>, validation: Option<Validation>) -> Report {
    let history = trainer.history();
    let mut report = Report::new("Training", "train/sft");
    report.fact("Steps", history.len());
    report.fact("Tokens learned from", supervised(history));
    report.fact("Trainable parameters", trainer.adapter().parameter_count());
    if let (Some(start), Some(end)) = (mean(first(history)), mean(last(history))) {
        report.fact(format!("Loss, first {ENDS} steps"), rounded(start));
        report.fact(format!("Loss, last {ENDS} steps"), rounded(end));
    }
    if let Some(validation) = validation {
        report.fact("Validation loss of the base", rounded(validation.before));
        report.fact("Validation loss after training", rounded(validation.after));
        report.fact("Validation rows scored", format!("{} of {}", validation.rows, validation.of));
    }
    report.plot(curve("Training loss", "nats per supervised token", points(history, |record| record.loss)));
    let rates = (0..run.steps).map(|step| (count(step + 1), run.schedule.rate(step))).collect();
    report.plot(curve("Learning rate", "rate", rates));
    report.plot(curve("Gradient norm before clipping", "norm", points(history, |record| record.grad_norm)));
    report.table(settings(config, run, trainer.adapter()));
    report.data("history", serde_json::to_value(history).unwrap_or_default());
    report
}

fn settings(config: &SftConfig, run: &Run, adapter: &Adapter) -> Table {
    let (method, optim) = (&config.method, &config.optim);
    let targets: Vec<&str> = adapter.config().targets.iter().map(|target| target.name()).collect();
    let clip = optim.max_grad_norm.map_or("off".to_owned(), |norm| norm.get().to_string());
    let mut table = Table::new("Settings", ["setting", "value"]);
    table.row(["base".to_owned(), config.base.clone()]);
    let kind = match method.r#type {
        Method::Lora => "LoRA",
        Method::Dora => "DoRA",
    };
    let over = if method.rslora { " over the root of the rank" } else { "" };
    let shape = format!("rank {}, alpha {}{over}, dropout {}", method.rank, method.alpha.get(), method.dropout.get());
    table.row([kind.to_owned(), shape]);
    if let Some(pattern) = &adapter.config().only {
        table.row(["adapted paths".to_owned(), pattern.text().to_owned()]);
    }
    for (pattern, rank) in &adapter.config().ranks {
        table.row([format!("rank of {}", pattern.text()), rank.to_string()]);
    }
    for (pattern, alpha) in &adapter.config().alphas {
        table.row([format!("alpha of {}", pattern.text()), alpha.to_string()]);
    }
    table.row(["adapted matrices".to_owned(), targets.join(", ")]);
    table.row(["optimizer".to_owned(), format!("{}: {}", optim.name, optim.constants())]);
    table.row(["learning rate".to_owned(), optim.lr.get().to_string()]);
    table.row(["schedule".to_owned(), schedule(&optim.schedule)]);
    table.row(["longest gradient".to_owned(), clip]);
    let unit = if run.packed.is_some() { "bins per step" } else { "rows per step" };
    table.row([unit.to_owned(), config.batch.global.to_string()]);
    if let Some((packed, capacity)) = run.packed {
        let text = format!("best-fit decreasing into {} bins of {capacity} tokens, {} filled", packed.bins, packed.filled());
        table.row(["packing".to_owned(), text]);
    }
    table.row(["steps per epoch".to_owned(), run.order.steps_per_epoch().to_string()]);
    table.row(["seed".to_owned(), run.seed.to_string()]);
    table
}

fn schedule(schedule: &ScheduleConfig) -> String {
    let decay = if schedule.name == Shape::Wsd { format!(", decay {}", schedule.decay) } else { String::new() };
    let power = if schedule.name == Shape::Polynomial { format!(", power {}", schedule.power.get()) } else { String::new() };
    let least = schedule.min_ratio.get();
    let floor = if least > 0.0 { format!(", down to {least} of the rate") } else { String::new() };
    format!("{}, warm-up {}{decay}{power}{floor}", schedule.name, schedule.warmup)
}

fn curve(title: &str, y: &str, points: Vec<(f64, f64)>) -> Plot {
    Plot::Lines { title: title.to_owned(), x: "step".to_owned(), y: y.to_owned(), series: vec![("train".to_owned(), points)] }
}

fn points(history: &[StepRecord], value: impl Fn(&StepRecord) -> f64) -> Vec<(f64, f64)> {
    (1..).map(count).zip(history.iter().map(value)).collect()
}

fn supervised(history: &[StepRecord]) -> u64 {
    history.iter().map(|record| record.supervised).sum()
}

fn first(history: &[StepRecord]) -> &[StepRecord] {
    history.get(..ENDS).unwrap_or(history)
}

fn last(history: &[StepRecord]) -> &[StepRecord] {
    history.get(history.len().saturating_sub(ENDS)..).unwrap_or(history)
}

/// The mean over all supervised tokens of these steps.
fn mean(history: &[StepRecord]) -> Option<f64> {
    let tokens = supervised(history);
    let sum: f64 = history.iter().map(|record| record.loss * count(record.supervised)).sum();
    (tokens > 0).then(|| sum / count(tokens))
}

/// Four digits are what a person compares.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn count(number: u64) -> f64 {
    number as f64
}

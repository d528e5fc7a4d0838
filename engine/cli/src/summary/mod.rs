//! How a run ended: a text a person enjoys reading, and a page with the whole story.

mod next;
mod page;
mod told;

use std::io;

use flow_engine::{
    project::Project,
    report::number::number,
    run::{Clause, Hit, Outcome, RunSummary, StageState, StageStatus, StageSummary},
};

use crate::{
    dag::Mark,
    progress::{cached, skipped, tainted},
    text::{Cell, Grid, bytes, duration, metrics, near_here, push},
    ui::{Tone, Ui},
};

pub(crate) use next::{advice, published};
pub(crate) use told::mentioned;

/// Numbers shown behind a stage.
const METRICS: usize = 4;
/// Stages that are told one by one; of more, those that were not cached.
const ALL: usize = 100;

/// Writes `index.html` and `summary.json` into the run's folder.
pub(crate) fn write(summary: &RunSummary) -> io::Result<()> {
    let mut json = io::BufWriter::new(std::fs::File::create(summary.directory.join("summary.json"))?);
    if summary.stages.len() <= ALL {
        serde_json::to_writer_pretty(&mut json, summary)?;
    } else {
        serde_json::to_writer(&mut json, summary)?;
    }
    io::Write::flush(&mut json)?;
    std::fs::write(summary.directory.join("index.html"), page::render(summary))
}

/// The text below a finished run.
pub(crate) fn text(summary: &RunSummary, project: &Project, ui: Ui) -> String {
    let mut out = format!("\n  {}\n\n", headline(summary, ui));
    out.push_str(&stages(summary, project).render(ui.out, ui.width));
    let gates = gates(summary);
    if let Some(gates) = gates {
        out.push('\n');
        out.push_str(&gates.render(ui.out, ui.width));
    }
    if let Some(comparison) = comparison(summary) {
        out.push('\n');
        out.push_str(&comparison.render(ui.out, ui.width));
    }
    out.push_str(&remarks(summary));
    let mut after = Grid::new();
    let page = near_here(&summary.directory.join("index.html")).display().to_string();
    after.row([Cell::toned(Tone::Quiet, "report"), Cell::plain(page)]);
    for (index, command) in advice(summary, project).into_iter().enumerate() {
        after.row([Cell::toned(Tone::Quiet, if index == 0 { "next" } else { "" }), Cell::toned(Tone::Strong, command)]);
    }
    out.push('\n');
    out.push_str(&after.render(ui.out, usize::MAX));
    out
}

fn headline(summary: &RunSummary, ui: Ui) -> String {
    let (tone, word) = outcome(summary.outcome);
    let count = |wanted: Mark| summary.stages.iter().filter(|stage| Mark::from(&stage.state.status) == wanted).count();
    let mut parts = Vec::new();
    for (mark, word) in [(Mark::Ran, "ran"), (Mark::Cached, "cached"), (Mark::Failed, "failed"), (Mark::Skipped, "not run")] {
        if count(mark) > 0 {
            parts.push(format!("{} {word}", count(mark)));
        }
    }
    let saved = saved(summary);
    if saved >= 1.0 {
        parts.push(format!("{} saved by the cache", duration(saved)));
    }
    let name = ui.out.strong(&summary.workflow);
    let line =
        format!("{name} {} in {}  {}", ui.out.tone(tone, word), duration(summary.seconds), ui.out.quiet(&parts.join(" · ")));
    line.trim_end().to_owned()
}

/// What an outcome is called.
pub(crate) fn outcome(outcome: Outcome) -> (Tone, &'static str) {
    match outcome {
        Outcome::Succeeded => (Tone::Good, "succeeded"),
        Outcome::Parked => (Tone::Watch, "waits for approval"),
        Outcome::GateFailed => (Tone::Bad, "did not meet its gate"),
        Outcome::Failed => (Tone::Bad, "failed"),
        Outcome::Interrupted => (Tone::Watch, "was interrupted"),
    }
}

/// Seconds of work that recorded results replaced.
fn saved(summary: &RunSummary) -> f64 {
    let cached = summary.stages.iter().filter(|stage| matches!(stage.state.status, StageStatus::Cached { .. }));
    cached.filter_map(|stage| stage.state.seconds).sum()
}

fn stages(summary: &RunSummary, project: &Project) -> Grid {
    let models = published(summary, project);
    let mut grid = Grid::new();
    for stage in worth_telling(&summary.stages) {
        let state = &stage.state;
        let mark = Mark::from(&state.status);
        let time = match mark {
            Mark::Ran | Mark::Failed => state.seconds.map(duration).unwrap_or_default(),
            Mark::Plain | Mark::Cached | Mark::Running | Mark::Parked | Mark::Skipped => String::new(),
        };
        let model = models.iter().find(|model| model.stage == state.name).map(|model| model.reference.clone());
        grid.row([
            Cell::toned(tone(mark), mark.sign()),
            Cell::toned(Tone::Strong, state.name.clone()),
            Cell::toned(tone(mark), status(&state.status)),
            Cell::plain(time),
            Cell::plain(model.unwrap_or_else(|| result(stage))),
        ]);
    }
    grid
}

/// The stages of a run that a person wants to see: all of a few, of many those that did something.
pub(crate) fn worth_telling(stages: &[StageSummary]) -> impl Iterator<Item = &StageSummary> {
    let few = stages.len() <= ALL;
    stages.iter().filter(move |stage| few || Mark::from(&stage.state.status) != Mark::Cached)
}

/// The colour of a mark.
pub(crate) fn tone(mark: Mark) -> Tone {
    match mark {
        Mark::Ran => Tone::Good,
        Mark::Cached => Tone::Calm,
        Mark::Running | Mark::Parked => Tone::Watch,
        Mark::Failed => Tone::Bad,
        Mark::Plain | Mark::Skipped => Tone::Quiet,
    }
}

/// A status in a word or two.
pub(crate) fn status(status: &StageStatus) -> &'static str {
    match status {
        StageStatus::Pending => "pending",
        StageStatus::Waiting { .. } => "waiting",
        StageStatus::Running => "running",
        StageStatus::Retrying => "retrying",
        StageStatus::Parked => "needs approval",
        StageStatus::Succeeded => "ran",
        StageStatus::Cached { .. } => "cached",
        StageStatus::GateFailed => "gate not met",
        StageStatus::Failed => "failed",
        StageStatus::Skipped { .. } => "skipped",
        StageStatus::Interrupted => "interrupted",
    }
}

/// What came out of a stage, or why nothing did.
pub(crate) fn result(told: &StageSummary) -> String {
    let StageSummary { state, .. } = told;
    match &state.status {
        StageStatus::Failed => state.error.as_ref().map(ToString::to_string).unwrap_or_default(),
        StageStatus::Skipped { reason } => skipped(reason),
        StageStatus::Cached { hit: hit @ (Hit::CutOff { .. } | Hit::Recovered | Hit::Shared) } => cached(hit),
        StageStatus::Cached { hit: Hit::Cached } | StageStatus::Succeeded | StageStatus::GateFailed => outputs(state),
        StageStatus::Pending
        | StageStatus::Waiting { .. }
        | StageStatus::Running
        | StageStatus::Retrying
        | StageStatus::Interrupted => String::new(),
        StageStatus::Parked => {
            let reviewed: Vec<&str> = state.reviewed.iter().map(|artifact| artifact.from.as_str()).collect();
            format!("review {}", reviewed.join(", "))
        }
    }
}

/// What was measured, gated numbers first; sizes where nothing was.
fn outputs(state: &StageState) -> String {
    let names = mentioned(&state.verdicts);
    let first: Vec<&str> = names.iter().map(String::as_str).collect();
    let read = metrics(&state.metrics, &first, METRICS);
    if !read.is_empty() {
        return read;
    }
    let sizes = state.outputs.iter().map(|(port, artifact)| format!("{port} {}", bytes(artifact.bytes)));
    sizes.collect::<Vec<_>>().join(" · ")
}

/// What somebody should know about results: made again because the store lost them, or not kept in it.
fn remarks(summary: &RunSummary) -> String {
    let mut out = String::new();
    for StageSummary { state, .. } in &summary.stages {
        if let Some(first) = state.lost.first() {
            let more = if state.lost.len() > 1 { format!(" and {} more", state.lost.len() - 1) } else { String::new() };
            let (name, object) = (&state.name, first.digest.short());
            push(
                &mut out,
                format_args!("\n  {name} ran again: object {object}{more} of the store could not be used, {}\n", first.reason),
            );
        }
        if !state.tainted.is_empty() {
            push(&mut out, format_args!("\n  {} was {}\n", state.name, tainted(&state.tainted)));
        }
    }
    out
}

/// Base beside tuned, a line for each metric.
fn comparison(summary: &RunSummary) -> Option<Grid> {
    let compared: Vec<_> = summary.stages.iter().flat_map(|stage| told::comparisons(&stage.state.metrics)).collect();
    if compared.is_empty() {
        return None;
    }
    let arms = told::arms(&compared);
    let titles: Vec<String> = arms.iter().map(|arm| told::arm_title(arm)).collect();
    let columns: Vec<&str> = std::iter::once("metric").chain(titles.iter().map(String::as_str)).chain(["tuned"]).collect();
    let mut grid = Grid::headed(&columns);
    for one in &compared {
        let bases = arms.iter().map(|arm| Cell::plain(one.bases.get(*arm).copied().map(number).unwrap_or_default()));
        let tuned = Cell::toned(Tone::Strong, number(one.tuned));
        grid.row(std::iter::once(Cell::toned(Tone::Strong, one.metric.clone())).chain(bases).chain([tuned]));
    }
    Some(grid)
}

fn gates(summary: &RunSummary) -> Option<Grid> {
    let mut grid = Grid::new();
    let mut any = false;
    for stage in &summary.stages {
        for verdict in &stage.state.verdicts {
            any = true;
            let (tone, sign) = if verdict.passed { (Tone::Good, "✓") } else { (Tone::Bad, "✗") };
            let clause = match verdict.clause {
                Clause::Gate => "gate",
                Clause::Expect => "expect",
            };
            grid.row([
                Cell::toned(tone, sign),
                Cell::toned(Tone::Strong, stage.state.name.clone()),
                Cell::plain(clause),
                Cell::plain(verdict.expression.clone()),
                Cell::toned(Tone::Quiet, verdict.detail.clone()),
            ]);
        }
    }
    any.then_some(grid)
}

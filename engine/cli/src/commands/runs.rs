//! `flow runs`.

use std::collections::BTreeSet;

use clap::{Args, Subcommand};
use flow_engine::{
    govern::{AuditLog, Durability, Happening},
    history::{RunFilter, RunRow, remove_runs, run_rows},
    report::number::number,
    run::{History, RunId},
};
use serde_json::json;

use super::{drive::person, find};
use crate::{
    CliError, ExitStatus, Shell,
    summary::outcome,
    text::{Cell, Grid, duration},
    ui::{Tone, Ui},
};

/// Numbers shown when none is asked for: those that gates judged in the newest run.
const JUDGED: usize = 3;

/// List the runs of the project: when, how they ended, what was reused, and the numbers that matter
///
/// A run is named by the beginning or end of its identifier, by `latest`, or by `latest~2` for the second before it.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  flow runs
  flow runs --metric eval.f1 --metric train.loss_last
  flow runs --workflow triage --limit 5 --json
  flow runs rm 01JDF3 latest~4
  flow runs rm --keep 20"
)]
pub(crate) struct RunsArgs {
    #[command(subcommand)]
    command: Option<RunsCommand>,
    /// Only runs of this workflow
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// At most this many, newest first
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Show this number, `STAGE.METRIC` or `METRIC`; may be repeated
    #[arg(long, value_name = "METRIC")]
    metric: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum RunsCommand {
    /// Forget runs: their journals, logs, and laid-out reports; results stay in the store
    #[command(after_help = "\
Examples:
  flow runs rm 01JDF3
  flow runs rm --keep 20         all but the newest twenty")]
    Rm(RemoveArgs),
}

#[derive(Debug, Args)]
struct RemoveArgs {
    /// The runs
    #[arg(required_unless_present = "keep", value_name = "RUN")]
    runs: Vec<String>,
    /// Forget all but this many of the newest runs
    #[arg(long, value_name = "N", conflicts_with = "runs")]
    keep: Option<usize>,
}

pub(super) fn execute(args: &RunsArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    match &args.command {
        Some(RunsCommand::Rm(args)) => remove(args, shell),
        None => list(args, shell),
    }
}

fn list(args: &RunsArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let history = History::of(&shell.project()?);
    let filter = RunFilter { workflow: args.workflow.clone(), limit: Some(args.limit), metrics: args.metric.clone() };
    let rows = run_rows(&history, &filter);
    let unknown = |name: &&String| !rows.is_empty() && rows.iter().all(|row| !row.chosen.contains_key(*name));
    if let Some(name) = args.metric.iter().find(unknown) {
        let known: BTreeSet<&str> = rows.iter().flat_map(|row| row.metrics.keys()).map(String::as_str).collect();
        return Err(find::unknown_metric(name, &known));
    }
    if shell.ui.json() {
        crate::ui::document(&rows);
    } else if rows.is_empty() {
        crate::ui::note("there is no run yet; start one with `flow run`");
    } else {
        crate::ui::print(&table(&rows, &columns(args, &rows), shell.ui));
    }
    Ok(ExitStatus::Ok)
}

fn value(row: &RunRow, name: &str) -> Option<f64> {
    row.chosen.get(name).or_else(|| row.metrics.get(name)).copied()
}

fn columns(args: &RunsArgs, rows: &[RunRow]) -> Vec<String> {
    if !args.metric.is_empty() {
        return args.metric.clone();
    }
    let judged = rows.iter().map(|row| &row.judged).find(|judged| !judged.is_empty());
    judged.into_iter().flatten().take(JUDGED).cloned().collect()
}

fn table(rows: &[RunRow], metrics: &[String], ui: Ui) -> String {
    let fixed = ["run", "workflow", "outcome", "started", "ran", "cached", "failed", "time"];
    let names: Vec<&str> = fixed.into_iter().chain(metrics.iter().map(String::as_str)).collect();
    let mut grid = Grid::headed(&names);
    for row in rows {
        let (tone, word) = standing(row);
        let numbers = metrics.iter().map(|name| Cell::plain(value(row, name).map(number).unwrap_or_default()));
        let fixed = [
            Cell::plain(row.run.to_string()),
            Cell::toned(Tone::Strong, row.workflow.clone()),
            Cell::toned(tone, word),
            Cell::plain(row.started_at.strftime("%Y-%m-%d %H:%M UTC").to_string()),
            Cell::plain(row.stages.ran.to_string()),
            Cell::plain(row.stages.cached.to_string()),
            Cell::plain(row.stages.failed.to_string()),
            Cell::plain(duration(row.seconds)),
        ];
        grid.row(fixed.into_iter().chain(numbers));
    }
    grid.render(ui.out, ui.width)
}

/// How a run stands in words. Without an end and without an engine it was killed.
fn standing(row: &RunRow) -> (Tone, &'static str) {
    match (row.outcome, row.live) {
        (_, true) => (Tone::Calm, "is running"),
        (Some(ended), false) => outcome(ended),
        (None, false) => (Tone::Bad, "was killed"),
    }
}

fn remove(args: &RemoveArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let project = shell.project()?;
    let history = History::of(&project);
    let runs: BTreeSet<RunId> = match args.keep {
        // Whatever an engine works on stays, however old it is.
        Some(keep) => history.runs().into_iter().rev().skip(keep).filter(|run| !history.is_live(*run)).collect(),
        None => args.runs.iter().map(|name| history.find(name)).collect::<Result<_, _>>()?,
    };
    // One that is going on is refused below.
    if !runs.is_empty() && !runs.iter().any(|run| history.is_live(*run)) {
        let removed = Happening::RunsRemoved { runs: runs.iter().map(ToString::to_string).collect() };
        AuditLog::of(&project).append(&person(), removed, Durability::Now)?;
    }
    remove_runs(&project, &runs)?;
    if shell.ui.json() {
        crate::ui::document(&json!({ "removed": runs }));
    } else {
        let plural = if runs.len() == 1 { "" } else { "s" };
        crate::ui::print(&format!("forgot {} run{plural}; their results stay until `flow gc` removes them\n", runs.len()));
    }
    Ok(ExitStatus::Ok)
}

//! `flow status`.

use clap::Args;
use flow_engine::run::{self, History, Question, RunState, Segment, SegmentReader, StageState, StageStatus};
use serde_json::{Value, json};

use super::{find::Found, follow::follow, standing};
use crate::{
    CliError, ExitStatus, Shell,
    dag::Mark,
    progress::{progress_words, skipped, waiting},
    summary::{outcome, status, tone},
    text::{Cell, Grid, duration, metrics, push},
    ui::{Tone, Ui},
};

/// Show where a run stands: finished and working stages, and approvals that wait
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow status
  flow status --follow         watch a run that goes on in the background
  flow status 01JDF3 --json
  flow status --all            every run of the project")]
pub(crate) struct StatusArgs {
    /// The run
    #[arg(default_value = "latest")]
    run: String,
    /// List every run of the project
    #[arg(long, conflicts_with = "run")]
    all: bool,
    /// Show what happens until the run ends
    #[arg(long, short, conflicts_with = "all")]
    follow: bool,
}

pub(super) fn execute(args: &StatusArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    if args.all {
        return all(shell);
    }
    let mut found = Found::run(shell, &args.run)?;
    let ended = if args.follow { follow(&mut found, shell)? } else { ExitStatus::Ok };
    let live = found.history.is_live(found.run);
    if shell.ui.json() {
        crate::ui::document(&json!({ "live": live, "state": found.state, "questions": questions(&found) }));
    } else {
        crate::ui::print(&text(&found, live, shell.ui));
    }
    Ok(ended)
}

fn text(found: &Found, live: bool, ui: Ui) -> String {
    let state = &found.state;
    let (tone, word) = standing(state, live);
    let (name, word) = (ui.out.strong(&state.workflow), ui.out.tone(tone, word));
    let mut out = format!("\n  {name} {word}  {}\n\n", ui.out.quiet(&format!("run {}", found.run)));
    let mut grid = Grid::new();
    for stage in &state.stages {
        grid.row(row(stage, found));
    }
    out.push_str(&grid.render(ui.out, ui.width));
    for question in questions(found) {
        push(&mut out, format_args!("\n  {} waits\n{}", ui.out.strong(&question.stage), standing::text(&question, 4, ui.out)));
    }
    let parked = state.stages.iter().filter(|stage| stage.status == StageStatus::Parked);
    let mut next: Vec<String> = parked.map(|stage| format!("flow approve {}", stage.name)).collect();
    if !live && state.outcome != Some(flow_engine::run::Outcome::Succeeded) {
        next.push("flow resume".to_owned());
    }
    for (index, command) in next.iter().enumerate() {
        let label = if index == 0 { "\n  next  " } else { "        " };
        push(&mut out, format_args!("{}{}\n", ui.out.quiet(label), ui.out.strong(command)));
    }
    out
}

/// What parked stages ask. A decision that cannot be read must not keep the rest from being shown.
fn questions(found: &Found) -> Vec<Question> {
    let parked = found.state.stages.iter().filter(|stage| stage.status == StageStatus::Parked);
    parked.filter_map(|stage| run::question(&found.project, &found.state, &stage.name).ok()).collect()
}

/// How a run stands in words. Without an end and without an engine it was killed.
fn standing(state: &RunState, live: bool) -> (Tone, &'static str) {
    match (state.outcome, live) {
        (_, true) => (Tone::Calm, "is running"),
        (Some(ended), false) => outcome(ended),
        (None, false) => (Tone::Bad, "was killed"),
    }
}

fn row(stage: &StageState, found: &Found) -> [Cell; 5] {
    let mark = Mark::from(&stage.status);
    let time = match mark {
        Mark::Ran | Mark::Failed => stage.seconds.map(duration).unwrap_or_default(),
        Mark::Running => stage.started_at.map(elapsed).unwrap_or_default(),
        Mark::Plain | Mark::Cached | Mark::Parked | Mark::Skipped => String::new(),
    };
    [
        Cell::toned(tone(mark), mark.sign()),
        Cell::toned(Tone::Strong, stage.name.clone()),
        Cell::toned(tone(mark), status(&stage.status)),
        Cell::plain(time),
        Cell::plain(detail(stage, found)),
    ]
}

fn elapsed(since: jiff::Timestamp) -> String {
    duration(jiff::Timestamp::now().duration_since(since).as_secs_f64().max(0.0))
}

fn detail(stage: &StageState, found: &Found) -> String {
    match &stage.status {
        StageStatus::Waiting { owner } => waiting(owner, &found.state),
        StageStatus::Running | StageStatus::Retrying => progress(stage, found).unwrap_or_default(),
        StageStatus::Parked => {
            let reviewed: Vec<&str> = stage.reviewed.iter().map(|artifact| artifact.from.as_str()).collect();
            format!("review {}", reviewed.join(", "))
        }
        StageStatus::Failed => stage.error.as_ref().map(ToString::to_string).unwrap_or_default(),
        StageStatus::Skipped { reason } => skipped(reason),
        StageStatus::Pending | StageStatus::Interrupted => String::new(),
        StageStatus::Succeeded | StageStatus::Cached { .. } | StageStatus::GateFailed => metrics(&stage.metrics, &[], 4),
    }
}

/// The last reading of the attempt that works now.
fn progress(stage: &StageState, found: &Found) -> Option<String> {
    let folder = found.paths().attempt(&stage.name, stage.attempts);
    let read = SegmentReader::new(&folder).poll();
    read.into_iter().rev().find_map(|segment| match segment {
        Segment::Progress(progress) => Some(progress_words(&progress)),
        Segment::Metric { .. } | Segment::Failed { .. } | Segment::Lost { .. } | Segment::Committed | Segment::Unknown => None,
    })
}

fn all(shell: &Shell) -> Result<ExitStatus, CliError> {
    let history = History::of(&shell.project()?);
    let mut grid = Grid::headed(&["run", "workflow", "started", "state"]);
    let mut rows: Vec<Value> = Vec::new();
    for run in history.runs().into_iter().rev() {
        let Ok(state) = history.load(run) else {
            continue;
        };
        let live = history.is_live(run);
        let (tone, word) = standing(&state, live);
        grid.row([
            Cell::plain(run.to_string()),
            Cell::toned(Tone::Strong, state.workflow.clone()),
            Cell::plain(state.started_at.strftime("%Y-%m-%d %H:%M UTC").to_string()),
            Cell::toned(tone, word),
        ]);
        rows.push(json!({ "run": run, "workflow": state.workflow, "started_at": state.started_at, "outcome": state.outcome, "live": live }));
    }
    if shell.ui.json() {
        crate::ui::document(&rows);
    } else {
        crate::ui::print(&grid.render(shell.ui.out, shell.ui.width));
    }
    Ok(ExitStatus::Ok)
}

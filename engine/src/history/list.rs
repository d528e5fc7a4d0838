//! The runs of a project as rows of a list, and their removal.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{RunRecord, Texts, metric, metrics};
use crate::{
    Digest,
    project::Project,
    run::{Entry, Event, History, Outcome, RunError, RunId, RunState, StageStatus},
    store::Store,
};

/// Which runs are listed.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Only runs of this workflow.
    pub workflow: Option<String>,
    /// At most this many, newest first.
    pub limit: Option<usize>,
    /// Numbers to look up, `stage.metric` or `metric`.
    pub metrics: Vec<String>,
}

/// One run in a line.
#[derive(Clone, Debug, Serialize)]
pub struct RunRow {
    /// The run.
    pub run: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// When it was started.
    pub started_at: Timestamp,
    /// How it ended; none while it runs or after its engine was killed.
    pub outcome: Option<Outcome>,
    /// Whether an engine works on it now.
    pub live: bool,
    /// Time that engines worked on it, pauses before a resume left out.
    pub seconds: f64,
    /// What became of its stages.
    pub stages: StageCounts,
    /// Every number as `stage.metric`.
    pub metrics: BTreeMap<String, f64>,
    /// The numbers that were asked for, by the names they were asked for.
    pub chosen: BTreeMap<String, f64>,
    /// Resolved parameters; empty when the run was not recorded in full.
    pub params: BTreeMap<String, Value>,
    /// Numbers that gates judged, as `stage.metric`.
    pub judged: Vec<String>,
}

/// What became of the stages of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StageCounts {
    /// They were worked on to their end.
    pub ran: usize,
    /// A recorded result was used.
    pub cached: usize,
    /// They failed or did not meet a gate.
    pub failed: usize,
    /// They were left out.
    pub skipped: usize,
    /// Nothing was decided about them.
    pub open: usize,
}

impl StageCounts {
    /// Counts the stages of a run.
    pub fn of(state: &RunState) -> Self {
        let mut counts = Self::default();
        for stage in &state.stages {
            let slot = match stage.status {
                StageStatus::Succeeded => &mut counts.ran,
                StageStatus::Cached { .. } => &mut counts.cached,
                StageStatus::GateFailed | StageStatus::Failed => &mut counts.failed,
                StageStatus::Skipped { .. } => &mut counts.skipped,
                StageStatus::Pending
                | StageStatus::Waiting { .. }
                | StageStatus::Running
                | StageStatus::Retrying
                | StageStatus::Parked
                | StageStatus::Interrupted => &mut counts.open,
            };
            *slot += 1;
        }
        counts
    }
}

/// The runs of a project, newest first. A run whose journal cannot be read is left out.
pub fn run_rows(history: &History, filter: &RunFilter) -> Vec<RunRow> {
    let runs = history.runs().into_iter().rev();
    let rows = runs.filter_map(|run| row(history, run, &filter.metrics));
    let rows = rows.filter(|row| filter.workflow.as_ref().is_none_or(|workflow| *workflow == row.workflow));
    rows.take(filter.limit.unwrap_or(usize::MAX)).collect()
}

fn row(history: &History, run: RunId, asked: &[String]) -> Option<RunRow> {
    let entries = history.entries(run).ok()?;
    let state = RunState::replay(&entries).ok()?;
    Some(RunRow {
        run,
        workflow: state.workflow.clone(),
        started_at: state.started_at,
        outcome: state.outcome,
        live: history.is_live(run),
        seconds: worked(&entries),
        stages: StageCounts::of(&state),
        metrics: metrics(&state),
        chosen: asked.iter().filter_map(|name| Some((name.clone(), metric(&state, name)?))).collect(),
        params: RunRecord::read(&history.paths(run)).map(|record| record.params).unwrap_or_default(),
        judged: judged(&state),
    })
}

/// Seconds between every start or resume and the last entry before the next one.
fn worked(entries: &[Entry]) -> f64 {
    let mut total = 0.0;
    let mut begun: Option<Timestamp> = None;
    let mut last: Option<Timestamp> = None;
    for entry in entries {
        if matches!(entry.event, Event::RunStarted { .. } | Event::RunResumed { .. }) {
            total += span(begun, last);
            begun = Some(entry.at);
        }
        last = Some(entry.at);
    }
    total + span(begun, last)
}

fn span(begun: Option<Timestamp>, last: Option<Timestamp>) -> f64 {
    // A clock that was set back gives no time at all.
    begun.zip(last).map_or(0.0, |(begun, last)| last.duration_since(begun).as_secs_f64().max(0.0))
}

fn judged(state: &RunState) -> Vec<String> {
    let mut names = Vec::new();
    for stage in state.stages.iter().filter(|stage| !stage.verdicts.is_empty()) {
        for name in stage.metrics.keys() {
            let asked = |expression: &str| expression.contains(&format!("metrics.{name}"));
            if stage.verdicts.iter().any(|verdict| asked(&verdict.expression)) {
                names.push(format!("{}.{name}", stage.name));
            }
        }
    }
    names
}

/// Removes runs: journals, logs, and laid-out reports. Results stay in the store until it is collected.
pub fn remove_runs(project: &Project, runs: &BTreeSet<RunId>) -> Result<(), RunError> {
    let history = History::of(project);
    for run in runs {
        history.remove(*run)?;
    }
    let used = used_texts(&history, &Store::open(&project.site.store)?);
    if let Err(error) = Texts::of(&project.state).prune(&used) {
        tracing::warn!(%error, "Could not remove texts that no run refers to.");
    }
    Ok(())
}

/// Texts that the remaining runs refer to: their workflow files, and code by the pre-images of their keys.
fn used_texts(history: &History, store: &Store) -> BTreeSet<Digest> {
    let mut used = BTreeSet::new();
    for run in history.runs() {
        let files = RunRecord::read(&history.paths(run)).map(|record| record.files).unwrap_or_default();
        used.extend(files.into_iter().map(|file| file.digest));
        let Ok(state) = history.load(run) else { continue };
        for key in state.stages.iter().filter_map(|stage| stage.key) {
            let preimage = store.actions().preimage(&key).ok().flatten().unwrap_or_default();
            let lists = preimage["sources"].as_object().into_iter().flat_map(serde_json::Map::values);
            let digests = lists.filter_map(Value::as_array).flatten().filter_map(|file| file["digest"].as_str());
            used.extend(digests.filter_map(|digest| digest.parse::<Digest>().ok()));
        }
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::RunRequest;

    fn entry(seq: u64, second: i64, event: Event) -> Entry {
        Entry { seq, at: Timestamp::from_second(second).unwrap(), event }
    }

    #[test]
    fn a_pause_before_a_resume_is_no_work() {
        let started = Event::RunStarted {
            run: RunId::generate(),
            workflow: "w".to_owned(),
            request: RunRequest::default(),
            stages: Vec::new(),
        };
        let finished = || Event::RunFinished { outcome: Outcome::Interrupted, seconds: 10.0 };
        let entries = [
            entry(0, 100, started),
            entry(1, 110, finished()),
            entry(2, 90_000, Event::RunResumed { edited: Vec::new() }),
            entry(3, 90_005, finished()),
        ];
        assert!((worked(&entries) - 15.0).abs() < 1e-9);
        assert!(worked(&[]).abs() < 1e-9);
    }
}

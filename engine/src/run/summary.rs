//! What a finished run tells its caller.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Serialize;

use super::{
    event::{Outcome, RunId},
    state::{RunState, StageState},
};

/// One run, told in full.
#[derive(Clone, Debug, Serialize)]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Wall time since it was started or resumed.
    pub seconds: f64,
    /// The run's folder.
    pub directory: PathBuf,
    /// Stages in topological order.
    pub stages: Vec<StageSummary>,
}

/// One stage of a run.
#[derive(Clone, Debug, Serialize)]
pub struct StageSummary {
    /// Where it stands: status, key, attempts, seconds, outputs, metrics, verdicts, error.
    pub state: StageState,
    /// Folders with `report.json` and `report.html`, by output port.
    pub reports: BTreeMap<String, PathBuf>,
}

impl RunSummary {
    pub(crate) fn of(state: RunState, directory: PathBuf, mut reports: BTreeMap<String, BTreeMap<String, PathBuf>>) -> Self {
        let (run, workflow) = (state.run, state.workflow);
        let stages = state.stages.into_iter().map(|stage| {
            let reports = reports.remove(&stage.name).unwrap_or_default();
            StageSummary { state: stage, reports }
        });
        Self {
            run,
            workflow,
            outcome: state.outcome.unwrap_or(Outcome::Interrupted),
            seconds: 0.0,
            directory,
            stages: stages.collect(),
        }
    }

    /// How many stages used a recorded result.
    pub fn cached(&self) -> usize {
        self.stages.iter().filter(|stage| matches!(stage.state.status, super::StageStatus::Cached { .. })).count()
    }
}

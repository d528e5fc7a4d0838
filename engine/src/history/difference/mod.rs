//! How two runs differ: what was asked for, what it was made of, and what came out.

mod artifact;
mod asked;
mod made;
mod numbers;
mod rows;
mod unified;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

pub(crate) use self::artifact::flat;
pub(super) use self::asked::sources;
pub use self::{
    artifact::{ArtifactDifference, ArtifactFile, FileState, artifact_difference, find_output},
    asked::{FileDifference, SourceDifference, SourceRole},
    made::{KeyDifference, OutputDifference, ReportDifference},
    numbers::MetricDifference,
    rows::{RowChange, RowSample, RowsDifference},
};
use super::{RunRecord, Texts};
use crate::{
    plan::Change,
    project::Project,
    run::{History, Outcome, RunError, RunId, RunState},
    store::Store,
};

/// Everything in which two runs differ.
#[derive(Clone, Debug, Serialize)]
pub struct RunDifference {
    /// The first run.
    pub from: RunHead,
    /// The second run.
    pub to: RunHead,
    /// Parameters of the workflow; `--limit` and the workflow's seed among them.
    pub params: Vec<Change>,
    /// Workflow files, the main one and its components.
    pub workflow: Vec<FileDifference>,
    /// Files of sources and of commands' code.
    pub sources: Vec<SourceDifference>,
    /// Stages that only the first run has.
    pub stages_removed: Vec<String>,
    /// Stages that only the second run has.
    pub stages_added: Vec<String>,
    /// Stages that were not the same work.
    pub keys: Vec<KeyDifference>,
    /// Numbers that are not the same.
    pub metrics: Vec<MetricDifference>,
    /// Outputs of other content.
    pub outputs: Vec<OutputDifference>,
    /// Reports that say something else.
    pub reports: Vec<ReportDifference>,
}

/// One of the two runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunHead {
    /// The run.
    pub run: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// When it was started.
    pub started_at: Timestamp,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The version of `flow` that started it; none when it was not recorded in full.
    pub flow: Option<String>,
}

/// Everything known of one of the two runs.
pub(super) struct Side {
    pub(super) state: RunState,
    pub(super) record: Option<RunRecord>,
    /// Pre-images of keys by stage, as far as they are kept.
    pub(super) preimages: BTreeMap<String, Value>,
}

impl Side {
    pub(super) fn load(history: &History, store: &Store, run: RunId) -> Result<Self, RunError> {
        let state = history.load(run)?;
        let mut preimages = BTreeMap::new();
        for stage in &state.stages {
            let Some(key) = stage.key else { continue };
            if let Some(preimage) = store.actions().preimage(&key)? {
                preimages.insert(stage.name.clone(), preimage);
            }
        }
        Ok(Self { record: RunRecord::read(&history.paths(run)), state, preimages })
    }

    fn head(&self) -> RunHead {
        RunHead {
            run: self.state.run,
            workflow: self.state.workflow.clone(),
            started_at: self.state.started_at,
            outcome: self.state.outcome,
            flow: self.record.as_ref().map(|record| record.flow.clone()),
        }
    }

    fn reach(&self) -> Value {
        let seed = self.record.as_ref().map(|record| record.seed);
        serde_json::json!({ "--limit": self.state.request.limit, "--profile": self.state.request.profile, "seed": seed })
    }
}

/// Compares two runs of a project.
pub fn run_difference(project: &Project, (from, to): (RunId, RunId)) -> Result<RunDifference, RunError> {
    let (history, texts) = (History::of(project), Texts::of(&project.state));
    let store = Store::open(&project.site.store)?;
    let (from, to) = (Side::load(&history, &store, from)?, Side::load(&history, &store, to)?);
    let outputs = made::outputs(&from, &to);
    let (stages_removed, stages_added) = made::stages(&from, &to);
    let mut params = asked::params(&from, &to);
    params.extend(
        crate::plan::difference(&from.reach(), &to.reach())
            .into_iter()
            .filter(|change| change.path != "seed" || recorded(&from, &to)),
    );
    Ok(RunDifference {
        params,
        workflow: asked::files(&texts, &from, &to),
        sources: asked::sources(&texts, &from, &to),
        stages_removed,
        stages_added,
        keys: made::keys(&store, &from, &to),
        metrics: numbers::metric_differences(&from.state, &to.state),
        reports: made::reports(&history, &outputs, (&from, &to)),
        outputs,
        from: from.head(),
        to: to.head(),
    })
}

fn recorded(from: &Side, to: &Side) -> bool {
    from.record.is_some() && to.record.is_some()
}

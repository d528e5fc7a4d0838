//! Decisions of people: one file for each action key, so a decision is bound to the digests that were reviewed.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{History, RunError, RunId, event::Reviewed};
use crate::{
    Digest,
    context::Decision,
    project::Project,
    store::{Store, StoreError, write_atomic},
};

const FORMAT: u32 = 1;

/// What was decided about what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRecord {
    /// Version of this record.
    pub format: u32,
    /// The action key of the deciding stage. Any changed byte of what was reviewed changes it.
    pub key: Digest,
    /// The stage.
    pub stage: String,
    /// The workflow.
    pub workflow: String,
    /// The run that asked.
    pub run: RunId,
    /// What was reviewed.
    pub reviewed: Vec<Reviewed>,
    /// What was decided.
    pub decision: Decision,
}

fn folder(state: &Path) -> PathBuf {
    state.join("approvals")
}

fn place(state: &Path, key: &Digest) -> PathBuf {
    folder(state).join(format!("{key}.json"))
}

/// The decision filed under a key.
pub(crate) fn find(state: &Path, key: &Digest) -> Result<Option<ApprovalRecord>, StoreError> {
    let path = place(state, key);
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|source| StoreError::Record { path, source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("read", &path)(error)),
    }
}

/// Every key a decision is filed under.
pub(crate) fn keys(state: &Path) -> Vec<Digest> {
    let Ok(entries) = fs::read_dir(folder(state)) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.path().file_stem()?.to_str()?.parse().ok()).collect()
}

/// Files a decision; a later one about the same bytes replaces it.
pub(crate) fn record(state: &Path, record: &ApprovalRecord) -> Result<(), StoreError> {
    let path = place(state, &record.key);
    fs::create_dir_all(folder(state)).map_err(StoreError::io("create", &folder(state)))?;
    let bytes = serde_json::to_vec_pretty(record).map_err(|source| StoreError::Record { path: path.clone(), source })?;
    write_atomic(&bytes, &path)
}

/// A record of the current format.
pub(crate) fn compose(about: (RunId, &str, &str), key: Digest, reviewed: &[Reviewed], decision: Decision) -> ApprovalRecord {
    let (run, workflow, stage) = about;
    ApprovalRecord {
        format: FORMAT,
        key,
        stage: stage.to_owned(),
        workflow: workflow.to_owned(),
        run,
        reviewed: reviewed.to_vec(),
        decision,
    }
}

/// Files a decision about a stage that a run parked. `flow resume` then goes on. A rejection also takes back an approval of
/// the same bytes that was given before.
pub fn approve(project: &Project, run: RunId, stage: &str, decision: Decision) -> Result<ApprovalRecord, RunError> {
    let told = History::of(project).load(run)?;
    let found = told.stage(stage).ok_or_else(|| RunError::UnknownStage {
        run,
        stage: stage.to_owned(),
        known: told.stages.iter().map(|stage| stage.name.as_str()).collect::<Vec<_>>().join(", "),
    })?;
    let Some(key) = found.key.filter(|_| !found.reviewed.is_empty()) else {
        return Err(RunError::NotParked { run, stage: stage.to_owned() });
    };
    let composed = compose((run, &told.workflow, stage), key, &found.reviewed, decision);
    record(&project.state, &composed)?;
    if !composed.decision.approved {
        Store::open(&project.site.store)?.actions().set_aside(&key)?;
    }
    Ok(composed)
}

//! Everything that is known of one run, gathered from its journal, its record, and the store.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    Artifact, Digest, Named,
    history::{RunRecord, Texts},
    project::Project,
    run::{Entry, Event, GateVerdict, History, RunError, RunId, RunPaths, RunState, StageStatus},
    store::{ActionResult, Store},
};

/// One run, in full.
#[derive(Clone, Debug)]
pub struct Account {
    /// The run.
    pub run: RunId,
    /// Its entries.
    pub entries: Vec<Entry>,
    /// Where it stands.
    pub state: RunState,
    /// The version of `flow` that started it, if that was recorded.
    pub flow: Option<String>,
    /// Resolved parameters; empty if they were not recorded.
    pub params: BTreeMap<String, Value>,
    /// The file that records what it was asked to do, if there is one.
    pub record: Option<PathBuf>,
    /// The workflow file and its components as they were: path and text.
    pub texts: Vec<(String, String)>,
    /// `flow.lock`, as it is now.
    pub lock: Option<String>,
    /// Its stages in topological order.
    pub stages: Vec<StageAccount>,
    /// Where its files lie.
    pub paths: RunPaths,
}

/// One stage of it.
#[derive(Clone, Debug)]
pub struct StageAccount {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The stages it waited for.
    pub after: Vec<String>,
    /// Where it stands.
    pub status: StageStatus,
    /// Its action key, once known.
    pub key: Option<Digest>,
    /// Outputs by port.
    pub outputs: Named<Artifact>,
    /// What it measured.
    pub metrics: BTreeMap<String, f64>,
    /// Judged gates and expectations.
    pub verdicts: Vec<GateVerdict>,
    /// When it was first heard of, and last.
    pub times: Option<(Timestamp, Timestamp)>,
    /// What its key was hashed from.
    pub preimage: Option<Value>,
    /// What is recorded under its key.
    pub result: Option<ActionResult>,
}

impl Account {
    /// Gathers what is known of a run.
    pub fn of(project: &Project, run: RunId) -> Result<Self, RunError> {
        let history = History::of(project);
        let entries = history.entries(run)?;
        let state = RunState::replay(&entries).map_err(|source| RunError::History { run, source })?;
        let paths = history.paths(run);
        let record = RunRecord::read(&paths);
        let store = Store::open(&project.site.store)?;
        let times = times(&entries);
        let mut stages = Vec::with_capacity(state.stages.len());
        for stage in &state.stages {
            let known = |key: &Digest| Ok::<_, RunError>((store.actions().preimage(key)?, store.actions().peek(key)?));
            let (preimage, result) = stage.key.as_ref().map(known).transpose()?.unwrap_or_default();
            stages.push(StageAccount {
                name: stage.name.clone(),
                kind: stage.kind.clone(),
                after: stage.after.clone(),
                status: stage.status.clone(),
                key: stage.key,
                outputs: stage.outputs.clone(),
                metrics: stage.metrics.clone(),
                verdicts: stage.verdicts.clone(),
                times: times.get(&stage.name).copied(),
                preimage,
                result,
            });
        }
        Ok(Self {
            run,
            texts: texts(project, &state, record.as_ref()),
            lock: fs::read_to_string(&project.lock_file).ok(),
            record: Some(paths.record()).filter(|place| place.is_file()),
            flow: record.as_ref().map(|record| record.flow.clone()),
            params: record.map(|record| record.params).unwrap_or_default(),
            entries,
            state,
            stages,
            paths,
        })
    }

    /// The stage that wrote an artifact.
    pub(crate) fn producer(&self, digest: &Digest) -> Option<(&StageAccount, &str)> {
        self.stages.iter().find_map(|stage| {
            let (port, _) = stage.outputs.iter().find(|(_, artifact)| artifact.digest == *digest)?;
            Some((stage, port.as_str()))
        })
    }
}

impl StageAccount {
    /// Digests that its key names as inputs, with the port that read them.
    pub(crate) fn inputs(&self) -> Vec<(String, Digest)> {
        let list = self.preimage.as_ref().and_then(|preimage| preimage.get("inputs")).and_then(Value::as_array);
        let input = |input: &Value| {
            let text = |name: &str| input.get(name).and_then(Value::as_str);
            Some((text("port")?.to_owned(), text("digest")?.parse().ok()?))
        };
        list.into_iter().flatten().filter_map(input).collect()
    }

    /// Sources that its key names: pattern or URI, then name and digest of every file.
    pub(crate) fn sources(&self) -> BTreeMap<String, Vec<(String, Digest)>> {
        let sources = self.preimage.as_ref().and_then(|preimage| preimage.get("sources")).and_then(Value::as_object);
        let file = |file: &Value| {
            let text = |name: &str| file.get(name).and_then(Value::as_str);
            Some((text("name")?.to_owned(), text("digest")?.parse().ok()?))
        };
        let files = |list: &Value| list.as_array().into_iter().flatten().filter_map(file).collect();
        sources.into_iter().flatten().map(|(name, list)| (name.clone(), files(list))).collect()
    }

    /// Its resolved configuration.
    pub(crate) fn params(&self) -> Option<&Value> {
        self.preimage.as_ref()?.get("params")
    }
}

/// The texts as they were recorded; without a record, the workflow file as it is.
fn texts(project: &Project, state: &RunState, record: Option<&RunRecord>) -> Vec<(String, String)> {
    let kept = Texts::of(&project.state);
    if let Some(record) = record {
        return record.files.iter().filter_map(|file| Some((file.path.clone(), kept.read(&file.digest)?))).collect();
    }
    let file = &state.request.workflow_file;
    let name = file.file_name().map_or_else(|| Path::new("workflow.yaml"), Path::new);
    let text = fs::read_to_string(file).ok();
    text.map(|text| (name.to_string_lossy().into_owned(), text)).into_iter().collect()
}

/// When every stage was first heard of, and last, since the run was last started or resumed.
fn times(entries: &[Entry]) -> BTreeMap<String, (Timestamp, Timestamp)> {
    let mut times = BTreeMap::new();
    for entry in entries {
        if matches!(entry.event, Event::RunResumed { .. }) {
            times.clear();
        }
        if let Some(stage) = entry.event.stage() {
            times.entry(stage.to_owned()).or_insert((entry.at, entry.at)).1 = entry.at;
        }
    }
    times
}

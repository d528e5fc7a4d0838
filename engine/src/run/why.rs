//! Why a stage ran or did not: the pre-image of its key against the nearest earlier one.

use serde::Serialize;
use serde_json::Value;

use super::{History, RunError, RunId, StageState, StageStatus, event::Hit};
use crate::{Digest, history::Past, plan::Change, project::Project, store::Store};

/// The answer of `flow why STAGE`.
#[derive(Clone, Debug, Serialize)]
pub struct Why {
    /// The stage.
    pub stage: String,
    /// The run that is explained.
    pub run: RunId,
    /// Where the stage stands there.
    pub status: StageStatus,
    /// Its action key; none when the run never got that far.
    pub key: Option<Digest>,
    /// How long the work took, now or when its result was recorded.
    pub seconds: Option<f64>,
    /// The explanation.
    pub reason: Reason,
}

/// An earlier action that the present one was compared with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The run it belongs to.
    pub run: RunId,
    /// The stage's name there.
    pub stage: String,
    /// Its action key.
    pub key: Digest,
    /// Whether the store holds its result, so that undoing the changes makes a hit.
    pub recorded: bool,
    /// What differs, sorted by place; digests of inputs and sources included.
    pub changes: Vec<Change>,
}

/// What explains a stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "because")]
pub enum Reason {
    /// No such work was seen before.
    First,
    /// Something that decides the outputs changed.
    Changed {
        /// Against what, and what.
        than: Comparison,
    },
    /// Nothing that decides the outputs changed, so the recorded result is used.
    Unchanged {
        /// The run that did the work or used the same result before.
        since: Option<RunId>,
    },
    /// Stages before it ran again, but gave the same bytes.
    CutOff {
        /// Those stages.
        ran: Vec<String>,
        /// `port: digest` of its inputs, all as they were.
        equal_inputs: Vec<String>,
    },
    /// The same work was asked for before, but its result was gone, damaged, or never finished.
    Repeated {
        /// The run that asked for it before.
        since: RunId,
    },
    /// The run did not get that far.
    NotReached,
}

/// Explains a stage of a run; of the latest run when none is named.
pub fn why(project: &Project, stage: &str, run: Option<RunId>) -> Result<Why, RunError> {
    let history = History::of(project);
    let run = match run {
        Some(run) => run,
        None => history.find("latest")?,
    };
    let told = history.load(run)?;
    let found = told.stage(stage).ok_or_else(|| RunError::UnknownStage {
        run,
        stage: stage.to_owned(),
        known: told.stages.iter().map(|stage| stage.name.as_str()).collect::<Vec<_>>().join(", "),
    })?;
    let store = Store::open(&project.site.store)?;
    let reason = match found.key {
        Some(key) => explain(&history, &store, (run, found, key))?,
        None => Reason::NotReached,
    };
    Ok(Why { stage: stage.to_owned(), run, status: found.status.clone(), key: found.key, seconds: found.seconds, reason })
}

fn explain(history: &History, store: &Store, (run, stage, key): (RunId, &StageState, Digest)) -> Result<Reason, RunError> {
    let preimage = store.actions().preimage(&key)?;
    if let StageStatus::Cached { hit: Hit::CutOff { ran } } = &stage.status {
        let equal_inputs = preimage.as_ref().map(inputs).unwrap_or_default();
        return Ok(Reason::CutOff { ran: ran.clone(), equal_inputs });
    }
    let past = Past::load(history, Some(run));
    let same = past.with_key(&key).map(|other| other.run);
    let cached = matches!(stage.status, StageStatus::Cached { .. });
    match (cached, same, preimage) {
        (true, since, _) => Ok(Reason::Unchanged { since }),
        (false, Some(since), _) => Ok(Reason::Repeated { since }),
        (false, None, Some(preimage)) => changed(&past, store, (&stage.name, &stage.kind), &preimage),
        (false, None, None) => Ok(Reason::First),
    }
}

/// Explains work that was not done yet, for `flow plan`.
pub(crate) fn forecast(past: &Past, store: &Store, stage: (&str, &str), action: (Digest, &Value)) -> Result<Reason, RunError> {
    match past.with_key(&action.0) {
        Some(same) => Ok(Reason::Repeated { since: same.run }),
        None => changed(past, store, stage, action.1),
    }
}

fn changed(past: &Past, store: &Store, stage: (&str, &str), preimage: &Value) -> Result<Reason, RunError> {
    Ok(past.nearest(store, stage, preimage)?.map_or(Reason::First, |than| Reason::Changed { than }))
}

fn inputs(preimage: &Value) -> Vec<String> {
    let list = preimage.get("inputs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    list.iter().map(|input| format!("{}: {}", text(input.get("port")), text(input.get("digest")))).collect()
}

//! Why a stage ran or did not: the pre-image of its key against the nearest earlier one.

use serde::Serialize;
use serde_json::Value;

use super::{History, RunError, RunId, StageState, StageStatus, event::Hit};
use crate::{
    Digest,
    plan::{Change, difference},
    project::Project,
    store::Store,
};

/// How far back an earlier action is looked for.
const LOOK_BACK: usize = 50;

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
    Ok(Why { stage: stage.to_owned(), run, status: found.status.clone(), key: found.key, reason })
}

fn explain(history: &History, store: &Store, (run, stage, key): (RunId, &StageState, Digest)) -> Result<Reason, RunError> {
    let preimage = store.actions().preimage(&key)?;
    if let StageStatus::Cached { hit: Hit::CutOff { ran } } = &stage.status {
        let equal_inputs = preimage.as_ref().map(inputs).unwrap_or_default();
        return Ok(Reason::CutOff { ran: ran.clone(), equal_inputs });
    }
    let earlier = earlier(history, Some(run), (&stage.name, &stage.kind));
    let same = earlier.iter().find(|other| other.key == key).map(|other| other.run);
    let cached = matches!(stage.status, StageStatus::Cached { .. });
    Ok(match (cached, same) {
        (true, since) => Reason::Unchanged { since },
        (false, Some(since)) => Reason::Repeated { since },
        (false, None) => match preimage {
            Some(preimage) => nearest(store, &earlier, &preimage)?,
            None => Reason::First,
        },
    })
}

/// Explains work that was not done yet, for `flow plan`.
pub(crate) fn forecast(
    project: &Project,
    store: &Store,
    stage: (&str, &str),
    action: (Digest, &Value),
) -> Result<Reason, RunError> {
    let earlier = earlier(&History::of(project), None, stage);
    match earlier.iter().find(|other| other.key == action.0) {
        Some(same) => Ok(Reason::Repeated { since: same.run }),
        None => nearest(store, &earlier, action.1),
    }
}

/// An action of an earlier run.
struct Earlier {
    run: RunId,
    stage: String,
    key: Digest,
    same_name: bool,
}

/// Earlier actions of the same stage or kind, latest first.
fn earlier(history: &History, before: Option<RunId>, (name, kind): (&str, &str)) -> Vec<Earlier> {
    let runs = history.runs().into_iter().rev().filter(|run| before.is_none_or(|before| *run < before));
    let mut found = Vec::new();
    for run in runs.take(LOOK_BACK) {
        // A journal that cannot be read explains nothing.
        let Ok(state) = history.load(run) else { continue };
        for stage in state.stages {
            let same_name = stage.name == name;
            if let Some(key) = stage.key
                && stage.kind == kind
            {
                found.push(Earlier { run, stage: stage.name, key, same_name });
            }
        }
    }
    found
}

/// The latest action of the same name, else the one of the same kind with the fewest differences.
fn nearest(store: &Store, earlier: &[Earlier], preimage: &Value) -> Result<Reason, RunError> {
    let mut best: Option<Comparison> = None;
    for other in earlier {
        let Some(old) = store.actions().preimage(&other.key)? else { continue };
        let changes = difference(&old, preimage);
        let comparison = Comparison { run: other.run, stage: other.stage.clone(), key: other.key, changes };
        if other.same_name {
            best = Some(comparison);
            break;
        }
        if best.as_ref().is_none_or(|best| comparison.changes.len() < best.changes.len()) {
            best = Some(comparison);
        }
    }
    Ok(best.map_or(Reason::First, |than| Reason::Changed { than }))
}

fn inputs(preimage: &Value) -> Vec<String> {
    let list = preimage.get("inputs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    list.iter().map(|input| format!("{}: {}", text(input.get("port")), text(input.get("digest")))).collect()
}

//! The edits that would turn a stage about to run into a hit.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{Estimate, RunRecord};
use crate::{
    plan::Plan,
    project::Project,
    run::{Comparison, Forecast, History, Preview, Reason, RunId},
};

/// One value to set back, so that a recorded result is used.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Edit {
    /// The stage that would be a hit.
    pub stage: String,
    /// Where in its key: `params.optim.lr`, `limit`, or `seed`.
    pub path: String,
    /// The value of the recorded result; none when the place has to go.
    pub value: Option<Value>,
    /// The parameter of the workflow and its value that do it, when one parameter explains the change.
    pub parameter: Option<(String, Value)>,
    /// The run whose result would be used.
    pub run: RunId,
    /// What it saves at least.
    pub saves: Option<Estimate>,
    /// Stages that wait for this one and may be hits then, too.
    pub unblocks: Vec<String>,
}

/// Every edit of one value that makes a hit, the one that saves most time first.
pub fn edits(previews: &[Preview], plan: &Plan, project: &Project) -> Vec<Edit> {
    let history = History::of(project);
    let mut found: Vec<Edit> = previews.iter().filter_map(|preview| edit(preview, previews, (plan, &history))).collect();
    let saved = |edit: &Edit| edit.saves.map_or(0.0, |cost| cost.seconds.median);
    found.sort_by(|one, other| saved(other).total_cmp(&saved(one)));
    found
}

fn edit(preview: &Preview, previews: &[Preview], (plan, history): (&Plan, &History)) -> Option<Edit> {
    let Forecast::Run { reason: Reason::Changed { than } } = &preview.forecast else { return None };
    let [change] = than.changes.as_slice() else { return None };
    let writable = change.path.starts_with("params.") || matches!(change.path.as_str(), "limit" | "seed");
    if !(than.recorded && writable) {
        return None;
    }
    Some(Edit {
        stage: preview.stage.clone(),
        path: change.path.clone(),
        value: change.old.clone(),
        parameter: parameter(than, plan, history),
        run: than.run,
        saves: preview.cost,
        unblocks: waiting(&preview.stage, previews),
    })
}

/// The one parameter of the workflow that was different then.
fn parameter(other: &Comparison, plan: &Plan, history: &History) -> Option<(String, Value)> {
    let then: BTreeMap<String, Value> = RunRecord::read(&history.paths(other.run))?.params;
    let mut changed = plan.params.iter().filter_map(|(name, now)| {
        let then = then.get(name)?;
        (then != now).then(|| (name.clone(), then.clone()))
    });
    let only = changed.next()?;
    changed.next().is_none().then_some(only)
}

/// Stages that wait for this one, directly or through others.
fn waiting(stage: &str, previews: &[Preview]) -> Vec<String> {
    let mut names = vec![stage.to_owned()];
    for preview in previews {
        if let Forecast::Wait { on } = &preview.forecast
            && on.iter().any(|name| names.contains(name))
        {
            names.push(preview.stage.clone());
        }
    }
    names.remove(0);
    names
}

//! What two runs made: action keys, outputs, and reports of the stages that both know.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};

use super::Side;
use crate::{
    Artifact, Digest,
    plan::{Change, difference},
    report::ReportSummary,
    run::{Comparison, History, StageState},
    store::Store,
};

/// A stage whose action key differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KeyDifference {
    /// The stage.
    pub stage: String,
    /// Its key in the second run.
    pub key: Digest,
    /// Its key in the first run, and which fields differ.
    pub than: Comparison,
}

/// An output whose content differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutputDifference {
    /// `stage.port`.
    pub at: String,
    /// In the first run.
    pub old: Artifact,
    /// In the second run.
    pub new: Artifact,
}

/// A report that says something else.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReportDifference {
    /// `stage.port`.
    pub at: String,
    /// Changed verdict, summary, and headline numbers.
    pub changes: Vec<Change>,
}

/// Stages of both runs, in the order of the second.
fn both<'a>(from: &'a Side, to: &'a Side) -> impl Iterator<Item = (&'a StageState, &'a StageState)> {
    to.state.stages.iter().filter_map(|new| Some((from.state.stage(&new.name)?, new)))
}

/// Names of stages that only the first, and only the second run has.
pub(super) fn stages(from: &Side, to: &Side) -> (Vec<String>, Vec<String>) {
    let names = |side: &Side| -> BTreeSet<String> { side.state.stages.iter().map(|stage| stage.name.clone()).collect() };
    let (old, new) = (names(from), names(to));
    (old.difference(&new).cloned().collect(), new.difference(&old).cloned().collect())
}

/// Stages that were not the same work in both runs.
pub(super) fn keys(store: &Store, from: &Side, to: &Side) -> Vec<KeyDifference> {
    let unequal =
        both(from, to).filter_map(|(old, new)| Some((&new.name, old.key?, new.key?))).filter(|(_, old, new)| old != new);
    unequal
        .map(|(stage, old, new)| {
            let changes = match (from.preimages.get(stage), to.preimages.get(stage)) {
                (Some(old), Some(new)) => difference(old, new),
                // A pre-image that is gone explains nothing; the keys still differ.
                _ => Vec::new(),
            };
            // An entry that cannot be read is no result to go back to.
            let recorded = matches!(store.actions().peek(&old), Ok(Some(_)));
            let than = Comparison { run: from.state.run, stage: stage.clone(), key: old, recorded, changes };
            KeyDifference { stage: stage.clone(), key: new, than }
        })
        .collect()
}

/// Outputs of other content.
pub(super) fn outputs(from: &Side, to: &Side) -> Vec<OutputDifference> {
    let mut found = Vec::new();
    for (old, new) in both(from, to) {
        for (port, artifact) in &new.outputs {
            if let Some(before) = old.outputs.get(port).filter(|before| before.digest != artifact.digest) {
                found.push(OutputDifference { at: format!("{}.{port}", new.name), old: before.clone(), new: artifact.clone() });
            }
        }
    }
    found
}

/// What reports say otherwise, as far as both are laid out.
pub(super) fn reports(history: &History, outputs: &[OutputDifference], runs: (&Side, &Side)) -> Vec<ReportDifference> {
    let told = |side: &Side, at: &str| {
        let (stage, port) = at.rsplit_once('.')?;
        ReportSummary::read(&history.paths(side.state.run).report(stage, port)).ok().map(|report| headline(&report))
    };
    let pairs = outputs.iter().filter_map(|output| Some((&output.at, told(runs.0, &output.at)?, told(runs.1, &output.at)?)));
    let changed = pairs.map(|(at, old, new)| ReportDifference { at: at.clone(), changes: difference(&old, &new) });
    changed.filter(|report| !report.changes.is_empty()).collect()
}

fn headline(report: &ReportSummary) -> Value {
    let facts: Value = report.facts.iter().cloned().collect::<serde_json::Map<_, _>>().into();
    json!({ "verdict": report.verdict, "summary": report.summary, "facts": facts })
}

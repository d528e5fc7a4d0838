//! What was edited in a workflow since a run began: its files are planned once more as they were then, and compared stage by stage.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use petgraph::graph::NodeIndex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{RunRecord, Texts, bisect::Mixed, record::path_of};
use crate::{
    Digest, StageRegistry,
    plan::{Change, Plan, PlanRequest, difference},
    project::Project,
    run::{RunPaths, RunRequest},
};

/// A stage that is not what it was when its run began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageEdit {
    /// The stage.
    pub stage: String,
    /// What changed: `with.lr`, `in.rows`, `seed`.
    pub changes: Vec<Change>,
}

/// The stages that were edited since a run began. Where that cannot be told, as for a run without a record, there are none.
pub(crate) fn edited(
    plan: &Plan,
    (project, registry): (&Project, &StageRegistry),
    (request, paths): (&RunRequest, &RunPaths),
) -> Vec<StageEdit> {
    let Some(record) = RunRecord::read(paths).filter(|record| !same_files(plan, project, record)) else { return Vec::new() };
    let texts = Texts::of(&project.state);
    let files: BTreeMap<PathBuf, String> =
        record.files.iter().filter_map(|file| Some((PathBuf::from(&file.path), texts.read(&file.digest)?))).collect();
    let Some(main) = record.files.first().map(|file| PathBuf::from(&file.path)) else { return Vec::new() };
    let before = match Mixed::with_files(project, (&main, &files)) {
        Ok(before) => before,
        Err(error) => {
            tracing::warn!(%error, "Could not lay out the workflow as it was when the run began.");
            return Vec::new();
        }
    };
    let asked = PlanRequest {
        project: &before.project,
        registry,
        params: &request.params,
        only: &request.only,
        limit: request.limit,
        profile: request.profile.as_deref(),
    };
    // What cannot be planned any more, such as one of an earlier dialect, cannot be compared.
    let place = before.project.base.to_string_lossy().into_owned();
    Plan::load(&asked).map(|before| edits((&before, &place), (plan, project))).unwrap_or_default()
}

fn same_files(plan: &Plan, project: &Project, record: &RunRecord) -> bool {
    let now: BTreeSet<(String, Digest)> =
        plan.files.iter().map(|file| (path_of(file.name(), project), Digest::of(file.text().as_bytes()))).collect();
    record.files.iter().map(|file| (file.path.clone(), file.digest)).collect::<BTreeSet<_>>() == now
}

/// Stages of both plans that are not the same work, in the order of the later plan. `place` is where the earlier one was laid out.
fn edits((before, place): (&Plan, &str), (now, project): (&Plan, &Project)) -> Vec<StageEdit> {
    let earlier: BTreeMap<&str, NodeIndex> = before.order.iter().map(|node| (before.graph[*node].name.as_str(), *node)).collect();
    let edit = |node: &NodeIndex| {
        let stage = &now.graph[*node].name;
        // A configuration may hold the folder that it was read in.
        let old = asked(before, *earlier.get(stage.as_str())?).to_string().replace(place, &project.base.to_string_lossy());
        let changes = difference(&serde_json::from_str(&old).ok()?, &asked(now, *node));
        (!changes.is_empty()).then(|| StageEdit { stage: stage.clone(), changes })
    };
    now.order.iter().filter_map(edit).collect()
}

/// What a stage is asked to do, as the file says it.
fn asked(plan: &Plan, node: NodeIndex) -> Value {
    let stage = &plan.graph[node];
    let from = |(producer, port): &(NodeIndex, String)| json!(format!("{}.{port}", plan.graph[*producer].name));
    let inputs = stage.inputs.iter().map(|binding| (binding.port.clone(), binding.from.iter().map(from).collect::<Value>()));
    let texts = |expressions: &[crate::plan::Expression]| expressions.iter().map(|one| json!(one.text)).collect::<Value>();
    json!({
        "with": stage.stage.config(),
        "in": inputs.collect::<Value>(),
        "seed": stage.seed,
        "gate": texts(&stage.gates),
        "expect": texts(&stage.expectations),
        "if": stage.condition.as_ref().map(|condition| &condition.text),
    })
}

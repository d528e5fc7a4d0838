//! How a run begins: a new journal, or an old one to go on with, and the plan as the dispatcher counts it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use petgraph::{Direction, graph::NodeIndex, visit::EdgeRef};

use super::{
    History, RunError, RunId, RunPaths, RunRequest, RunState, StageState, StageStatus, Start,
    event::{Entry, Event, StageOutline},
    executor::Shared,
};
use crate::{
    history::{self, RunRecord, StageEdit},
    journal::Journal,
    plan::Plan,
    project::Project,
    store::StoreError,
};

/// The first entry of this engine.
pub(crate) enum First {
    /// Of a new journal; folded already.
    Started(Box<Entry>),
    /// Of an old one.
    Resumed,
}

/// An open journal and what it says.
pub(crate) struct Opened {
    pub(crate) state: RunState,
    pub(crate) journal: Journal,
    pub(crate) first: First,
    /// Stages of which an attempt may have ended after the last entry.
    pub(crate) unseen: BTreeSet<String>,
}

/// Opens the journal that `start` asks for. A new run is called `name`, if its caller gave it a name before.
pub(crate) fn open_journal(plan: &Plan, project: &Project, (start, name): (&Start, Option<RunId>)) -> Result<Opened, RunError> {
    match start {
        Start::New(request) => start_journal(plan, project, (request, name)),
        Start::Resume(run) => reopen_journal(plan, project, *run),
    }
}

fn start_journal(plan: &Plan, project: &Project, (request, name): (&RunRequest, Option<RunId>)) -> Result<Opened, RunError> {
    let run = name.unwrap_or_else(|| History::of(project).new_name());
    let paths = RunPaths::new(&project.state, run);
    std::fs::create_dir_all(paths.directory()).map_err(StoreError::io("create", paths.directory()))?;
    let event = Event::RunStarted { run, workflow: plan.workflow.clone(), request: request.clone(), stages: outline(plan) };
    let entry = Entry { seq: 0, at: Timestamp::now(), event };
    let state = RunState::begin(&entry).map_err(|source| RunError::History { run, source })?;
    RunRecord::keep(plan, project, &paths);
    let journal = Journal::create(&paths.journal())?;
    Ok(Opened { state, journal, first: First::Started(Box::new(entry)), unseen: BTreeSet::new() })
}

fn reopen_journal(plan: &Plan, project: &Project, run: RunId) -> Result<Opened, RunError> {
    let (journal, entries) = Journal::reopen(&RunPaths::new(&project.state, run).journal())?;
    let state = RunState::replay(&entries).map_err(|source| RunError::History { run, source })?;
    let changes = changes(&state, &outline(plan));
    if !changes.is_empty() {
        return Err(RunError::Changed { run, changes });
    }
    let unseen = state.stages.iter().filter(|stage| is_unseen(&stage.status)).map(|stage| stage.name.clone()).collect();
    Ok(Opened { state, journal, first: First::Resumed, unseen })
}

/// The stages that were edited since the run began.
pub(crate) fn edited(shared: &Shared, state: &RunState) -> Vec<StageEdit> {
    history::edited(&shared.plan, (&shared.project, &shared.registry), (&state.request, &shared.paths))
}

/// What makes the stages of a plan others than those of a run.
fn changes(state: &RunState, planned: &[StageOutline]) -> Vec<String> {
    let before: BTreeMap<&str, &str> = state.stages.iter().map(|stage| (stage.name.as_str(), stage.kind.as_str())).collect();
    let now: BTreeMap<&str, &str> = planned.iter().map(|stage| (stage.name.as_str(), stage.kind.as_str())).collect();
    let added = now.iter().filter(|(name, _)| !before.contains_key(*name)).map(|(name, kind)| format!("{name} ({kind}) is new"));
    let removed = before.keys().filter(|name| !now.contains_key(*name)).map(|name| format!("{name} is gone"));
    let other = now.iter().filter_map(|(name, kind)| {
        let was = before.get(name).filter(|was| *was != kind)?;
        Some(format!("{name} is {kind} and was {was}"))
    });
    let mut changes: Vec<String> = added.chain(removed).chain(other).collect();
    let order = |one: &StageState, other: &StageOutline| one.name == other.name;
    if changes.is_empty() && !state.stages.iter().zip(planned).all(|(one, other)| order(one, other)) {
        changes.push("they follow each other in another order".to_owned());
    }
    changes
}

/// Whether an attempt may have ended after the last entry.
fn is_unseen(status: &StageStatus) -> bool {
    match status {
        StageStatus::Running | StageStatus::Waiting { .. } | StageStatus::Retrying => true,
        StageStatus::Pending
        | StageStatus::Parked
        | StageStatus::Succeeded
        | StageStatus::Cached { .. }
        | StageStatus::GateFailed
        | StageStatus::Failed
        | StageStatus::Skipped { .. }
        | StageStatus::Interrupted => false,
    }
}

fn outline(plan: &Plan) -> Vec<StageOutline> {
    let stage = |node: &NodeIndex| {
        let planned = &plan.graph[*node];
        let before = plan.graph.edges_directed(*node, Direction::Incoming).map(|edge| plan.graph[edge.source()].name.clone());
        let after: BTreeSet<String> = before.collect();
        StageOutline { name: planned.name.clone(), kind: planned.stage.kind().to_owned(), after: after.into_iter().collect() }
    };
    plan.order.iter().map(stage).collect()
}

/// Refuses advance approvals of stages that do not exist, and of those that ask for none.
pub(crate) fn check_approvals(plan: &Plan, approve: &[String]) -> Result<(), RunError> {
    let named = |wanted: &dyn Fn(&NodeIndex) -> bool| {
        let nodes = plan.order.iter().filter(|node| wanted(node));
        let names: Vec<&str> = nodes.map(|node| plan.graph[*node].name.as_str()).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let asks = |node: &NodeIndex| plan.graph[*node].stage.asks().is_some();
    for stage in approve {
        match plan.find(stage) {
            None => return Err(RunError::UnknownApproval { stage: stage.clone(), known: named(&|_| true) }),
            Some(node) if !asks(&node) => {
                return Err(RunError::NothingToApprove { stage: stage.clone(), asking: named(&asks) });
            }
            Some(_) => {}
        }
    }
    Ok(())
}

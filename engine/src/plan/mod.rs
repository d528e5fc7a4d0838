//! The checked DAG of one workflow: what would run, in which order, with which configuration.
//!
//! [`Plan::load`] reads the file and its components, resolves parameters, configures every stage, and checks every name,
//! port, and expression. All problems come back at once. Nothing here touches the store; [`crate::run`] runs a plan.

mod bind;
pub(crate) mod command;
mod configure;
mod difference;
mod error;
mod expand;
mod expressions;
mod files;
mod key;
mod load;
mod names;
mod operations;
mod order;
mod recent;

use std::{collections::BTreeMap, sync::Arc};

use petgraph::graph::{DiGraph, NodeIndex};
use serde_json::Value;

pub use self::{
    command::{Undeclared, What},
    difference::{Change, difference},
    error::PlanErrors,
    key::{Action, ActionInput, KEY_CONTEXT, TRAJECTORY_CONTEXT, mixed_seed},
    names::selects,
    operations::{Operations, Retry},
};
pub use crate::expression::Expression;
use crate::{
    DynStage, StageRegistry,
    expression::{Reading, Scope},
    project::Project,
    registry::ConfigError,
    workflow::{Hooks, SourceText, Span},
};

/// What to plan.
#[derive(Clone, Copy)]
pub struct PlanRequest<'a> {
    /// Where the workflow file and its things lie.
    pub project: &'a Project,
    /// The kinds of stage.
    pub registry: &'a StageRegistry,
    /// Values of `-p NAME=VALUE`, in order; the last of a name counts.
    pub params: &'a [(String, String)],
    /// Stages to keep, with what they need; all when empty. A component's name keeps all its stages.
    pub only: &'a [String],
    /// Rows to read at most, from `--limit`.
    pub limit: Option<u64>,
    /// The profile of `--profile`.
    pub profile: Option<&'a str>,
}

/// A workflow whose every name, port, type, and expression was checked.
#[derive(Debug)]
pub struct Plan {
    /// The workflow's name.
    pub workflow: String,
    /// `description:` of the workflow.
    pub description: Option<String>,
    /// Resolved parameters.
    pub params: BTreeMap<String, Value>,
    /// Stages; an edge goes from producer to consumer.
    pub graph: DiGraph<PlannedStage, Edge>,
    /// Stage indices in topological order, ties in declaration order.
    pub order: Vec<NodeIndex>,
    /// Rows to read at most, from `--limit`.
    pub limit: Option<u64>,
    /// The workflow's seed.
    pub seed: u64,
    /// `hooks:` of the workflow.
    pub hooks: Hooks,
    /// The texts it was read from: the workflow file, then its components, each once.
    pub files: Vec<Arc<SourceText>>,
    /// Names of the workflow's profiles.
    pub profiles: Vec<String>,
    /// Stages sorted by name.
    by_name: Vec<NodeIndex>,
}

/// Why one stage waits for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// It reads an output.
    Data,
    /// `needs:` or an expression asks for the order.
    Order,
}

/// One input binding; a stage's bindings are sorted by port, their producers stand in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The consumer's port.
    pub port: String,
    /// The producer and its port.
    pub from: Vec<(NodeIndex, String)>,
}

/// One stage of a plan.
pub struct PlannedStage {
    /// Its name in the file; `component/stage` for a stage of a component.
    pub name: String,
    /// What runs.
    pub stage: Arc<dyn DynStage>,
    /// Where its inputs come from.
    pub inputs: Vec<Binding>,
    /// `if:`.
    pub condition: Option<Expression>,
    /// `gate:`, asked after the outputs are committed.
    pub gates: Vec<Expression>,
    /// `expect:`, asked like a gate, but a broken one fails the stage.
    pub expectations: Vec<Expression>,
    /// How it is run.
    pub operations: Arc<Operations>,
    /// `with.seed`, else the workflow's seed; [`mixed_seed`] makes the stage's seed of it.
    pub seed: u64,
    /// The parameters of the file it stands in, for its expressions.
    pub params: Arc<BTreeMap<String, Value>>,
    /// What stands before its name in the file: empty, or `component/`.
    pub prefix: Arc<str>,
    /// Where it stands.
    pub origin: Origin,
}

/// A place in a workflow file.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The file.
    pub file: Arc<SourceText>,
    /// The bytes.
    pub span: Span,
}

impl PlannedStage {
    /// Whether anything is asked before or after it runs.
    pub(crate) fn has_expressions(&self) -> bool {
        self.condition.is_some() || !self.gates.is_empty() || !self.expectations.is_empty()
    }

    /// What its expressions read, given what it measured and how other stages ended (by their names in the plan).
    pub fn scope<'a>(&'a self, metrics: &'a BTreeMap<String, f64>, stages: &'a BTreeMap<String, Reading>) -> Scope<'a> {
        Scope { params: &self.params, prefix: &self.prefix, metrics, stages }
    }
}

impl std::fmt::Debug for PlannedStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlannedStage").field("name", &self.name).field("kind", &self.stage.kind()).finish_non_exhaustive()
    }
}

impl Plan {
    /// The index of a stage by its name in the plan.
    pub fn find(&self, name: &str) -> Option<NodeIndex> {
        let named = |index: &NodeIndex| self.graph.node_weight(*index).map_or("", |stage| stage.name.as_str());
        let found = self.by_name.binary_search_by(|index| named(index).cmp(name)).ok()?;
        self.by_name.get(found).copied()
    }
}

/// Makes a stage again from the kind and configuration that an attempt's description holds.
pub fn restore_stage(registry: &StageRegistry, kind: &str, config: &Value) -> Result<Arc<dyn DynStage>, ConfigError> {
    if kind == command::KIND {
        return command::CommandStage::restore(config).map(|stage| Arc::new(stage) as Arc<dyn DynStage>);
    }
    match registry.kind(kind) {
        Some(known) => known.configure(config),
        None => Err(ConfigError { path: Vec::new(), message: format!("this flow has no stage kind {kind:?}") }),
    }
}

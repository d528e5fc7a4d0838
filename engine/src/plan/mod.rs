//! The checked DAG of one workflow: what would run, in which order, with which configuration.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use petgraph::graph::{DiGraph, NodeIndex};
use serde_json::Value;

use crate::DynStage;

/// A workflow whose every name, port, type, and expression was checked.
pub struct Plan {
    /// The workflow's name.
    pub workflow: String,
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
}

/// Why one stage waits for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// It reads an output.
    Data,
    /// `needs:` asks for the order.
    Order,
}

/// One input binding, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The consumer's port.
    pub port: String,
    /// The producer and its port.
    pub from: Vec<(NodeIndex, String)>,
}

/// How often and when a failed attempt is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Repeats after a fault of the machine (killed process, full disk).
    pub infra: u32,
    /// Repeats after a stage's own error.
    pub error: u32,
    /// Wait before the first repeat; doubled each time, ten minutes at most.
    pub backoff: Duration,
}

/// A boolean CEL expression of the file, kept with its text.
#[derive(Clone, Debug)]
pub struct Expression {
    /// As written.
    pub text: String,
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
    /// `retry:`.
    pub retry: Retry,
    /// `timeout:`.
    pub timeout: Option<Duration>,
    /// `with.seed`, else the workflow's seed.
    pub seed: u64,
}

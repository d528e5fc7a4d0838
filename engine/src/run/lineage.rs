//! Where a stage's inputs came from: collected when a stage runs that reads it, so that other stages pay nothing for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use petgraph::{Direction, graph::NodeIndex, visit::EdgeRef};

use super::executor::Done;
use crate::{
    context::Ancestor,
    plan::{Edge, Plan},
};

/// The finished stages of a run. The dispatcher writes; executors read about stages that are finished for good.
pub(crate) struct Lineage {
    /// Whether any stage of the plan reads it.
    pub(crate) read: bool,
    finished: Mutex<BTreeMap<NodeIndex, Arc<Done>>>,
}

impl Lineage {
    /// Nothing is finished yet.
    pub(crate) fn begin(plan: &Plan) -> Self {
        Self { read: plan.graph.node_weights().any(|planned| planned.stage.reads_ancestors()), finished: Mutex::default() }
    }

    /// Remembers a finished stage, if anybody reads of it.
    pub(crate) fn record(&self, node: NodeIndex, done: &Arc<Done>) {
        if !self.read {
            return;
        }
        let done = done.clone();
        self.finished.lock().unwrap_or_else(PoisonError::into_inner).insert(node, done);
    }

    /// Every stage whose outputs lead to `node`, in the plan's order.
    pub(crate) fn of(&self, plan: &Plan, node: NodeIndex) -> Vec<Ancestor> {
        let mut before = BTreeSet::new();
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            for edge in plan.graph.edges_directed(node, Direction::Incoming).filter(|edge| *edge.weight() == Edge::Data) {
                if before.insert(edge.source()) {
                    open.push(edge.source());
                }
            }
        }
        if before.is_empty() {
            return Vec::new();
        }
        let finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        let in_order = plan.order.iter().filter(|node| before.contains(node));
        in_order.filter_map(|node| finished.get(node).map(|done| ancestor(plan, *node, done))).collect()
    }
}

fn ancestor(plan: &Plan, node: NodeIndex, done: &Done) -> Ancestor {
    let planned = &plan.graph[node];
    Ancestor {
        stage: planned.name.clone(),
        kind: planned.stage.kind().to_owned(),
        key: done.key,
        config: planned.stage.config().into_owned(),
        outputs: done.outputs.iter().map(|(port, artifact)| (port.clone(), artifact.digest)).collect(),
        metrics: done.metrics.clone(),
        sources: done.source_digests.iter().map(|(name, digest)| (name.clone(), *digest)).collect(),
    }
}

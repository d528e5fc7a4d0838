//! How far the graph is done: what every stage still waits for, and what can start next.

use std::collections::BTreeSet;

use petgraph::{Direction, graph::NodeIndex, visit::EdgeRef};

use crate::{
    plan::{Edge, Plan},
    run::event::SkipReason,
};

/// What consumers of a stage may count on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not known yet.
    Open,
    /// It has outputs.
    Outputs,
    /// It was skipped.
    Skipped,
    /// It has no outputs, and nothing after it can run.
    Blocked,
}

/// The edge between what is done and what is not.
pub(super) struct Front {
    /// Places in the order of the plan.
    rank: Vec<usize>,
    /// How many stages each one still waits for.
    missing: Vec<usize>,
    standing: Vec<Standing>,
    ready: BTreeSet<(usize, NodeIndex)>,
}

impl Front {
    /// Nothing is done: what waits for nobody is ready.
    pub(super) fn of(plan: &Plan) -> Self {
        let standing = vec![Standing::Open; plan.graph.node_count()];
        let mut front = Self { rank: ranks(plan), missing: predecessors(plan), standing, ready: BTreeSet::new() };
        for node in &plan.order {
            if front.missing.get(node.index()) == Some(&0) {
                front.queue(*node);
            }
        }
        front
    }

    /// Notes that a stage can start.
    pub(super) fn queue(&mut self, node: NodeIndex) {
        let rank = self.rank.get(node.index()).copied().unwrap_or(usize::MAX);
        self.ready.insert((rank, node));
    }

    /// Takes the next stage that can start.
    pub(super) fn next(&mut self) -> Option<NodeIndex> {
        self.ready.pop_first().map(|(_, node)| node)
    }

    /// Whether no stage can start.
    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Notes what those after a stage may count on.
    pub(super) fn stand(&mut self, node: NodeIndex, standing: Standing) {
        if let Some(slot) = self.standing.get_mut(node.index()) {
            *slot = standing;
        }
    }

    /// Queues the stages that waited only for this one.
    pub(super) fn release(&mut self, plan: &Plan, node: NodeIndex) {
        for edge in plan.graph.edges_directed(node, Direction::Outgoing) {
            let Some(missing) = self.missing.get_mut(edge.target().index()) else { continue };
            *missing = missing.saturating_sub(1);
            if *missing == 0 {
                self.queue(edge.target());
            }
        }
    }

    /// A blocked producer blocks; a skipped one skips only those that read from it.
    pub(super) fn reason_to_skip(&self, plan: &Plan, node: NodeIndex) -> Option<SkipReason> {
        let before = |wanted: Standing, data_only: bool| {
            let edges = plan.graph.edges_directed(node, Direction::Incoming);
            let mut sources = edges.filter(|edge| !data_only || *edge.weight() == Edge::Data).map(|edge| edge.source());
            let found = sources.find(|source| self.standing.get(source.index()) == Some(&wanted));
            found.map(|source| plan.graph[source].name.clone())
        };
        if let Some(stage) = before(Standing::Blocked, false) {
            return Some(SkipReason::Blocked { stage });
        }
        before(Standing::Skipped, true).map(|stage| SkipReason::Upstream { stage })
    }
}

/// The place of every node in the plan's order.
fn ranks(plan: &Plan) -> Vec<usize> {
    let mut ranks = vec![usize::MAX; plan.graph.node_count()];
    for (rank, node) in plan.order.iter().enumerate() {
        if let Some(slot) = ranks.get_mut(node.index()) {
            *slot = rank;
        }
    }
    ranks
}

/// How many edges lead to every node.
fn predecessors(plan: &Plan) -> Vec<usize> {
    plan.graph.node_indices().map(|node| plan.graph.edges_directed(node, Direction::Incoming).count()).collect()
}

//! What the rules of a policy see of a plan.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::{Direction, graph::NodeIndex};
use serde_json::{Value, json};

use super::super::{ReviewTerms, Trust};
use crate::{
    SourceRef,
    expression::to_cel,
    plan::{Plan, PlannedStage},
};

/// Up to so many stages each one in `stages` also carries what is upstream of it; in larger plans only `stage` does.
const SMALL: usize = 2_000;

/// The values behind the names of a rule.
pub(super) struct Facts<'a> {
    plan: &'a Plan,
    base: cel::Context<'static, 'static>,
}

impl<'a> Facts<'a> {
    pub(super) fn of(plan: &'a Plan, trust: &Trust, flags: &[String]) -> Self {
        let whole = plan.graph.node_count() <= SMALL;
        let stages: serde_json::Map<String, Value> = plan
            .order
            .iter()
            .map(|node| (plan.graph[*node].name.clone(), stage(plan, *node, if whole { Reach::All } else { Reach::Near })))
            .collect();
        let people: BTreeMap<&str, &[String]> = trust.people().map(|(name, person)| (name, person.roles.as_slice())).collect();
        let mut base = cel::Context::default();
        let roots = [
            ("stages", Value::Object(stages)),
            ("params", plan.params.iter().map(|(name, value)| (name.clone(), value.clone())).collect()),
            ("workflow", json!({"name": plan.workflow, "description": plan.description})),
            ("trust", json!(people)),
            ("run", json!({"approve": flags})),
        ];
        for (name, value) in roots {
            base.add_variable_from_value(name, to_cel(&value));
        }
        Self { plan, base }
    }

    /// What a rule about the plan sees.
    pub(super) fn plan(&self) -> cel::Context<'_, 'static> {
        self.base.new_inner_scope()
    }

    /// What a rule about a stage sees.
    pub(super) fn stage(&self, node: NodeIndex) -> cel::Context<'_, 'static> {
        let mut context = self.base.new_inner_scope();
        context.add_variable_from_value("stage", to_cel(&stage(self.plan, node, Reach::All)));
        context
    }
}

/// How far upstream is looked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// To the stages it waits for.
    Near,
    /// To the beginning.
    All,
}

fn stage(plan: &Plan, node: NodeIndex, reach: Reach) -> Value {
    let planned = &plan.graph[node];
    let names = |nodes: &BTreeSet<NodeIndex>| -> Vec<&str> {
        let mut names: Vec<&str> = nodes.iter().map(|node| plan.graph[*node].name.as_str()).collect();
        names.sort_unstable();
        names
    };
    let after: BTreeSet<NodeIndex> = plan.graph.neighbors_directed(node, Direction::Incoming).collect();
    let mut value = json!({
        "name": planned.name,
        "kind": planned.stage.kind(),
        "with": planned.stage.config(),
        "in": inputs(plan, planned),
        "after": names(&after),
        "if": planned.condition.as_ref().map(|expression| expression.text.as_str()),
        "gate": planned.gates.iter().map(|expression| expression.text.as_str()).collect::<Vec<_>>(),
        "expect": planned.expectations.iter().map(|expression| expression.text.as_str()).collect::<Vec<_>>(),
        "approve": planned.stage.asks().as_ref().map(approve),
        "sources": planned.stage.sources().iter().map(SourceRef::name).collect::<Vec<_>>(),
        "resources": planned.operations.resources,
        "effect": planned.stage.effect(),
        "timeout_seconds": planned.operations.timeout.map(|timeout| timeout.as_secs()),
    });
    if let (Value::Object(map), Reach::All) = (&mut value, reach) {
        let upstream = upstream(plan, node);
        let kinds: BTreeSet<&str> = upstream.iter().map(|node| plan.graph[*node].stage.kind()).collect();
        map.insert("upstream".to_owned(), json!(names(&upstream)));
        map.insert("upstream_kinds".to_owned(), json!(kinds));
    }
    value
}

fn inputs(plan: &Plan, stage: &PlannedStage) -> BTreeMap<String, Vec<String>> {
    let from = |(node, port): &(NodeIndex, String)| format!("{}.{port}", plan.graph[*node].name);
    stage.inputs.iter().map(|binding| (binding.port.clone(), binding.from.iter().map(from).collect())).collect()
}

fn approve(terms: &ReviewTerms) -> Value {
    json!({
        "who": terms.who,
        "quorum": terms.quorum,
        "four_eyes": terms.four_eyes,
        "expires_seconds": terms.lifetime().map(|lifetime| lifetime.as_secs()),
        "question": terms.question,
    })
}

/// Every stage that must have finished before, by data or by order.
fn upstream(plan: &Plan, node: NodeIndex) -> BTreeSet<NodeIndex> {
    let mut found = BTreeSet::new();
    let mut open = vec![node];
    while let Some(next) = open.pop() {
        for before in plan.graph.neighbors_directed(next, Direction::Incoming) {
            if found.insert(before) {
                open.push(before);
            }
        }
    }
    found
}

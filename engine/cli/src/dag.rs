//! The graph of a workflow as a picture: Mermaid and DOT text, and an SVG drawn here.
//!
//! `flow graph` and the run's summary page draw the same [`Dag`]. Layout is a function of names and edges alone.

mod layout;
mod svg;
mod text;

use std::collections::BTreeMap;

use flow_engine::{
    plan::{Edge as PlanEdge, Plan},
    report::svg::px,
    run::{StageState, StageStatus},
};
use maud::{Markup, html};

pub(crate) use svg::{embedded, standalone};
pub(crate) use text::{dot, mermaid};

/// Stages in topological order and what flows between them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Dag {
    /// Stages; every edge goes from a lower to a higher index.
    pub(crate) nodes: Vec<Node>,
    /// At most one edge a pair.
    pub(crate) edges: Vec<Edge>,
}

/// One stage.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    /// Its name.
    pub(crate) name: String,
    /// Its kind.
    pub(crate) kind: String,
    /// How it is coloured.
    pub(crate) mark: Mark,
    /// Where a click leads.
    pub(crate) link: Option<String>,
}

/// One dependency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// The ports that flow, or nothing when only the order counts.
    pub(crate) ports: Vec<String>,
}

/// What the colour of a stage says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Nothing is known or nothing happened.
    Plain,
    /// It ran.
    Ran,
    /// A recorded result was used.
    Cached,
    /// It works right now.
    Running,
    /// A person has to decide.
    Parked,
    /// A gate was not met, or it failed.
    Failed,
    /// It was left out.
    Skipped,
}

impl Mark {
    /// The sign that goes with the colour.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Ran => "✓",
            Self::Cached => "≡",
            Self::Running => "▶",
            Self::Parked => "⏸",
            Self::Failed => "✗",
            Self::Skipped => "–",
        }
    }

    /// The sign as it is drawn on a page; common fonts have no sign for a pause.
    pub(crate) fn drawn(self) -> Markup {
        match self {
            Self::Parked => html! {
                svg.pause viewBox="0 0 10 10" style="display:inline;width:.7em;height:.7em" aria-hidden="true" { (pause(0.0, 0.0)) }
            },
            Self::Plain | Self::Ran | Self::Cached | Self::Running | Self::Failed | Self::Skipped => html! { (self.sign()) },
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Plain => "not run",
            Self::Ran => "ran",
            Self::Cached => "cached",
            Self::Running => "running",
            Self::Parked => "waits for approval",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// Two bars, ten units wide and high, in the colour of the text around them.
fn pause(x: f64, y: f64) -> Markup {
    html! { path fill="currentColor" d={ "M" (px(x + 1.5)) " " (px(y)) "h2.5v10h-2.5zm4.5 0h2.5v10h-2.5z" } {} }
}

impl From<&StageStatus> for Mark {
    fn from(status: &StageStatus) -> Self {
        match status {
            StageStatus::Pending | StageStatus::Interrupted => Self::Plain,
            StageStatus::Waiting { .. } | StageStatus::Running | StageStatus::Retrying => Self::Running,
            StageStatus::Parked => Self::Parked,
            StageStatus::Succeeded => Self::Ran,
            StageStatus::Cached { .. } => Self::Cached,
            StageStatus::GateFailed | StageStatus::Failed => Self::Failed,
            StageStatus::Skipped { .. } => Self::Skipped,
        }
    }
}

impl Dag {
    /// The graph of a plan, with the ports on its edges.
    pub(crate) fn of_plan(plan: &Plan) -> Self {
        let place: BTreeMap<_, usize> = plan.order.iter().enumerate().map(|(place, index)| (*index, place)).collect();
        let mut ports: BTreeMap<(usize, usize), Vec<String>> = BTreeMap::new();
        for edge in plan.graph.edge_indices() {
            let Some((from, to)) = plan.graph.edge_endpoints(edge) else {
                continue;
            };
            if let (Some(from), Some(to)) = (place.get(&from), place.get(&to)) {
                ports.entry((*from, *to)).or_default();
            }
        }
        let stages = plan.order.iter().filter_map(|index| plan.graph.node_weight(*index));
        for (to, stage) in stages.clone().enumerate() {
            for (producer, port) in stage.inputs.iter().flat_map(|binding| &binding.from) {
                if let Some(from) = place.get(producer) {
                    ports.entry((*from, to)).or_default().push(port.clone());
                }
            }
        }
        debug_assert!(plan.graph.edge_weights().all(|edge| matches!(edge, PlanEdge::Data | PlanEdge::Order)));
        let node = |name: &str, kind: &str| Node { name: name.to_owned(), kind: kind.to_owned(), mark: Mark::Plain, link: None };
        Self {
            nodes: stages.map(|stage| node(&stage.name, stage.stage.kind())).collect(),
            edges: ports.into_iter().map(|((from, to), ports)| Edge { from, to, ports }).collect(),
        }
    }

    /// The graph of a run, coloured by what became of each stage.
    pub(crate) fn of_run(stages: &[&StageState]) -> Self {
        let place: BTreeMap<&str, usize> = stages.iter().enumerate().map(|(place, stage)| (stage.name.as_str(), place)).collect();
        let mut edges = Vec::new();
        for (to, stage) in stages.iter().enumerate() {
            for from in stage.after.iter().filter_map(|name| place.get(name.as_str())) {
                edges.push(Edge { from: *from, to, ports: vec![String::new()] });
            }
        }
        let node = |stage: &&StageState| Node {
            name: stage.name.clone(),
            kind: stage.kind.clone(),
            mark: Mark::from(&stage.status),
            link: Some(format!("#stage-{}", stage.name)),
        };
        Self { nodes: stages.iter().map(node).collect(), edges }
    }
}

//! Which stage comes first: the one with the longest way to the end of the run behind it, by how long stages took before.
//!
//! Times are a hint: they are kept apart from results, and a lost file costs nothing but order.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use petgraph::Direction;
use serde::{Deserialize, Serialize};

use crate::{
    plan::Plan,
    run::state::RunState,
    store::{StoreError, write_lightly},
};

/// What a stage counts for of which nothing is known.
const UNKNOWN: f64 = 1.0;

/// A place in the queue: the longest way first, then the order of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    remaining: Reverse<u64>,
    rank: usize,
}

#[cfg(test)]
impl Turn {
    /// A turn with this much left to do.
    pub(super) fn new(remaining: u64, rank: usize) -> Self {
        Self { remaining: Reverse(remaining), rank }
    }
}

/// The turn of every stage of a plan. It is worked out when the first stage asks: a run of cached stages pays nothing.
pub(crate) struct Turns {
    seconds: PathBuf,
    turns: OnceLock<Vec<Turn>>,
}

impl Turns {
    /// By the times kept in a project's state folder.
    pub(crate) fn new(state: &Path) -> Self {
        Self { seconds: Seconds::place(state), turns: OnceLock::new() }
    }

    /// The turn of a stage.
    pub(crate) fn of(&self, plan: &Plan, node: petgraph::graph::NodeIndex) -> Turn {
        let turns = self.turns.get_or_init(|| turns(plan, &Seconds::read(&self.seconds)));
        turns.get(node.index()).copied().unwrap_or(Turn { remaining: Reverse(0), rank: usize::MAX })
    }
}

fn turns(plan: &Plan, seconds: &Seconds) -> Vec<Turn> {
    let typical = Typical::of(seconds);
    let mut turns = vec![Turn { remaining: Reverse(0), rank: usize::MAX }; plan.graph.node_count()];
    for (rank, node) in plan.order.iter().enumerate().rev() {
        let planned = &plan.graph[*node];
        let own = seconds.of(&planned.name, planned.stage.kind()).unwrap_or_else(|| typical.for_kind(planned.stage.kind()));
        let after = plan.graph.neighbors_directed(*node, Direction::Outgoing);
        let longest = after.filter_map(|next| turns.get(next.index())).map(|turn| turn.remaining.0).max().unwrap_or(0);
        if let Some(slot) = turns.get_mut(node.index()) {
            *slot = Turn { remaining: Reverse(longest.saturating_add(millis(own))), rank };
        }
    }
    turns
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates, and no duration is negative")]
fn millis(seconds: f64) -> u64 {
    (seconds * 1000.0).max(1.0) as u64
}

/// How long the stages of a project took when they last ran.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seconds {
    stages: BTreeMap<String, Took>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Took {
    kind: String,
    seconds: f64,
}

impl Seconds {
    /// Where they are kept.
    pub(crate) fn place(state: &Path) -> PathBuf {
        state.join("state").join("seconds.json")
    }

    /// Those of a file; none if it cannot be read.
    pub(crate) fn read(place: &Path) -> Self {
        fs::read(place).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Adds what a run came to know.
    pub(crate) fn learn(place: &Path, run: &RunState) -> Result<(), StoreError> {
        let mut seconds = Self::read(place);
        for stage in &run.stages {
            if let Some(took) = stage.seconds {
                seconds.stages.insert(stage.name.clone(), Took { kind: stage.kind.clone(), seconds: took });
            }
        }
        let record = |source| StoreError::Record { path: place.to_owned(), source };
        write_lightly(&serde_json::to_vec(&seconds).map_err(record)?, place)
    }

    fn of(&self, name: &str, kind: &str) -> Option<f64> {
        self.stages.get(name).filter(|took| took.kind == kind).map(|took| took.seconds)
    }
}

/// Medians, for stages that have not run under their name yet.
struct Typical {
    kinds: BTreeMap<String, f64>,
    all: f64,
}

impl Typical {
    fn of(seconds: &Seconds) -> Self {
        let mut kinds: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for took in seconds.stages.values() {
            kinds.entry(took.kind.clone()).or_default().push(took.seconds);
        }
        let all = median(kinds.values().flatten().copied().collect()).unwrap_or(UNKNOWN);
        let kinds = kinds.into_iter().filter_map(|(kind, took)| Some((kind, median(took)?)));
        Self { kinds: kinds.collect(), all }
    }

    fn for_kind(&self, kind: &str) -> f64 {
        self.kinds.get(kind).copied().unwrap_or(self.all)
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

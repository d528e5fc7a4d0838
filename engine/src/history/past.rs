//! Work that was done or asked for before, loaded once: what a key is compared with, and what work of a kind costs.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use serde_json::Value;

use super::cost::{Basis, Estimate, Sample};
use crate::{
    Digest,
    plan::difference,
    run::{Comparison, History, RunError, RunId, RunState, StageState, StageStatus},
    store::Store,
};

/// How far back earlier work is looked for.
const RUNS: usize = 50;
/// Other stages of the same kind that a key is compared with; a thousand instances of one stage say no more than these.
const STRANGERS: usize = 64;

/// Actions of the latest runs of a project, newest first.
#[derive(Default)]
pub(crate) struct Past {
    actions: Vec<PastAction>,
    preimages: RefCell<BTreeMap<Digest, Option<Value>>>,
}

/// One action of an earlier run.
pub(crate) struct PastAction {
    pub(crate) run: RunId,
    pub(crate) stage: String,
    pub(crate) kind: String,
    pub(crate) key: Digest,
    /// What it took, when it came to an end.
    sample: Option<Sample>,
}

impl Past {
    /// Loads the runs before `before`; all of them when none is named.
    pub(crate) fn load(history: &History, before: Option<RunId>) -> Self {
        let runs = history.runs().into_iter().rev().filter(|run| before.is_none_or(|before| *run < before));
        let mut actions = Vec::new();
        for run in runs.take(RUNS) {
            // A journal that cannot be read explains nothing.
            let Ok(state) = history.load(run) else { continue };
            for stage in &state.stages {
                let Some(key) = stage.key else { continue };
                let sample = sample(&state, stage);
                actions.push(PastAction { run, stage: stage.name.clone(), kind: stage.kind.clone(), key, sample });
            }
        }
        Self { actions, preimages: RefCell::default() }
    }

    /// The latest action with this key.
    pub(crate) fn with_key(&self, key: &Digest) -> Option<&PastAction> {
        self.actions.iter().find(|action| action.key == *key)
    }

    /// The earlier action of the same kind with the fewest changed fields; among equals the stage's own, then the latest.
    pub(crate) fn nearest(
        &self,
        store: &Store,
        (name, kind): (&str, &str),
        preimage: &Value,
    ) -> Result<Option<Comparison>, RunError> {
        let mut best: Option<(usize, bool, Comparison)> = None;
        let mut seen = BTreeSet::new();
        let mut strangers = 0;
        for action in self.actions.iter().filter(|action| action.kind == kind) {
            let own = action.stage == name;
            if !seen.insert((action.key, own)) || (!own && strangers >= STRANGERS) {
                continue;
            }
            strangers += usize::from(!own);
            let Some(old) = self.preimage(store, &action.key)? else { continue };
            let changes = difference(&old, preimage);
            let rank = (changes.len(), !own);
            if best.as_ref().is_none_or(|(fewest, stranger, _)| rank < (*fewest, *stranger)) {
                let than = Comparison { run: action.run, stage: action.stage.clone(), key: action.key, recorded: false, changes };
                best = Some((rank.0, rank.1, than));
            }
        }
        let Some((_, _, mut than)) = best else { return Ok(None) };
        than.recorded = store.actions().peek(&than.key)?.is_some();
        Ok(Some(than))
    }

    fn preimage(&self, store: &Store, key: &Digest) -> Result<Option<Value>, RunError> {
        if let Some(known) = self.preimages.borrow().get(key) {
            return Ok(known.clone());
        }
        let read = store.actions().preimage(key)?;
        self.preimages.borrow_mut().insert(*key, read.clone());
        Ok(read)
    }

    /// What a stage will cost: by its own earlier times, else by those of its kind, scaled to `rows` where both are known.
    pub(crate) fn estimate(&self, (name, kind): (&str, &str), rows: Option<f64>) -> Option<Estimate> {
        let mut keys = BTreeSet::new();
        let same_kind = self.actions.iter().filter(|action| action.kind == kind);
        // The same work, reused in many runs, was done once.
        let done: Vec<(bool, Sample)> = same_kind
            .filter_map(|action| Some((action, action.sample?)))
            .filter(|(action, _)| keys.insert((action.key, action.stage == name)))
            .map(|(action, sample)| (action.stage == name, sample))
            .collect();
        let own: Vec<Sample> = done.iter().filter(|(own, _)| *own).map(|(_, sample)| *sample).collect();
        if own.is_empty() {
            let all: Vec<Sample> = done.into_iter().map(|(_, sample)| sample).collect();
            return Estimate::of(&all, rows, Basis::Kind);
        }
        Estimate::of(&own, rows, Basis::Stage)
    }
}

fn sample(state: &RunState, stage: &StageState) -> Option<Sample> {
    let ended = matches!(stage.status, StageStatus::Succeeded | StageStatus::Cached { .. } | StageStatus::GateFailed);
    let seconds = stage.seconds.filter(|_| ended)?;
    let bytes = stage.outputs.values().map(|artifact| artifact.bytes).sum();
    let before = stage.after.iter().filter_map(|name| state.stage(name)).map(|before| &before.metrics);
    Some(Sample { seconds, bytes, rows: rows_read(Some(&stage.metrics), before) })
}

/// How many rows a stage read: what it counted, else what the stages before it gave.
pub(crate) fn rows_read<'a>(
    own: Option<&BTreeMap<String, f64>>,
    before: impl Iterator<Item = &'a BTreeMap<String, f64>>,
) -> Option<f64> {
    let counted = own.and_then(|metrics| metrics.get("rows_in")).copied();
    let given = || before.filter_map(|metrics| metrics.get("rows_out").or_else(|| metrics.get("rows"))).copied().reduce(f64::max);
    counted.or_else(given).filter(|rows| *rows > 0.0)
}

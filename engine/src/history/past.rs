//! Work that was done or asked for before, loaded once: what a key is compared with, and what work of a kind costs.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
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
/// Enough to explain any key; a project of very many stages is not read back fifty times.
const ACTIONS: usize = 200_000;
/// Actions of a kind that a key is compared with, and that costs are taken from, beside those of the stage itself.
const OF_A_KIND: usize = 64;

/// Actions of the latest runs of a project, newest first.
#[derive(Default)]
pub(crate) struct Past {
    actions: Vec<PastAction>,
    by_key: BTreeMap<Digest, usize>,
    /// By kind and stage, each key once.
    of_stage: BTreeMap<(String, String), Vec<usize>>,
    /// By kind, each key once, the latest only.
    of_kind: BTreeMap<String, Vec<usize>>,
    preimages: RefCell<BTreeMap<Digest, Option<Value>>>,
}

/// One action of an earlier run.
pub(crate) struct PastAction {
    pub(crate) run: RunId,
    pub(crate) stage: String,
    pub(crate) key: Digest,
    /// What it took, when it came to an end.
    sample: Option<Sample>,
}

impl Past {
    /// Loads the runs before `before`; all of them when none is named.
    pub(crate) fn load(history: &History, before: Option<RunId>) -> Self {
        let runs = history.runs().into_iter().rev().filter(|run| before.is_none_or(|before| *run < before));
        let mut past = Self::default();
        let mut seen = BTreeSet::new();
        for run in runs.take(RUNS) {
            // A journal that cannot be read explains nothing.
            let Ok(state) = history.load(run) else { continue };
            for stage in &state.stages {
                if let Some(key) = stage.key {
                    past.add((&state, stage, key), &mut seen);
                }
            }
            if past.actions.len() >= ACTIONS {
                break;
            }
        }
        past
    }

    fn add(&mut self, (run, stage, key): (&RunState, &StageState, Digest), seen: &mut BTreeSet<(Digest, String)>) {
        // The same work, reused in many runs, was done once.
        if !seen.insert((key, stage.name.clone())) {
            return;
        }
        let index = self.actions.len();
        self.actions.push(PastAction { run: run.run, stage: stage.name.clone(), key, sample: sample(run, stage) });
        self.of_stage.entry((stage.kind.clone(), stage.name.clone())).or_default().push(index);
        if let Entry::Vacant(first) = self.by_key.entry(key) {
            first.insert(index);
            let of_kind = self.of_kind.entry(stage.kind.clone()).or_default();
            if of_kind.len() < OF_A_KIND {
                of_kind.push(index);
            }
        }
    }

    /// The latest action with this key.
    pub(crate) fn with_key(&self, key: &Digest) -> Option<&PastAction> {
        self.by_key.get(key).and_then(|index| self.actions.get(*index))
    }

    /// Actions of a stage, newest first.
    fn own(&self, (name, kind): (&str, &str)) -> impl Iterator<Item = &PastAction> {
        let list = self.of_stage.get(&(kind.to_owned(), name.to_owned())).map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(|index| self.actions.get(*index))
    }

    /// The latest actions of a kind.
    fn kind(&self, kind: &str) -> impl Iterator<Item = &PastAction> {
        let list = self.of_kind.get(kind).map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(|index| self.actions.get(*index))
    }

    /// The earlier action of the same kind with the fewest changed fields; among equals the stage's own, then the latest.
    pub(crate) fn nearest(
        &self,
        store: &Store,
        (name, kind): (&str, &str),
        preimage: &Value,
    ) -> Result<Option<Comparison>, RunError> {
        let mut best: Option<Comparison> = None;
        for action in self.own((name, kind)).chain(self.kind(kind).filter(|action| action.stage != name)) {
            let Some(old) = self.preimage(store, &action.key)? else { continue };
            let changes = difference(&old, preimage);
            if best.as_ref().is_none_or(|best| changes.len() < best.changes.len()) {
                let (run, stage, key) = (action.run, action.stage.clone(), action.key);
                best = Some(Comparison { run, stage, key, recorded: false, changes });
            }
        }
        let Some(mut than) = best else { return Ok(None) };
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
        let own: Vec<Sample> = self.own((name, kind)).filter_map(|action| action.sample).collect();
        if !own.is_empty() {
            return Estimate::of(&own, rows, Basis::Stage);
        }
        let all: Vec<Sample> = self.kind(kind).filter_map(|action| action.sample).collect();
        Estimate::of(&all, rows, Basis::Kind)
    }
}

fn sample(run: &RunState, stage: &StageState) -> Option<Sample> {
    let ended = matches!(stage.status, StageStatus::Succeeded | StageStatus::Cached { .. } | StageStatus::GateFailed);
    let seconds = stage.seconds.filter(|_| ended)?;
    let bytes = stage.outputs.values().map(|artifact| artifact.bytes).sum();
    let before = stage.after.iter().filter_map(|name| run.stage(name)).map(|before| &before.metrics);
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

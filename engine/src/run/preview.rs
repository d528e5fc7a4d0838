//! What a run would do, without doing anything: the keys that can be known now, and why each would hit or miss.

use std::{collections::BTreeMap, sync::Arc};

use petgraph::{Direction, graph::NodeIndex, visit::EdgeRef};
use serde::Serialize;

use super::{
    History, RunError,
    prepare::{self, Prepared},
    spec::SpecInput,
    why::{self, Reason},
};
use crate::{
    Digest, SourceRef, StageError, StageRegistry,
    expression::Reading,
    plan::{Plan, PlannedStage},
    project::Project,
    run::judge,
    store::{ActionResult, SourceRequest, StatIndex, Store},
};

/// One stage of a preview.
#[derive(Clone, Debug, Serialize)]
pub struct Preview {
    /// The stage.
    pub stage: String,
    /// Its kind.
    pub kind: String,
    /// Its action key, if it can be known now.
    pub key: Option<Digest>,
    /// What would happen.
    pub forecast: Forecast,
    /// How long the work took when it was last done under this name.
    pub last_seconds: Option<f64>,
}

/// What would happen to a stage.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "will")]
pub enum Forecast {
    /// A recorded result would be used.
    Cached,
    /// It would run.
    Run {
        /// Why.
        reason: Reason,
    },
    /// It depends on what stages before it give.
    Wait {
        /// Those stages.
        on: Vec<String>,
    },
    /// Its `if:` is false, or a producer of an input is skipped.
    Skip,
    /// A source would have to be fetched first.
    Fetch {
        /// Its URI or pattern.
        source: String,
    },
    /// It could not run.
    Fail {
        /// Why.
        error: StageError,
    },
}

struct Previewer<'a> {
    plan: &'a Plan,
    project: &'a Project,
    registry: &'a StageRegistry,
    store: Store,
    index: StatIndex,
    results: BTreeMap<NodeIndex, ActionResult>,
    skipped: Vec<NodeIndex>,
    readings: BTreeMap<String, Reading>,
}

/// Looks at every stage of a plan in order. Fetches nothing and starts nothing.
pub fn preview(plan: &Plan, project: &Project, registry: &Arc<StageRegistry>) -> Result<Vec<Preview>, RunError> {
    let store = Store::open(&project.site.store)?;
    let index = StatIndex::open(&project.state.join("state"))?;
    let seconds = last_seconds(project);
    let mut previewer = Previewer {
        plan,
        project,
        registry,
        store,
        index,
        results: BTreeMap::new(),
        skipped: Vec::new(),
        readings: BTreeMap::new(),
    };
    let mut previews = Vec::with_capacity(plan.order.len());
    for node in &plan.order {
        let (key, forecast) = previewer.stage(*node)?;
        let planned = &plan.graph[*node];
        previews.push(Preview {
            stage: planned.name.clone(),
            kind: planned.stage.kind().to_owned(),
            key,
            forecast,
            last_seconds: seconds.get(&planned.name).copied(),
        });
    }
    previewer.index.save()?;
    Ok(previews)
}

fn last_seconds(project: &Project) -> BTreeMap<String, f64> {
    let history = History::of(project);
    let states = history.runs().into_iter().rev().take(5).filter_map(|run| history.load(run).ok());
    let mut seconds = BTreeMap::new();
    for stage in states.flat_map(|state| state.stages) {
        if let Some(took) = stage.seconds {
            seconds.entry(stage.name).or_insert(took);
        }
    }
    seconds
}

impl Previewer<'_> {
    fn stage(&mut self, node: NodeIndex) -> Result<(Option<Digest>, Forecast), RunError> {
        let plan = self.plan;
        let planned = &plan.graph[node];
        let before = plan.graph.edges_directed(node, Direction::Incoming).map(|edge| edge.source());
        let open: Vec<String> = before
            .filter(|source| !self.results.contains_key(source) && !self.skipped.contains(source))
            .map(|source| plan.graph[source].name.clone())
            .collect();
        if !open.is_empty() {
            return Ok((None, Forecast::Wait { on: open }));
        }
        let unfed = planned.inputs.iter().flat_map(|binding| &binding.from).any(|(source, _)| self.skipped.contains(source));
        match judge::condition(planned, &self.readings) {
            Ok(true) if !unfed => {}
            Ok(_) => {
                self.skipped.push(node);
                self.readings.insert(planned.name.clone(), Reading { status: "skipped".to_owned(), metrics: BTreeMap::new() });
                return Ok((None, Forecast::Skip));
            }
            Err(error) => return Ok((None, Forecast::Fail { error })),
        }
        match self.identify(planned) {
            Ok(Ok(prepared)) => self.look_up(node, &prepared),
            Ok(Err(source)) => Ok((None, Forecast::Fetch { source })),
            Err(error) => Ok((None, Forecast::Fail { error })),
        }
    }

    /// The identity of the work, or the source that is missing for it.
    fn identify(&self, planned: &PlannedStage) -> Result<Result<Prepared, String>, StageError> {
        let request =
            SourceRequest { project: self.project, registry: self.registry, index: &self.index, progress: &|_, _, _| {} };
        let mut sources = Vec::new();
        for source in planned.stage.sources() {
            let Some(resolved) = self.store.sources().look(&source, &request)? else {
                let (SourceRef::Pinned(name) | SourceRef::Files(name)) = source;
                return Ok(Err(name));
            };
            sources.push(resolved);
        }
        let inputs = prepare::action_inputs(planned, &self.inputs(planned));
        prepare::identify(self.plan, planned, &inputs, sources).map(Ok)
    }

    fn inputs(&self, planned: &PlannedStage) -> BTreeMap<String, Vec<SpecInput>> {
        let mut inputs = BTreeMap::new();
        for binding in &planned.inputs {
            let bound = binding.from.iter().filter_map(|(producer, port)| {
                let artifact = self.results.get(producer)?.outputs.get(port)?.clone();
                Some(SpecInput { artifact, from: String::new() })
            });
            inputs.insert(binding.port.clone(), bound.collect());
        }
        inputs
    }

    fn look_up(&mut self, node: NodeIndex, prepared: &Prepared) -> Result<(Option<Digest>, Forecast), RunError> {
        let plan = self.plan;
        let planned = &plan.graph[node];
        let key = prepared.key;
        if let Some(result) = self.store.actions().get(&key, &self.store.cas())? {
            self.readings
                .insert(planned.name.clone(), Reading { status: "succeeded".to_owned(), metrics: result.metrics.clone() });
            self.results.insert(node, result);
            return Ok((Some(key), Forecast::Cached));
        }
        let stage = (planned.name.as_str(), planned.stage.kind());
        let reason = why::forecast(self.project, &self.store, stage, (key, &prepared.preimage.1))?;
        Ok((Some(key), Forecast::Run { reason }))
    }
}
